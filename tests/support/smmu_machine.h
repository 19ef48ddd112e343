// SPDX-License-Identifier: Apache-2.0
// A small machine for tests: memory, one SMMUv3 that is reached through its registers only, and a driver's ways with it. It
// exists twice inside, byte for byte alike: every request runs through ims_translate in one half and step by step in the
// other, and both must agree in the answer, in the references and in memory.
//
// Host memory is [0, 64 MB). A guest's memory begins at IPA 0 and lies at hpa 1 GB, 64 MB of it. kAbsent is no memory.
// Descriptors and commands are put together here by their positions in the manuals, not by the library's tables.
#pragma once

#include "iommu/smmuv3/commands.h"
#include "iommu/smmuv3/smmuv3.h"
#include "pasid/smmu.h"

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace smmu {

constexpr uint64_t KB = 1024, MB = 1024 * KB, GB = 1024 * MB;
constexpr uint64_t kAbsent = 8 * GB;
constexpr uint64_t kGuestBase = 1 * GB;
constexpr uint64_t kHostSize = 64 * MB, kGuestSize = 64 * MB;

enum Granule { k4K, k16K, k64K };
enum StreamConfig { kAbort = 0, kBypass = 4, kS1 = 5, kS2 = 6, kNested = 7 };
enum Class { kCd = 0, kTt = 1, kIn = 2 };

struct Config : ims_smmuv3_config {
  Config(); // the defaults
  Config &no_caches();
};

// An STE or CD by fields, IMS_STE_* and IMS_CD_*; address fields take addresses by at().
class Ste {
public:
  explicit Ste(unsigned config = kS1); // V=1, SHCFG as incoming, S2AA64=1, S2PS of 48 bits, S2R=1
  Ste &set(ims_ste_field f, uint64_t value);
  Ste &at(ims_ste_field f, uint64_t address);
  uint64_t get(ims_ste_field f) const { return ims_ste_get(word, f); }
  uint64_t word[IMS_STE_WORDS] = {};
};

class Cd {
public:
  explicit Cd(
      unsigned asid = 1); // V=1, AA64=1, A=1, R=1, IPS of 48 bits, EPD0=1 and EPD1=1, MAIR 0 write-back, 1 Device
  Cd &set(ims_cd_field f, uint64_t value);
  Cd &at(ims_cd_field f, uint64_t address);
  uint64_t get(ims_cd_field f) const { return ims_cd_get(word, f); }
  uint64_t word[IMS_CD_WORDS] = {};
};

// Leaf bits that grant everything. Stage 1: AF, inner shareable, nG, readable and writable by all, MAIR 0.
constexpr uint64_t kS1Af = 1u << 10, kS1Ng = 1u << 11, kS1User = 1u << 6, kS1ReadOnly = 1u << 7;
constexpr uint64_t kS1All = kS1Af | kS1Ng | kS1User | 3u << 8;
constexpr uint64_t kS1Global = kS1All & ~kS1Ng;
constexpr uint64_t kContiguous = uint64_t(1) << 52;
// Stage 2: AF, inner shareable, readable and writable, write-back.
constexpr uint64_t kS2Read = 1u << 6, kS2Write = 1u << 7, kS2Af = 1u << 10;
constexpr uint64_t kS2All = kS2Af | kS2Read | kS2Write | 3u << 8 | 0xfu << 2;

// An event record, put together by the positions of 7.3.
struct Event {
  uint64_t word[4];
  unsigned id() const { return word[0] & 0xff; }
  uint64_t get(ims_smmuv3_event_field f) const { return ims_smmuv3_event_get(word, f); }
  Event &bits(unsigned low, uint64_t value); // ORed in at bit `low`
  Event &stage2(Class what, uint64_t ipa);   // S2=1, CLASS, IPA[55:12]
  Event &stalled(unsigned stag);
  Event &fetched(uint64_t address); // FetchAddr[55:3]
  bool operator==(const Event &o) const;
};
Event event(unsigned id, const ims_request &r); // ID, SSV, SSID, SID
Event fault(unsigned id, const ims_request &r); // and PnU, InD, RnW, CLASS=IN, InputAddr

// An entry of the PRI queue, chapter 8.
struct PageEntry {
  uint64_t word[2];
  bool operator==(const PageEntry &o) const { return word[0] == o.word[0] && word[1] == o.word[1]; }
};
PageEntry page_entry(const ims_page_request &r);

struct Message {
  uint64_t addr;
  uint32_t data;
  bool operator==(const Message &o) const { return addr == o.addr && data == o.data; }
};

// Commands, chapter 4.
struct Command {
  uint64_t word[2];
};
// The part of a TLBI by address that 4.4.1.1 describes. tg 0: one page, whatever the granule.
struct Pages {
  uint64_t addr;
  bool leaf = false;
  unsigned tg = 0, num = 0, scale = 0, ttl = 0; // tg: 1 4 KB, 2 16 KB, 3 64 KB
};
namespace cmd {
Command prefetch_config(uint32_t sid);
Command prefetch_addr(uint32_t sid, uint64_t addr);
Command cfgi_ste(uint32_t sid, bool leaf = true);
Command cfgi_ste_range(uint32_t sid, unsigned range);
Command cfgi_all();
Command cfgi_cd(uint32_t sid, uint32_t ssid, bool leaf = true);
Command cfgi_cd_all(uint32_t sid);
Command nh_all(unsigned vmid);
Command nh_asid(unsigned vmid, unsigned asid);
Command nh_va(unsigned vmid, unsigned asid, const Pages &p);
Command nh_vaa(unsigned vmid, const Pages &p);
Command el2_all();
Command el2_asid(unsigned asid);
Command el2_va(unsigned asid, const Pages &p);
Command el2_vaa(const Pages &p);
Command s12_vmall(unsigned vmid);
Command s2_ipa(unsigned vmid, const Pages &p);
Command nsnh_all();
Command atc_inv(uint32_t sid, uint64_t addr, unsigned size);
Command atc_inv_pasid(uint32_t sid, uint32_t ssid, uint64_t addr, unsigned size, bool global = false);
Command pri_resp(uint32_t sid, unsigned group, unsigned resp);
Command pri_resp_pasid(uint32_t sid, uint32_t ssid, unsigned group, unsigned resp);
Command resume_retry(uint32_t sid, unsigned stag);
Command resume_terminate(uint32_t sid, unsigned stag, bool abort);
Command stall_term(uint32_t sid);
Command sync();
Command sync_message(uint64_t addr, uint32_t data);
Command sync_event();
} // namespace cmd

// How start() sets up the unit.
struct Layout {
  bool two_level = false;
  unsigned log2size = 8, split = 6;        // of the stream table
  unsigned cmdq = 6, eventq = 6, priq = 5; // log2 of the entries
};

enum CommandError { kNone = 0, kIll = 1, kAbt = 2, kAtcInvSync = 3 };

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
  void expect_same_memory();

  // Registers, by row or by offset.
  uint64_t get(ims_smmuv3_reg r);
  void put(ims_smmuv3_reg r, uint64_t value);
  uint64_t read(uint32_t offset, unsigned size);
  void write(uint32_t offset, unsigned size, uint64_t value);

  // What a driver does.
  void start(const Layout &s = Layout()); // stream table, queues, CR0 with all that is there: SMMUEN, ATSCHK, queues
  void set_stream_table(const Layout &s);
  void set_queues(const Layout &s);
  void enable(uint64_t bits) { put(IMS_SMMUV3_CR0, get(IMS_SMMUV3_CR0) | bits); }
  void disable(uint64_t bits) { put(IMS_SMMUV3_CR0, get(IMS_SMMUV3_CR0) & ~bits); }

  // Structures. The functions give the hpa of an entry and make the tables above it.
  uint64_t stream_table = 0;                             // hpa
  uint64_t l1std_at(uint32_t sid);                       // two-level stream table
  uint64_t ste_at(uint32_t sid);                         //
  uint64_t cd_l1_at(uint32_t sid, uint32_t ssid);        // two-level CD table; of an STE that has one
  uint64_t cd_at(uint32_t sid, uint32_t ssid = 0);       //
  void set_ste(uint32_t sid, const Ste &e);              // the first word last
  void set_cd(uint32_t sid, uint32_t ssid, const Cd &c); //
  void set_cd(uint32_t sid, const Cd &c) { set_cd(sid, 0, c); }
  // An empty CD table for 2^cdmax substreams into the STE; in guest memory where it has stage 2.
  void make_cd_table(Ste &e, unsigned cdmax = 0, unsigned s1fmt = 0);

  // Requests.
  ims_result request(const ims_request &r);
  // The second half alone; `before` is called before each answer. The halves may differ afterwards.
  ims_result stepped(const ims_request &r, const std::function<void(ims_step_kind, const ims_step &)> &before);
  bool page_request(const ims_page_request &r);
  std::vector<ims_step> reads; // of the last request
  unsigned updates = 0;        // likewise
  bool compare_memory = true;  // after each request
  void drop_caches();

  // The command queue.
  void place(const Command &c); // into memory, behind the last
  void ring();                  // stores CMDQ_PROD
  void submit(const Command &c) { place(c), ring(); }
  void submit(const std::vector<Command> &list);
  bool wait();                       // a SYNC with a message into memory: has it come?
  CommandError command_error();      // kNone unless GERROR.CMDQ_ERR is active
  void acknowledge(uint64_t errors); // toggles these bits of GERRORN
  uint64_t errors();                 // active bits of GERROR
  uint64_t cmdq = 0;                 // hpa
  uint32_t prod = 0;                 // with the wrap bit
  unsigned cmdq_log2 = 0;
  uint64_t command_at(uint32_t index) const; // hpa

  // Events and page requests that software has not read yet, oldest first. Reading frees their places.
  std::vector<Event> events();
  std::vector<PageEntry> page_entries();
  uint64_t eventq = 0, priq = 0; // hpa
  unsigned eventq_log2 = 0, priq_log2 = 0;

  // What the unit sent. Messages of wait() are left out.
  std::vector<Message> messages;
  std::vector<ims_ats_invalidation> ats;
  std::vector<ims_page_response> responses;
  std::vector<ims_resume> resumes;
  std::set<uint32_t> mute; // sources that answer no ATC invalidation
  // Called for each half (0 and 1) while its unit sends: what software does at once.
  std::function<void(unsigned half)> on_message;
  std::function<void(unsigned half, const ims_resume &)> on_resume;

  ims_iommu *unit(unsigned half = 0) { return half_[half].unit; }
  ims_mem *mem(unsigned half = 0) { return &half_[half].mem; }

private:
  struct Half {
    ims_mem mem;
    ims_iommu *unit = nullptr;
    Machine *owner = nullptr;
    unsigned number = 0;
    std::vector<Message> messages;
    std::vector<ims_ats_invalidation> ats;
    std::vector<ims_page_response> responses;
    std::vector<ims_resume> resumes;
  };
  void collect(); // moves what both halves sent, which must be the same
  ims_result step_through(const ims_request &r, const std::function<void(ims_step_kind, const ims_step &)> &before);
  template <class Entry>
  std::vector<Entry> drain(uint64_t base, unsigned log2, ims_smmuv3_reg prod, ims_smmuv3_reg cons);
  uint64_t host(const uint64_t *ste, uint64_t address) const; // of a stage-1 structure

  Half half_[2];
  Layout setup_;
  uint64_t next_ = 1 * MB, next_guest_ = 1 * MB, status_ = 0;
  uint32_t ticket_ = 0;
};

