// SPDX-License-Identifier: Apache-2.0
// Random sequences of iommufd's calls on mock devices: whatever is asked, what must hold of the objects holds after each,
// and when the files are closed nothing is left.
#include "tests/uapi/selftest_client.h"
#include <random>
#include <vector>

using namespace uapi_test;

namespace {

constexpr uint64_t kAperture = IMS_MOCK_APERTURE_FIRST, kMockPage = IMS_MOCK_PAGE, kPages = 24;

class Calls {
public:
  Calls(SelftestClient &client, uint32_t seed) : c(client), m(client.m), random(seed) {
    va = c.Memory(kPages * kPage);
    for (int i = 0; i < 4; i++)
      made[kIoas].push_back(c.Ioas());
    SelftestClient::Device d{};
    EXPECT_EQ(c.Mock(1, &d, IMS_MOCK_DEVICE_PASID), 0);
    Made(d);
    Made(kParent, c.Hwpt(d.idev, 1, IMS_HWPT_NEST_PARENT));
    Made(kViommu, c.Viommu(d.idev, made[kParent][0]));
  }

  // One call. Ids are small, so that most of them are somebody's.
  void Step() {
    ims_iommu_veventq_alloc e{};
    ims_iommu_fault_alloc f{};
    ims_iommu_ioas_copy copy{};
    ims_iommu_hwpt_set_dirty_tracking track{};
    ims_iommu_hwpt_get_dirty_bitmap bitmap{};
    ims_iommu_test_dirty dirty{};
    ims_iommu_option option{};
    switch (Up(33)) {
    case 0: Made(kIoas, c.Ioas()); break;
    case 1:
    case 2: c.Map(Id(kIoas), Iova(), Va(), Length(), Up(8) ? 7 : Up(8)); break;
    case 3: c.Map(Id(kIoas), 0, Va(), Length(), 6); break;
    case 4: c.Unmap(Id(kIoas), Iova(), Length()); break;
    case 5: c.Unmap(Id(kIoas), 0, Up(4) ? ~0ull : kAperture + kPage); break;
    case 6: c.Destroy(Id(Up(kKinds))); break;
    case 7: Device(); break;
    case 8: c.Replace(Id(kStdev), Table()); break;
    case 9:
    case 10: c.Pasid(uint32_t(IMS_TEST_OP_PASID_ATTACH + Up(3)), Id(kStdev), PasidNumber(), Table()); break;
    case 11: c.PasidIs(Id(kStdev), PasidNumber(), Table()); break;
    case 12: c.Reserve(Id(), Up(4) ? kAperture * 16 + Up(8) * kPage : Iova(), Length()); break;
    case 13: c.CheckMap(Id(kHwpt), Iova(), Length(), Va()); break;
    case 14: c.CheckRefs(Va(), Length(), uint32_t(Up(3))); break;
    case 15: Fd(c.Access(Id(kIoas), uint32_t(Up(2)))); break;
    case 16: c.Pin(Fd(), Iova(), Length(), Up(3) ? 0 : Va(), uint32_t(Up(2))); break;
    case 17: c.Unpin(Fd(), uint32_t(Up(6))); break;
    case 18: c.Rw(Fd(), Iova() + Up(100), Up(200), Arena::kBase + 1024, uint32_t(Up(2) | (Up(2) ? 4 : 0))); break;
    case 19: c.MoveAccess(Fd(), Id(kIoas)); break;
    case 20: Hwpt(); break;
    case 21:
      Made(kNested, c.Nested(Id(kIdev), Id(Up(2) ? kParent : kViommu), uint32_t(Up(2) ? 8 : Up(16)), Id(kFault)));
      break;
    case 22: Invalidate(); break;
    case 23: c.Fault(Id(kIdev), Up(2) ? 0 : PasidNumber(), uint32_t(Up(4))); break;
    case 24: c.Event(Id(kIdev)); break;
    case 25: Viommu(); break;
    case 26: Made(kVdevice, c.Vdevice(Id(kViommu), Id(kIdev), 1 + Up(4))); break;
    case 27: Made(kQueue, c.HwQueue(Id(kViommu), uint32_t(Up(3)), Iova(), Up(2) ? kPage : Length())); break;
    case 28:
      if (Up(2)) {
        if (c.Call(IMS_IOMMU_FAULT_QUEUE_ALLOC, &f) == 0) {
          Fd(f.out_fault_fd);
          Made(kFault, f.out_fault_id);
        }
      } else {
        e.viommu_id = Id(kViommu);
        e.type = IMS_VEVENTQ_SELFTEST;
        e.veventq_depth = uint32_t(Up(4));
        if (c.Call(IMS_IOMMU_VEVENTQ_ALLOC, &e) == 0) {
          Fd(e.out_veventq_fd);
          Made(kQueue, e.out_veventq_id);
        }
      }
      break;
    case 29: File(); break;
    case 30:
      copy.flags = uint32_t(Up(8));
      copy.dst_ioas_id = Id(kIoas);
      copy.src_ioas_id = Id(kIoas);
      copy.length = Length();
      copy.dst_iova = Iova();
      copy.src_iova = Iova();
      c.Call(IMS_IOMMU_IOAS_COPY, &copy);
      break;
    case 31:
      track.hwpt_id = bitmap.hwpt_id = dirty.id = Id(kHwpt);
      track.flags = uint32_t(Up(4) != 0);
      c.Call(IMS_IOMMU_HWPT_SET_DIRTY_TRACKING, &track);
      dirty.iova = bitmap.iova = Iova();
      dirty.length = bitmap.length = Length();
      dirty.page_size = bitmap.page_size = IMS_MOCK_PAGE;
      dirty.uptr = bitmap.data = Arena::kBase + 1024;
      c.Test(IMS_TEST_OP_DIRTY, &dirty);
      c.Call(IMS_IOMMU_HWPT_GET_DIRTY_BITMAP, &bitmap);
      break;
    default:
      if (Up(2)) {
        option.option_id = IMS_OPTION_HUGE_PAGES;
        option.object_id = Id(kIoas);
        option.val64 = Up(2);
        c.Call(IMS_IOMMU_OPTION, &option);
      } else {
        Dmabuf();
      }
    }
  }

