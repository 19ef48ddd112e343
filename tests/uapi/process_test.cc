// SPDX-License-Identifier: Apache-2.0
// Processes and virtual machines: areas, page faults, guest memory.
#include "tests/uapi/machine.h"

namespace uapi_test {
namespace {

struct Process : testing::Test {
  Machine m;
  ims_process *p = m.AddProcess();
  uint64_t va = 0, hpa = 0;
};

TEST_F(Process, PagesComeAtFirstUse) {
  ASSERT_EQ(ims_mmap(p, 0, 4 * kPage, 3, 0, &va), 0);
  EXPECT_EQ(ims_process_translate(p, va, &hpa), IMS_ERR_NOENT);
  char in[] = "across the border of two pages", out[sizeof in];
  ASSERT_EQ(ims_process_write(p, va + kPage - 5, in, sizeof in), 0);
  ASSERT_EQ(ims_process_read(p, va + kPage - 5, out, sizeof out), 0);
  EXPECT_STREQ(out, in);
  EXPECT_EQ(ims_process_translate(p, va, &hpa), IMS_ERR_OK);
  EXPECT_EQ(ims_process_translate(p, va + kPage, &hpa), IMS_ERR_OK);
  EXPECT_EQ(ims_process_translate(p, va + 2 * kPage, &hpa), IMS_ERR_NOENT);
  EXPECT_EQ(ims_process_read(p, va + 4 * kPage - 1, out, 2), -EFAULT);
}

TEST_F(Process, MmapErrors) {
  struct {
    const char *what;
    uint64_t va, size;
    unsigned prot, flags;
    int result;
  } const cases[] = {
      {"size 0", 0, 0, 3, 0, -EINVAL},
      {"odd size", 0, 100, 3, 0, -EINVAL},
      {"odd address", 0x10008, kPage, 3, IMS_MMAP_FIXED, -EINVAL},
      {"address 0", 0, kPage, 3, IMS_MMAP_FIXED, -EINVAL},
      {"unknown right", 0, kPage, 8, 0, -EINVAL},
      {"unknown flag", 0, kPage, 3, 16, -EINVAL},
      {"not canonical", 1ull << 47, kPage, 3, IMS_MMAP_FIXED, -EINVAL},
      {"too large", 0, 1ull << 50, 3, 0, -ENOMEM},
      {"2 MB pages, odd size", 0, kMB, 3, IMS_MMAP_2M, -EINVAL},
      {"fine", 0x100000, 2 * kPage, 3, IMS_MMAP_FIXED, 0},
      {"taken", 0x101000, kPage, 3, IMS_MMAP_FIXED, -EEXIST},
      {"more than there is", 0, 600 * kMB, 3, IMS_MMAP_POPULATE, -ENOMEM},
  };
  for (const auto &c : cases)
    EXPECT_EQ(ims_mmap(p, c.va, c.size, c.prot, c.flags, &va), c.result) << c.what;
}

TEST_F(Process, RightsAreKept) {
  char c = 'x';
  ASSERT_EQ(ims_mmap(p, 0, kPage, IMS_PROT_READ, 0, &va), 0);
  EXPECT_EQ(ims_process_write(p, va, &c, 1), -EFAULT);
  EXPECT_EQ(ims_process_read(p, va, &c, 1), 0);
  EXPECT_EQ(ims_process_write(p, va, &c, 1), -EFAULT);
  ASSERT_EQ(ims_mprotect(p, va, kPage, 3), 0);
  EXPECT_EQ(ims_process_write(p, va, &c, 1), 0);
  EXPECT_EQ(ims_mprotect(p, va, 2 * kPage, 1), -ENOMEM); // a hole
  EXPECT_EQ(ims_process_write(p, va, &c, 1), 0);         // and nothing changed
  EXPECT_EQ(ims_mprotect(p, va + 8, kPage, 1), -EINVAL);
}

TEST_F(Process, ContentSurvivesProtNone) {
  uint32_t value = 0xfeedface, back = 0;
  ASSERT_EQ(ims_mmap(p, 0, 2 * kPage, 3, 0, &va), 0);
  ASSERT_EQ(ims_process_write(p, va, &value, 4), 0);
  ASSERT_EQ(ims_mprotect(p, va, 2 * kPage, 0), 0);
  EXPECT_EQ(ims_process_read(p, va, &back, 4), -EFAULT);
  ASSERT_EQ(ims_mprotect(p, va, 2 * kPage, 1), 0);
  EXPECT_EQ(ims_process_read(p, va, &back, 4), 0);
  EXPECT_EQ(back, value);
}

TEST_F(Process, MunmapPunchesHolesAndGivesPagesBack) {
  ASSERT_EQ(ims_mmap(p, 0, 3 * kPage, 3, IMS_MMAP_POPULATE, &va), 0);
  ASSERT_EQ(ims_process_translate(p, va + kPage, &hpa), IMS_ERR_OK);
  ASSERT_EQ(ims_munmap(p, va + kPage, kPage), 0);
  char c;
  EXPECT_EQ(ims_process_read(p, va, &c, 1), 0);
  EXPECT_EQ(ims_process_read(p, va + kPage, &c, 1), -EFAULT);
  EXPECT_EQ(ims_process_read(p, va + 2 * kPage, &c, 1), 0);
  uint64_t other = 0, other_hpa = 0;
  ASSERT_EQ(ims_mmap(p, 0, kPage, 3, IMS_MMAP_POPULATE, &other), 0);
  ASSERT_EQ(ims_process_translate(p, other, &other_hpa), IMS_ERR_OK);
  EXPECT_EQ(other_hpa, hpa); // the lowest free page
  EXPECT_EQ(ims_munmap(p, va, 3 * kPage), 0);
  EXPECT_EQ(ims_munmap(p, va, 3 * kPage), 0);
  EXPECT_EQ(ims_munmap(p, va + 1, kPage), -EINVAL);
}

TEST_F(Process, LargePagesGoWhole) {
  ASSERT_EQ(ims_mmap(p, 0, 4 * kMB, 3, IMS_MMAP_2M | IMS_MMAP_POPULATE, &va), 0);
  ASSERT_EQ(ims_process_translate(p, va + 0x123456, &hpa), IMS_ERR_OK);
  EXPECT_EQ(hpa & 0x1fffff, 0x123456u);
  EXPECT_EQ(ims_munmap(p, va + kPage, kPage), -EINVAL);
  EXPECT_EQ(ims_mprotect(p, va, kMB, 1), -EINVAL);
  EXPECT_EQ(ims_munmap(p, va, 2 * kMB), 0);
  char c;
  EXPECT_EQ(ims_process_read(p, va, &c, 1), -EFAULT);
  EXPECT_EQ(ims_process_read(p, va + 2 * kMB, &c, 1), 0);
}

TEST_F(Process, ExitGivesEverythingBack) {
  uint64_t before = 0, after = 0;
  auto free_page = [&] {
    ims_process *q = m.AddProcess();
    uint64_t pgd = ims_process_pgd(q);
    ims_process_exit(q);
    return pgd;
  };
  before = free_page();
  ims_process *q = m.AddProcess();
  for (int i = 0; i < 50; i++)
    ASSERT_EQ(ims_mmap(q, 0, 16 * kPage, 3, IMS_MMAP_POPULATE, &va), 0);
  ASSERT_EQ(ims_mprotect(q, va, kPage, 0), 0);
  ims_process_exit(q);
  after = free_page();
  EXPECT_EQ(after, before);
}

TEST_F(Process, GuestMemory) {
  ims_vm *vm = nullptr;
  ASSERT_EQ(ims_mmap(p, 0, 8 * kPage, 3, 0, &va), 0);
  ASSERT_EQ(ims_vm_new(p, &vm), IMS_ERR_OK);
  ASSERT_EQ(ims_vm_add_slot(vm, 0, va, 4 * kPage), IMS_ERR_OK);
  ASSERT_EQ(ims_vm_add_slot(vm, kGB, va + 4 * kPage, 4 * kPage), IMS_ERR_OK);
  EXPECT_EQ(ims_vm_add_slot(vm, 3 * kPage, va, kPage), IMS_ERR_OVERLAP);
  EXPECT_EQ(ims_vm_add_slot(vm, 8, va, kPage), IMS_ERR_INVAL);
  uint64_t value = 42, back = 0;
  ASSERT_EQ(ims_vm_write(vm, kGB + 8, &value, 8), IMS_ERR_OK);
  ASSERT_EQ(ims_process_read(p, va + 4 * kPage + 8, &back, 8), 0);
  EXPECT_EQ(back, 42u);
  EXPECT_EQ(ims_vm_read(vm, 4 * kPage - 4, &back, 8), IMS_ERR_BUS);
  EXPECT_EQ(ims_vm_read(vm, kGB - 8, &back, 8), IMS_ERR_BUS);
  ASSERT_EQ(ims_vm_set_pool(vm, kPage, 3 * kPage), IMS_ERR_OK);
  EXPECT_EQ(ims_vm_set_pool(vm, kPage, 3 * kPage), IMS_ERR_INVAL);
  uint64_t a = 0, b = 0, c = 0, d = 0;
  ASSERT_EQ(ims_vm_alloc(vm, 12, &a), IMS_ERR_OK);
  ASSERT_EQ(ims_vm_alloc(vm, 12, &b), IMS_ERR_OK);
  EXPECT_EQ(ims_vm_alloc(vm, 13, &c), IMS_ERR_NOSPACE);
  ASSERT_EQ(ims_vm_alloc(vm, 12, &c), IMS_ERR_OK);
  EXPECT_EQ(a, kPage);
  EXPECT_EQ(b, 2 * kPage);
  EXPECT_EQ(ims_vm_alloc(vm, 12, &d), IMS_ERR_NOSPACE);
  ASSERT_EQ(ims_vm_write(vm, b, &value, 8), IMS_ERR_OK);
  ims_vm_free_page(vm, b, 12);
  ASSERT_EQ(ims_vm_alloc(vm, 12, &d), IMS_ERR_OK);
  EXPECT_EQ(d, b);
  ASSERT_EQ(ims_vm_read(vm, d, &back, 8), IMS_ERR_OK);
  EXPECT_EQ(back, 0u); // zeroed again
}

TEST(KernelSetUp, BadConfigurations) {
  ims_mem mem;
  ims_mem_init(&mem);
  ASSERT_EQ(ims_mem_add_ram(&mem, 0, 4 * kMB), IMS_ERR_OK);
  auto make = [&](const std::function<void(ims_kernel_config &)> &change) {
    ims_kernel_config c;
    ims_kernel_config_default(&c);
    c.mem = &mem;
    c.pool_base = kMB;
    c.pool_size = kMB;
    change(c);
    ims_kernel *k = nullptr;
    int err = ims_kernel_new(&k, &c);
    ims_kernel_free(k);
    return err;
  };
  EXPECT_EQ(make([](ims_kernel_config &) {}), IMS_ERR_OK);
  EXPECT_EQ(make([](ims_kernel_config &c) { c.mem = nullptr; }), IMS_ERR_INVAL);
  EXPECT_EQ(make([](ims_kernel_config &c) { c.pool_size = 0; }), IMS_ERR_INVAL);
  EXPECT_EQ(make([](ims_kernel_config &c) { c.pool_size = 8 * kMB; }), IMS_ERR_BUS);
  EXPECT_EQ(make([](ims_kernel_config &c) { c.dialect = IMS_DIALECT_COUNT; }), IMS_ERR_INVAL);
  EXPECT_EQ(make([](ims_kernel_config &c) { c.iommu_h = 3; }), IMS_ERR_INVAL);
  EXPECT_EQ(make([](ims_kernel_config &c) { c.cpu_levels = 3; }), IMS_ERR_INVAL);
  EXPECT_EQ(make([](ims_kernel_config &c) { c.s2_levels = 6; }), IMS_ERR_INVAL);
  ims_mem_fini(&mem);
}

} // namespace
} // namespace uapi_test