// Translation tables of one stage in host memory, or in the guest's. Descriptors are stored by hand. Levels by the
// architecture's numbers: 3 is the last. A stage 2 starts as low as concatenation of up to 16 tables allows, unless
// `start` says otherwise.
struct Shape {
  Granule granule = k4K;
  unsigned in_bits = 48;
  bool stage2 = false, in_guest = false, ds = false;
  int start = -2; // level of the top table; -2: the usual one
};

class Tree {
public:
  Tree(Machine &m, const Shape &shape);
  const Shape shape;
  uint64_t root; // in the space of the tables: hpa or IPA
  int start;     // level of the top table
  uint64_t host(uint64_t address) const { return address + (shape.in_guest ? kGuestBase : 0); }
  uint64_t size(int level) const { return uint64_t(1) << shift(level); } // bytes that a descriptor covers
  uint64_t table(uint64_t in, int level);                                // in the space of the tables; makes them
  uint64_t at(uint64_t in, int level = 3);                               // hpa of the descriptor
  void map(uint64_t in, uint64_t out, uint64_t bits, int level = 3);
  void map_range(uint64_t in, uint64_t out, uint64_t bytes, uint64_t bits, int level = 3);
  uint64_t descriptor(uint64_t address, uint64_t bits) const; // the address where descriptors have it

  // Size, granule, base into a CD (side 0 or 1) or an STE.
  void describe(Cd &c, unsigned side = 0) const;
  void describe(Ste &e) const;

private:
  unsigned page() const { return 12 + 2 * shape.granule; }
  unsigned stride() const { return page() - 3; }
  unsigned shift(int level) const { return page() + (3 - level) * stride(); }
  Machine &m_;
};

ims_request dma(uint32_t sid, uint64_t iova, unsigned access = IMS_ACC_R);
ims_request dma(uint32_t sid, uint32_t ssid, uint64_t iova, unsigned access);
ims_request as(ims_request r, ims_request_type type);
ims_page_request page(uint32_t sid, uint64_t addr, unsigned group, bool last);
ims_page_request page(uint32_t sid, uint32_t ssid, uint64_t addr, unsigned group, bool last);

std::string text(const ims_result &r);
std::string text(const Event &e);

inline void PrintTo(const Event &e, std::ostream *os) { *os << text(e); }

} // namespace smmu