  uint64_t va = 0;

private:
  enum Kind { kIoas, kStdev, kIdev, kHwpt, kParent, kNested, kViommu, kVdevice, kQueue, kFault, kKinds };

  uint64_t Up(uint64_t n) { return random() % n; }
  uint32_t Id() { return uint32_t(Up(40) ? Up(28) : random()); }
  uint32_t Id(uint64_t kind) { // of late ones
    const std::vector<uint32_t> &of = made[kind];
    return of.empty() || Up(12) == 0 ? Id() : of[of.size() - 1 - Up(of.size() < 4 ? of.size() : 4)];
  }
  uint32_t Table() { return Id(Up(4) ? kHwpt + Up(3) : uint64_t(kIoas)); }
  void Made(Kind kind, int64_t id) {
    if (id > 0)
      made[kind].push_back(uint32_t(id));
  }
  void Made(const SelftestClient::Device &d) {
    Made(kStdev, d.stdev);
    Made(kIdev, d.idev);
    Made(kHwpt, d.hwpt);
  }
  void Device() {
    SelftestClient::Device d{};
    if (c.Mock(Table(), &d, uint32_t(Up(2) ? 4 : Up(6))) == 0)
      Made(d);
  }
  void Viommu() {
    if (Up(2)) {
      Made(kViommu, c.Viommu(Id(kIdev), Id(kParent)));
      return;
    }
    ims_iommu_viommu_alloc a{};
    a.type = IMS_VIOMMU_SELFTEST;
    a.dev_id = Id(kIdev);
    a.hwpt_id = Id(kParent);
    a.data_len = sizeof(ims_iommu_viommu_selftest);
    a.data_uptr = m.arena.Put(ims_iommu_viommu_selftest{1, 0, 0, 0}, Arena::kBase + 1024);
    if (c.Call(IMS_IOMMU_VIOMMU_ALLOC, &a) == 0)
      Made(kViommu, a.out_viommu_id);
    uint64_t cookie;
    auto s = m.arena.Get<ims_iommu_viommu_selftest>(Arena::kBase + 1024);
    if (ims_file_mmap(c.iommu, s.out_mmap_offset, s.out_mmap_length, 3, true, &cookie) == 0 && Up(8)) {
      EXPECT_EQ(ims_file_munmap(c.iommu, cookie), 0);
    }
  }
  uint64_t Iova() { return Up(30) ? kAperture + Up(2 * kPages) * kMockPage : (uint64_t(random()) << 32 | random()); }
  uint64_t Length() { return Up(20) ? (1 + Up(8)) * (Up(3) ? kPage : kMockPage) : ~0ull - Up(3); }
  uint64_t Va() { return Up(20) ? va + Up(2 * kPages) * kMockPage : random(); }
  uint32_t PasidNumber() { return uint32_t(Up(3) ? 1 + Up(3) : Up(2) ? uint64_t(IMS_MOCK_PASID_FAILING) : random()); }
  uint32_t Fd() { return Up(10) && !fds.empty() ? fds[Up(fds.size())] : uint32_t(Up(20)); }
  void Fd(int64_t fd) {
    if (fd >= 0)
      fds.push_back(uint32_t(fd));
  }
  void Hwpt() {
    ims_iommu_hwpt_selftest data{};
    data.pagetable_type = uint32_t(Up(3));
    const auto flags = uint32_t(Up(16));
    Made(flags & IMS_HWPT_NEST_PARENT && Up(2) ? kParent : kHwpt,
         Up(3) ? c.Hwpt(Id(kIdev), Id(kIoas), flags)
               : c.Hwpt(Id(kIdev), Id(kIoas), flags, IMS_HWPT_DATA_SELFTEST, &data, Id(kFault)));
  }
  void Invalidate() {
    using Nested = ims_iommu_hwpt_invalidate_selftest;
    using Viommu = ims_iommu_viommu_invalidate_selftest;
    auto word = [&] { return uint32_t(Up(5)); };
    if (Up(2))
      c.Invalidate(Id(kNested), std::vector<Nested>{{uint32_t(Up(2)), word()}, {word(), word()}});
    else
      c.Invalidate(Id(kViommu), std::vector<Viommu>{{uint32_t(Up(2)), word(), word()}, {word(), word(), word()}});
  }
  void File() {
    ims_file *f = ims_process_file(c.process, int(Fd() % 4096));
    if (!f || f == c.iommu)
      return;
    const uint64_t buf = Arena::kBase + 1024;
    if (Up(3) == 0)
      ims_close(f);
    else if (Up(2))
      ims_read(f, buf, Up(200), 0);
    else
      ims_write(f, m.arena.Put(ims_iommu_hwpt_page_response{uint32_t(Up(4)), uint32_t(Up(3))}, buf), 8 * Up(3), 0);
  }
  void Dmabuf() {
    if (Up(3) == 0) {
      c.Revoke(Fd(), Up(2));
      return;
    }
    int64_t fd = c.Dmabuf(uint32_t(Up(5) * kPage));
    Fd(fd);
    ims_iommu_ioas_map_file map{};
    map.flags = 7;
    map.ioas_id = Id(kIoas);
    map.fd = Fd();
    map.start = Up(3) * IMS_MOCK_PAGE;
    map.length = Length();
    map.iova = Iova();
    c.Call(IMS_IOMMU_IOAS_MAP_FILE, &map);
  }

  SelftestClient &c;
  Machine &m;
  std::mt19937 random;
  std::vector<uint32_t> fds, made[kKinds];
};

TEST(SelftestRandom, WhateverIsAskedTheObjectsHold) {
  for (uint32_t seed = 0; seed < 24; seed++) {
    Machine m(IMS_DIALECT_V7, SelftestOn, 64 * kMB);
    SelftestClient c(m);
    Calls calls(c, seed);
    const uint64_t before = ims_kernel_memory_in_use(m.kernel);
    char why[200] = "";
    for (int i = 0; i < 1500; i++) {
      calls.Step();
      ASSERT_TRUE(ims_iommufd_check(c.iommu, why, sizeof why)) << "seed " << seed << ", call " << i << ": " << why;
    }
    for (int fd = 3; fd < 4096; fd++)
      if (ims_file *f = ims_process_file(c.process, fd))
        ims_close(f);
    EXPECT_EQ(ims_kernel_memory_in_use(m.kernel), before) << seed;
    ASSERT_GE(ims_open(c.process, "/dev/iommu", &c.iommu), 3);
    EXPECT_EQ(c.CheckRefs(calls.va, kPages * kPage, 0), 0) << seed;
  }
}

} // namespace
