// SPDX-License-Identifier: Apache-2.0
// A small machine for tests: memory, one SMMUv2 that is reached through its registers only, and a driver's ways with it. It
// exists twice inside, byte for byte alike: every request runs through ims_translate in one half and step by step in the
// other, and both must agree in the answer, in the references, in memory and in the fault registers.
//
// Host memory is [0, 64 MB). A guest's memory begins at IPA 0 and lies at hpa 1 GB, 64 MB of it. kAbsent is no memory.
// Descriptors and registers are put together here by their positions in the manuals.
#pragma once

#include "iommu/smmuv2/smmuv2.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace smmu2 {

constexpr uint64_t KB = 1024, MB = 1024 * KB, GB = 1024 * MB;
constexpr uint64_t kAbsent = 8 * GB;
constexpr uint64_t kGuestBase = 1 * GB;
constexpr uint64_t kHostSize = 64 * MB, kGuestSize = 64 * MB;

enum Granule { k4K, k16K, k64K };
enum Type { kS2 = 0, kS1 = 1, kS1Fault = 2, kNested = 3 };                  // CBAR.TYPE
enum StreamType { kTranslate = 0, kBypass = 1, kFault = 2, kReserved = 3 }; // S2CR.TYPE

struct Config : ims_smmuv2_config {
  Config(); // the defaults
  Config &no_caches();
};

// Leaf bits that grant everything. Stage 1: AF, inner shareable, nG, readable and writable by all, MAIR 0.
constexpr uint64_t kS1Af = 1u << 10, kS1Ng = 1u << 11, kS1User = 1u << 6, kS1ReadOnly = 1u << 7;
constexpr uint64_t kS1All = kS1Af | kS1Ng | kS1User | 3u << 8;
constexpr uint64_t kS1Global = kS1All & ~kS1Ng;
constexpr uint64_t kPxn = uint64_t(1) << 53, kUxn = uint64_t(1) << 54, kContiguous = uint64_t(1) << 52;
// Stage 2: AF, inner shareable, readable and writable, write-back.
constexpr uint64_t kS2Read = 1u << 6, kS2Write = 1u << 7, kS2Af = 1u << 10;
constexpr uint64_t kS2All = kS2Af | kS2Read | kS2Write | 3u << 8 | 0xfu << 2;

// SCTLR bits.
constexpr uint32_t kM = 1, kAffd = 1 << 3, kBigEndian = 1 << 4, kCfre = 1 << 5, kCfie = 1 << 6, kCfcfg = 1 << 7,
                   kHupcf = 1 << 8, kPtw = 1 << 13;
constexpr uint32_t kUsual = kM | kCfre | kHupcf;

struct Message {
  uint64_t addr;
  uint32_t data;
  bool operator==(const Message &o) const { return addr == o.addr && data == o.data; }
};

// The fault registers of a bank, and the global ones.
struct Fault {
  uint32_t fsr, fsynr0;
  uint64_t far_, ipafar;
  uint32_t fsynr1, cbfrsynra;
  bool operator==(const Fault &o) const;
};
struct Global {
  uint32_t gfsr, gfsynr0;
  uint64_t gfar;
  uint32_t gfsynr1, gfsynr2;
  bool operator==(const Global &o) const;
};

class Tree;

class Machine {
public:
  explicit Machine(const Config &config = Config());
  ~Machine();
  Machine(const Machine &) = delete;
  Machine &operator=(const Machine &) = delete;

  const Config cfg;

  // Memory: the same in both halves. Pages of 4 KB, zeroed, aligned to `align` pages.
  uint64_t alloc(unsigned pages = 1, unsigned align = 1);       // hpa
  uint64_t guest_alloc(unsigned pages = 1, unsigned align = 1); // IPA
  uint64_t load(uint64_t hpa);
  void store(uint64_t hpa, uint64_t value);
  void set(uint64_t hpa, uint64_t bits) { store(hpa, load(hpa) | bits); }
  void clear(uint64_t hpa, uint64_t bits) { store(hpa, load(hpa) & ~bits); }

  // Registers: by offset, of GR0, an element of an array (SMR, S2CR; CBAR, CBFRSYNRA, CBA2R), of a bank.
  uint64_t read(uint32_t offset, unsigned size);
  void write(uint32_t offset, unsigned size, uint64_t value);
  uint64_t get(ims_smmuv2_gr0 r, unsigned n = 0);
  void put(ims_smmuv2_gr0 r, uint64_t value) { put(r, 0, value); }
  void put(ims_smmuv2_gr0 r, unsigned n, uint64_t value);
  uint64_t get(ims_smmuv2_gr1 r, unsigned bank);
  void put(ims_smmuv2_gr1 r, unsigned bank, uint64_t value);
  uint64_t get(ims_smmuv2_cb r, unsigned bank);
  void put(ims_smmuv2_cb r, unsigned bank, uint64_t value);

