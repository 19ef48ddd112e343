// SPDX-License-Identifier: Apache-2.0
// A small machine for tests: memory, one VT-d unit that is reached through its registers only, and a driver's ways with
// it. It exists twice inside, byte for byte alike: every request runs through ims_translate in one half and step by step
// in the other, and both must agree in the answer, in the references and in memory.
//
// Host memory is [0, 64 MB). A guest's memory begins at gpa 0 and lies at hpa 1 GB, 64 MB of it. kAbsent is no memory.
#pragma once

#include "iommu/vtd/vtd.h"
#include "pasid/vtd.h"

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace vtd {

constexpr uint64_t KB = 1024, MB = 1024 * KB, GB = 1024 * MB;
constexpr uint64_t kAbsent = 8 * GB;
constexpr uint64_t kGuestBase = 1 * GB;
constexpr uint64_t kHostSize = 64 * MB, kGuestSize = 64 * MB;
constexpr unsigned kHaw = 46; // below 52, so that there are reserved address bits

enum Mode { kLegacy = 0, kScalable = 1, kAbort = 3 };
enum Pgtt { kFirst = 1, kSecond = 2, kNested = 3, kPassThrough = 4 };

struct Config : ims_vtd_config {
  Config();
  Config &no_caches();
};

// Structures by the names of chapter 9.
struct Context {
  bool p = true, fpd = false, dte = true, paside = true, pre = true;
  unsigned pdts = 0;
  uint64_t dir = 0;
  uint32_t rid_pasid = 0;
  bool rid_priv = false;
};

struct LegacyContext {
  bool p = true, fpd = false;
  unsigned tt = 0, aw = 2;
  uint64_t ss = 0;
  unsigned did = 1;
};

struct PasidEntry {
  bool p = true, fpd = false;
  unsigned pgtt = kFirst, aw = 2, did = 1;
  uint64_t ss = 0, fs = 0;
  unsigned fspm = 0;
  bool ssade = false, pwsnp = true, pgsnp = false, sre = true, wpe = true, eafe = false;
  bool ssee = false, ere = false, nxe = false, smep = false; // rev 3.x
};

// Leaf and table bits that grant everything; A and D are clear.
constexpr uint64_t kFsAll = IMS_FS_P | IMS_FS_RW | IMS_FS_US;
constexpr uint64_t kSsAll = IMS_SS_R | IMS_SS_W;

struct Record {
  uint64_t low, high;
  bool operator==(const Record &o) const { return low == o.low && high == o.high; }
};

struct Message {
  uint64_t addr;
  uint32_t data;
  bool operator==(const Message &o) const { return addr == o.addr && data == o.data; }
};

// A descriptor of the invalidation queue; see 6.5.2.
struct Descriptor {
  uint64_t word[4];
};
namespace inv {
enum { kGlobal = 1, kDomain = 2, kDevice = 3, kPage = 3 };
Descriptor context(unsigned granularity, unsigned did = 0, unsigned source = 0, unsigned fm = 0);
Descriptor iotlb(unsigned granularity, unsigned did = 0, uint64_t addr = 0, unsigned am = 0, bool ih = false);
Descriptor piotlb(unsigned did, uint32_t pasid);
Descriptor piotlb_page(unsigned did, uint32_t pasid, uint64_t addr, unsigned am = 0, bool ih = false);
Descriptor pasid_cache_global();
Descriptor pasid_cache_domain(unsigned did);
Descriptor pasid_cache(unsigned did, uint32_t pasid);
Descriptor device_tlb(unsigned source, uint64_t addr, bool s);
Descriptor pasid_device_tlb(unsigned source, uint32_t pasid, uint64_t addr, bool s, bool global = false);
Descriptor interrupt_entry_cache(bool index = false, unsigned im = 0, unsigned iidx = 0);
Descriptor wait_status(uint64_t addr, uint32_t data, bool interrupt = false, bool fence = false, bool drain = false);
Descriptor wait_interrupt();
Descriptor page_response(unsigned source, uint32_t pasid, bool has_pasid, unsigned group, unsigned code, bool last);
} // namespace inv

class Machine {
public:
  explicit Machine(const Config &config = Config());
  ~Machine();
  Machine(const Machine &) = delete;
  Machine &operator=(const Machine &) = delete;

  const Config cfg;

  // Memory: the same in both halves.
  uint64_t alloc(unsigned pages = 1);       // hpa, zeroed
  uint64_t guest_alloc(unsigned pages = 1); // gpa, zeroed
  uint64_t load(uint64_t hpa);
  void store(uint64_t hpa, uint64_t value);
  void set(uint64_t hpa, uint64_t bits) { store(hpa, load(hpa) | bits); }
  void clear(uint64_t hpa, uint64_t bits) { store(hpa, load(hpa) & ~bits); }
  void point(uint64_t hpa, uint64_t address); // replaces bits 63:12
  void expect_same_memory();

  // Registers, by row or by offset.
  uint64_t get(ims_vtd_reg r);
  void put(ims_vtd_reg r, uint64_t value);
  uint64_t read(uint32_t offset, unsigned size);
  void write(uint32_t offset, unsigned size, uint64_t value);

  // What a driver does.
  void command(uint32_t bit, bool on = true); // GCMD with the levels of GSTS, as Linux does
  void set_root_table(Mode mode);             // RTADDR and SRTP; the table is made at the first use
  void start_queue(bool wide, unsigned qs = 0);
  void start(Mode mode); // root table, queue, translation on

  // Structures. The functions give the hpa of an entry and make the tables above it.
  uint64_t root = 0;                                     // hpa of the root table
  uint64_t root_entry(unsigned source);                  // scalable: of the half that counts
  uint64_t context_entry(unsigned source);               //
  uint64_t directory_entry(unsigned source, uint32_t p); // needs the context entry
  uint64_t pasid_entry(unsigned source, uint32_t p);     //
  void set_context(unsigned source, Context c);          // dir 0: one is made
  void set_context(unsigned source, const LegacyContext &c);
  void set_pasid(unsigned source, uint32_t pasid, const PasidEntry &e);

  // Requests.
  ims_result request(const ims_request &r);
  // The second half alone; `before` is called before each answer. The halves may differ afterwards.
  ims_result stepped(const ims_request &r, const std::function<void(ims_step_kind, const ims_step &)> &before);
  bool page_request(const ims_page_request &r);
  std::vector<ims_step> reads; // of the last request
  unsigned updates = 0;        // likewise
  bool compare_memory = true;  // after each request
  void drop_caches();

  // The queue.
  uint64_t queue = 0;
  uint32_t tail = 0;
  unsigned descriptor_bytes = 32;
  uint32_t queue_bytes = 4096;
  void place(const Descriptor &d); // into memory, behind the tail
  void ring();                     // stores IQT
  void submit(const Descriptor &d) { place(d), ring(); }
  bool wait(); // a wait descriptor with a status write: has it come?

  // Fault records, oldest first, read and cleared through MMIO; and PFO.
  std::vector<Record> faults();

  // What the unit sent.
  std::vector<Message> messages;
  std::vector<ims_ats_invalidation> ats;
  std::vector<ims_page_response> responses;
  std::set<uint32_t> mute; // sources that answer no device-TLB invalidation

  ims_iommu *unit(unsigned half = 0) { return half_[half].unit; }
  ims_mem *mem(unsigned half = 0) { return &half_[half].mem; }

private:
  struct Half {
    ims_mem mem;
    ims_iommu *unit = nullptr;
    Machine *owner = nullptr;
    std::vector<Message> messages;
    std::vector<ims_ats_invalidation> ats;
    std::vector<ims_page_response> responses;
  };
  void collect(); // moves what both halves sent, which must be the same
  ims_result step_through(const ims_request &r, const std::function<void(ims_step_kind, const ims_step &)> &before);

  Half half_[2];
  uint64_t next_ = 1 * MB, next_guest_ = 1 * MB, status_ = 0;
  uint32_t ticket_ = 0;
  Mode mode_ = kScalable;
};

// A tree of 9 bits a level, first or second stage, in host memory or in the guest's.
class Tree {
public:
  Tree(Machine &m, unsigned levels, uint64_t table_bits, bool in_guest = false);
  uint64_t root; // in the space of the tables: hpa or gpa
  unsigned levels;
  uint64_t at(uint64_t in, unsigned level = 1); // hpa of the entry of that level
  uint64_t table(uint64_t in, unsigned level);  // the table that holds it, in the space of the tables
  void map(uint64_t in, uint64_t out, uint64_t bits, unsigned level = 1);

private:
  Machine &m_;
  uint64_t bits_, base_;
};

ims_request dma(unsigned source, uint64_t iova, unsigned access = IMS_ACC_R);
ims_request dma(unsigned source, uint32_t pasid, uint64_t iova, unsigned access);
ims_request as(ims_request r, ims_request_type type);

// The two words of a fault recording register for a request (11.4.14), from its own fields.
Record record(unsigned reason, const ims_request &r);

std::string text(const ims_result &r);
std::string text(const Record &r);

} // namespace vtd

// For GoogleTest's messages.
namespace vtd {
inline void PrintTo(const Record &r, std::ostream *os) { *os << text(r); }
} // namespace vtd
