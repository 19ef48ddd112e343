// SPDX-License-Identifier: Apache-2.0
// 1 M PASIDs bound across 4 K devices: less than 8 GiB, and a bind costs at the end what it cost at the start (within
// 2x). Disabled by default, since it takes some seconds and gigabytes:
//   test_uapi --gtest_also_run_disabled_tests --gtest_filter=*Scale*
#include "tests/uapi/machine.h"
#include <ctime>
#include <fstream>

namespace uapi_test {
namespace {

// Processor time: others may be busy on the machine.
double Now() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

// Not scattered: each device's PASIDs are neighbours. Scattered: they lie as far apart as can be, a PASID table each; then
// the host's pages are touched beforehand, since its page faults would be most of what is measured.
void BindAll(unsigned devices, unsigned each, bool scattered, uint64_t ram) {
  constexpr unsigned kUnits = 32; // a unit has 64 K domain ids
  Machine m(
      IMS_DIALECT_V7,
      [](ims_kernel_config &c) {
        c.pasid_quota = UINT32_MAX;
        c.hooks.observe = nullptr;
      },
      ram);
  for (uint64_t at = 0; scattered && at < ram; at += kPage)
    ASSERT_EQ(ims_mem_store64(&m.mem, at, 0), IMS_ERR_OK);
  ims_vtd_config config = Machine::UnitConfig();
  for (unsigned i = 0; i < kUnits; i++)
    m.AddUnit(config);
  ims_process *p = m.AddProcess();
  std::vector<ims_file *> container;
  for (unsigned i = 0; i < devices; i++) {
    ims_device_config d =
        Machine::DeviceConfig(static_cast<uint16_t>(i / kUnits), i, static_cast<uint16_t>(i % kUnits));
    ims_file *c = nullptr, *g = nullptr;
    m.AddDevice(d);
    ASSERT_GE(ims_open(p, "/dev/vfio/vfio", &c), 0);
    ASSERT_GE(ims_open(p, ("/dev/vfio/" + std::to_string(i)).c_str(), &g), 0);
    ASSERT_EQ(ims_ioctl(g, IMS_VFIO_GROUP_SET_CONTAINER, m.arena.Put<int32_t>(ims_file_fd(c))), 0);
    ASSERT_EQ(ims_ioctl(c, IMS_VFIO_SET_IOMMU, IMS_VFIO_TYPE1_NESTING_IOMMU), 0);
    container.push_back(c);
  }
  uint64_t total = static_cast<uint64_t>(devices) * each, done = 0, window = total / 16;
  double first = 0, worst = 0, begin = Now(), start = begin;
  for (uint64_t i = 0; i < total; i++) {
    unsigned dev = static_cast<unsigned>(scattered ? i % devices : i / each);
    uint32_t want = static_cast<uint32_t>(i + 1);
    ASSERT_EQ(ims_ioctl(container[dev], 0x3b76, m.arena.Put(ims_vfio_pasid_request{16, 1, want, want})), want);
    ASSERT_EQ(ims_ioctl(container[dev], 0x3b77, m.arena.Put(MakeBindB(0, want, 0x1000))), 0) << i;
    if (++done % window)
      continue;
    double now = Now(), cost = (now - start) / static_cast<double>(window) * 1e9;
    start = now;
    if (first == 0)
      first = cost;
    worst = std::max(worst, cost);
  }
  uint64_t resident = ResidentBytes();
  testing::Test::RecordProperty("ns_per_bind_first", static_cast<int>(first));
  testing::Test::RecordProperty("ns_per_bind_worst", static_cast<int>(worst));
  testing::Test::RecordProperty("resident_mb", static_cast<int>(resident >> 20));
  std::cout << total << " PASIDs, " << devices << " devices: " << first << " ns a bind in the first sixteenth, "
            << worst << " ns in the worst, " << (resident >> 20) << " MiB\n";
  // One window may have a table of the kernel growing in it; over all of them that is a small part.
  if (total > 1000000) {
    EXPECT_LT((Now() - begin) / static_cast<double>(total) * 1e9, 2 * first);
  }
  EXPECT_LT(resident, 8ull << 30);
  ims_result r = m.Dma(ims_kernel_device(m.kernel, 0, 0), 0x1000, IMS_ACC_R, 1);
  EXPECT_EQ(r.fault, 0x79); // bound: the walk has reached the second stage, which maps nothing
}

TEST(Scale, SmallNumbers) { BindAll(64, 32, false, 512ull << 20); }
TEST(Scale, DISABLED_NeighbouringPasids) { BindAll(4096, 255, false, 4ull << 30); }
TEST(Scale, DISABLED_ScatteredPasids) { BindAll(4096, 255, true, 5ull << 30); }

} // namespace
} // namespace uapi_test