  // What a driver does. start(): CLIENTPD off, faults abort and interrupt, unknown and doubled streams fault.
  void start();
  void stream(unsigned group, unsigned sid, uint32_t s2cr, unsigned mask = 0); // SMR and S2CR
  void stream_to(unsigned group, unsigned sid, unsigned bank) { stream(group, sid, bank); }
  // A stage-1 bank; `stage2` >= 0: nested over that bank.
  struct Stage1 {
    unsigned asid = 0, vmid = 0;
    int stage2 = -1;
    const Tree *upper = nullptr;
    uint32_t sctlr = kUsual, tcr2 = 5 | 1 << 4 | 7 << 15; // PASize 48, AS, SEP by the bus
    uint64_t mair = 0x4404ff;                             // 0 write-back, 1 Device, 2 non-cacheable
  };
  void stage1(unsigned bank, const Tree &lower, const Stage1 &how);
  void stage2(unsigned bank, const Tree &tree, unsigned vmid, uint32_t sctlr = kUsual);

  // Requests.
  ims_result request(const ims_request &r);
  // The second half alone; `before` is called before each answer. The halves may differ afterwards.
  ims_result stepped(const ims_request &r, const std::function<void(ims_step_kind, const ims_step &)> &before);
  std::vector<ims_step> reads; // of the last request
  bool compare = true;         // memory and fault registers, after each request
  void drop_caches();

  Fault fault(unsigned bank); // the registers as they stand
  Global global();
  void clear_faults(); // of all banks and the global ones, by writing what was read, as Linux does
  void expect_same();

  // TLB maintenance by address: the operand as drivers make it.
  void tlbi_va(unsigned bank, ims_smmuv2_cb op, uint64_t va, unsigned asid = 0);
  void tlbi_ipa(unsigned bank, uint64_t ipa, bool leaf = false);
  bool sync(int bank = -1); // the status bit is clear afterwards

  // What the unit sent.
  std::vector<Message> messages;
  std::vector<ims_resume> resumes;
  std::function<void(unsigned half, const ims_resume &)> on_resume; // called at once

  ims_iommu *unit(unsigned half = 0) { return half_[half].unit; }
  ims_mem *mem(unsigned half = 0) { return &half_[half].mem; }

private:
  struct Half {
    ims_mem mem;
    ims_iommu *unit = nullptr;
    Machine *owner = nullptr;
    unsigned number = 0;
    std::vector<Message> messages;
    std::vector<ims_resume> resumes;
  };
  void collect(); // moves what both halves sent, which must be the same
  ims_result step_through(const ims_request &r, const std::function<void(ims_step_kind, const ims_step &)> &before);
  uint32_t bank_offset(unsigned bank) const { return ims_smmuv2_cb_offset(&cfg, bank); }

  Half half_[2];
  uint64_t next_ = 1 * MB, next_guest_ = 4 * MB;
};

// Translation tables of one stage in host memory, or in the guest's. Levels by the architecture's numbers: 3 is the last.
// A stage 2 starts as low as concatenation of up to 16 tables allows, unless `start` says otherwise.
struct Shape {
  Granule granule = k4K;
  unsigned in_bits = 48;
  bool stage2 = false, in_guest = false, aarch32 = false, big_endian = false;
  int start = -2; // level of the top table; -2: the usual one
};

class Tree {
public:
  Tree(Machine &m, const Shape &shape);
  const Shape shape;
  uint64_t root; // in the space of the tables: hpa or IPA
  int start;     // level of the top table
  unsigned levels() const { return static_cast<unsigned>(4 - start); }
  uint64_t host(uint64_t address) const { return address + (shape.in_guest ? kGuestBase : 0); }
  uint64_t size(int level) const { return uint64_t(1) << shift(level); } // bytes that a descriptor covers
  uint64_t table(uint64_t in, int level);                                // in the space of the tables; makes them
  uint64_t at(uint64_t in, int level = 3);                               // hpa of the descriptor
  void map(uint64_t in, uint64_t out, uint64_t bits, int level = 3);
  void map_range(uint64_t in, uint64_t out, uint64_t bytes, uint64_t bits, int level = 3);
  uint64_t load(uint64_t hpa) const;
  void store(uint64_t hpa, uint64_t descriptor);
  // Is there a table of this level for the address, reached through descriptors of tables? `entry`: hpa of its descriptor.
  bool reach(uint64_t in, int level, uint64_t &entry) const;

  uint32_t tcr(unsigned side = 0) const; // size and granule, where TCR has them; stage 2: all of TCR

private:
  unsigned page() const { return 12 + 2 * shape.granule; }
  unsigned stride() const { return page() - 3; }
  unsigned shift(int level) const { return page() + static_cast<unsigned>(3 - level) * stride(); }
  uint64_t index(uint64_t in, int level) const;
  Machine &m_;
};

ims_request dma(uint32_t sid, uint64_t iova, unsigned access = IMS_ACC_R);

// For EXPECT_TRUE: the request was translated, and to this.
testing::AssertionResult goes(const ims_result &r, uint64_t output);
#define EXPECT_GOES(res, output) EXPECT_TRUE(smmu2::goes((res), (output)))

std::string text(const ims_result &r);
std::string text(const Fault &f);
std::string text(const Global &f);
inline void PrintTo(const Fault &f, std::ostream *os) { *os << text(f); }
inline void PrintTo(const Global &f, std::ostream *os) { *os << text(f); }

} // namespace smmu2
