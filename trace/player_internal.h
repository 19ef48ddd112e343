// SPDX-License-Identifier: Apache-2.0
// The inside of the player, for the play_*.cc files.
#pragma once

#include "iommu/dma_engine.h"
#include "pasid/bits.h"
#include "pgtable/pool.h"
#include "trace/events.h"
#include "trace/fields.h"
#include "trace/names.h"
#include "trace/player.h"
#include "trace/record.h"
#include "trace/stream.h"
#include "trace/text.h"

#include <array>
#include <unordered_map>

namespace ims {

struct Device;
class PlayerImpl;

struct Unit {
  std::string name;
  PlayerImpl *player = nullptr;
  ims_iommu *iommu = nullptr;
  const Arch *arch = nullptr;
  Config config;
  bool driven = false; // by the kernel
  unsigned index = 0;  // to the kernel
};

// What a DMA comes to, over all its pieces.
struct DmaSum {
  PlayerImpl *player = nullptr;
  Device *device = nullptr;
  bool any = false;
  std::string status = "ok";
  bool reached = false; // hpa is that of the first piece
  uint64_t hpa = 0, fault_iova = 0, refs = 0, done = 0, translations = 0, faults = 0, page = 0;
  unsigned fault = 0, rights = 0;
  int stag = -1; // by which it waits
  bool stopped = false, recorded = false;
  std::string from;
  std::vector<uint64_t> record;

  static void observe(void *ctx, const ims_dma_piece *p);
  void add(const ims_dma_piece &p);
  void first(const ims_dma_piece &p, const std::vector<Translation> &ts);
  void stop(const ims_dma_piece &p);
};

struct Device {
  std::string name;
  Unit *unit = nullptr;
  ims_endpoint endpoint = {};
  ims_dma_engine engine = {}; // in BAR 0, for programs that reach the device through its character device
  ims_device_regions regions = {};
  ims_device *host = nullptr; // NULL: the kernel does not know it
  int response = -1;          // code of the last page response, -1: none yet
  // Stalls: where the data of a DMA that waits will go, by STAG; and what came of the one resumed last.
  std::map<unsigned, std::shared_ptr<std::vector<uint8_t>>> waiting;
  DmaSum outcome;
  std::shared_ptr<std::vector<uint8_t>> outcome_data;
  uint64_t resumed = 0, answered = 0; // stalls that ended, page requests answered, since the event `outcome` looked
};

// What was found behind addresses, or bytes of a file, of a recorded program: the newest answer for each.
struct Answer {
  uint64_t hpa = 0, page = 0; // page 0: all of it is one
  int error = 0;
};

class AnswerMap {
public:
  void put(uint64_t start, uint64_t size, const Answer &a);
  // NULL: nothing is known. *hpa is meant with error 0.
  const Answer *find(uint64_t at, uint64_t *hpa, uint64_t *left) const;

private:
  struct Range {
    uint64_t end, origin; // where the answer's hpa is
    Answer answer;
  };
  std::map<uint64_t, Range> ranges_; // by their start; they do not overlap
};

struct Outside {
  AnswerMap pages[2]; // to read, to write
  std::map<uint64_t, std::array<AnswerMap, 2>> files;
  std::map<int, std::pair<int, uint64_t>> opens; // by descriptor: errno, file

  static int page(const AnswerMap *map, uint64_t at, bool write, uint64_t *hpa, uint64_t *left);
};

// What devices have stored in memory of programs.
class RemoteMemory {
public:
  void read(uint64_t hpa, void *buf, size_t len) const; // zeros at first
  void write(uint64_t hpa, const void *buf, size_t len);

private:
  enum : uint64_t { PAGE = 4096 };
  std::unordered_map<uint64_t, std::vector<uint8_t>> pages_;
};

struct Process {
  std::string name;
  PlayerImpl *player = nullptr;
  ims_process *process = nullptr;
  bool exited = false;
  unsigned caps = IMS_CAP_IPC_LOCK | IMS_CAP_SYS_RESOURCE | IMS_CAP_SYS_RAWIO;
  std::unique_ptr<Outside> outside; // NULL: it is simulated
  int recorded = -1;                // its number with the recorder
  RecordedUser recording;
};

// A recorded call while it is made again.
struct Calling {
  Process *process = nullptr;
  const std::vector<Piece> *in = nullptr, *seen = nullptr, *expected = nullptr;
  size_t in_next = 0, seen_next = 0;
  std::vector<int64_t> fds;
  std::vector<Piece> out, stored; // as they come

  const Piece *take_seen(uint64_t hpa, size_t len);
};

struct Vm {
  std::string name;
  Process *vmm = nullptr;
  ims_vm *vm = nullptr;
};

struct Pool {
  std::string name;
  ims_page_pool pool = {};
};

struct Table {
  std::string name;
  ims_pgt_format format = {};
  ims_pgt pgt = {};
  ims_pgt_mem mem = {};
  bool guest = false;
};

struct File {
  std::string name;
  Process *process = nullptr;
  ims_file *file = nullptr;
  int fd = -1;
  uint8_t kind = IMS_FILE_CONTAINER; // enum ims_uapi_file
  int recorded = -1;                 // its number with the recorder
};

struct Sva {
  std::string name;
  ims_sva *sva = nullptr;
};

// What the arguments of a call point to: memory of just the right size, at addresses where the process has nothing. What
// lies elsewhere is the process's simulated memory.
struct UserBuffers {
  struct Buffer {
    uint64_t base;
    std::vector<uint8_t> bytes;
  };
  ims_process *process = nullptr; // whose call is under way
  uint64_t next = 0x6fff00000000; // moves on, so that addresses of old buffers are bad pointers
  std::vector<Buffer> list;

  // The first buffer of a call; and one more, behind what is nobody's.
  uint64_t put(std::vector<uint8_t> content) {
    list.clear();
    return add(std::move(content));
  }
  uint64_t add(std::vector<uint8_t> content) {
    next += 0x10000;
    uint64_t base = next;
    next += content.size() / 0x10000 * 0x10000;
    list.push_back({base, std::move(content)});
    return base;
  }
  // NULL: no buffer lies at `at`.
  std::vector<uint8_t> *find(uint64_t at, uint64_t *offset) {
    for (Buffer &b : list)
      if (process && (*offset = at - b.base) < b.bytes.size())
        return &b.bytes;
    return nullptr;
  }
};

class PlayerImpl {
public:
  PlayerImpl(EventStream *events, const PlayOptions &options, PlayObserver *observer);
  ~PlayerImpl();
  void run();

  EventStream *events;
  PlayOptions options;
  PlayObserver *observer;
  PlayCounters count;

  ims_mem mem;
  ims_kernel *kernel = nullptr;
  Dialect dialect;
  std::vector<std::unique_ptr<Unit>> units;
  std::vector<std::unique_ptr<Device>> devices;
  std::vector<std::unique_ptr<Process>> processes;
  std::vector<std::unique_ptr<Vm>> vms;
  std::vector<std::unique_ptr<Pool>> pools;
  std::vector<std::unique_ptr<Table>> tables;
  std::vector<std::unique_ptr<File>> files;
  std::vector<std::unique_ptr<Sva>> svas;
  std::map<std::string, uint64_t> variables;
  UserBuffers buffers;
  Calling *calling = nullptr;                          // a recorded call is being made
  AnswerMap outside_memory;                            // hpas of pages of recorded programs
  std::unordered_map<uint64_t, uint32_t> outside_pins; // how often each of those is pinned
  RemoteMemory remote;
  std::map<uint64_t, uint64_t> cookies; // of mmap: the record's to ours

  bool over = false;

  // The event being carried out.
  const Event *event = nullptr;
  std::vector<Outcome> outputs;
  std::vector<Translation> translations; // since the last piece of a DMA was told

  // Values.
  [[noreturn]] void fail(Position at, const std::string &message) const;
  [[noreturn]] void fail(const std::string &message) const { fail(event->at, message); }
  uint64_t eval(const Sum &sum, const ims_uapi_value *values = nullptr) const;
  uint64_t eval(const Value &v) const; // NUMBER, SOURCE, BITS, PLACE without its space
  uint64_t attribute(const Term &t) const;
  const Value *arg(const char *key) const { return event->find(key); }
  uint64_t number(const char *key, uint64_t def = 0) const;
  bool has(const char *key) const { return arg(key) != nullptr; }
  bool word_is(const char *key, const char *word) const;
  std::string text(const char *key, const char *def = "") const;

  template <class T> T *lookup(const std::vector<std::unique_ptr<T>> &list, const std::string &name) const {
    for (auto it = list.rbegin(); it != list.rend(); ++it) // the newest: names may be used again
      if ((*it)->name == name)
        return it->get();
    return nullptr;
  }
  template <class T> T &named(const std::vector<std::unique_ptr<T>> &list, const char *key = "NAME") const {
    const Value *v = arg(key);
    T *found = lookup(list, v->text);
    if (!found)
      fail(v->at, quote(v->text) + " was not made: the event that was to make it failed");
    return *found;
  }
  Process &process_named(const char *key = "NAME") const;
  File &file_named(const char *key = "NAME") const;
  ims_device *host_device(Device &d) const;

  // Outputs and the end of an event.
  Outcome &put(const char *name, Type type, uint64_t number);
  Outcome &put_number(const char *name, uint64_t number, bool hexadecimal = false);
  void put_word(const char *name, const std::string &word);
  void put_list(const char *name, const std::vector<uint64_t> &list);
  void put_error(int err);                                 // `error`; an error that nobody expects ends the run
  void put_result(long ret, const std::string &more = ""); // `ret`, `errno`
  const Outcome *output(const std::string &name) const;
  void begin(const std::string &words) { observer->begin(*event, words); }
  void result(const std::string &words, bool good = true) { observer->result(words, good); }
  void finish();
  bool holds(const Arg &expected, const Outcome *came, std::string *expected_text, std::string *came_text) const;
  bool place_hpa(const std::string &space, uint64_t addr, uint64_t *hpa) const;
  bool expects(const char *output) const;

  // Wiring.
  static void on_message(void *ctx, uint64_t addr, uint32_t data);
  static bool on_ats_invalidate(void *ctx, const ims_ats_invalidation *inv);
  static void on_page_response(void *ctx, const ims_page_response *resp);
  static void on_resume(void *ctx, const ims_resume *resume);
  static void on_translate(void *device, ims_iommu *unit, const ims_request *req, ims_result *res);
  static void on_region_write(void *device, unsigned region, uint64_t offset, unsigned bytes, uint64_t value);
  static void on_note(void *ctx, const ims_note *note);
  static bool on_user_read(void *ctx, void *dst, uint64_t src, size_t len);
  static bool on_user_write(void *ctx, uint64_t dst, const void *src, size_t len);
  static int on_user_page(void *ctx, uint64_t va, bool write, uint64_t *hpa, uint64_t *left);
  static int on_user_file_open(void *ctx, int fd, uint64_t *file);
  static int on_user_file_page(void *ctx, uint64_t file, uint64_t offset, bool write, uint64_t *hpa, uint64_t *left);
  static void on_user_pin(void *ctx, uint64_t hpa, uint64_t size, bool on);
  static uint32_t on_user_pins(void *ctx, uint64_t hpa);
  static int on_user_fd_new(void *ctx);
  static int on_remote_read(void *ctx, uint64_t hpa, void *buf, size_t len);
  static int on_remote_write(void *ctx, uint64_t hpa, const void *buf, size_t len);
  void set_user(Process &p);
  bool call_read(void *dst, uint64_t src, size_t len);
  bool call_write(uint64_t dst, const void *src, size_t len);
  long kernel_ioctl(File &f, uint32_t word, uint64_t argument);
  long kernel_read(File &f, uint64_t buf, size_t len, uint64_t offset);
  long kernel_write(File &f, uint64_t buf, size_t len, uint64_t offset);
  long make_call(File &f, const std::string &call, uint32_t word, uint64_t *cookie);
  File &add_file(std::unique_ptr<File> f);
  void record_event();
  uint64_t calls_before = 0; // that were recorded before this event
  Process &outside_named() const;
  void translate(const Device &d, const ims_request &req, ims_result *res);
  void translate_untimed(ims_iommu *unit, Translation *t);
  void resume(Device &d, const ims_resume &resume);
  void interrupts();

  // Events.
  void play(const Event &e);
  void memory_event();
  void kernel_event();
  void iommu_event();
  void device_event();
  void process_event();
  void vm_event();
  void slot_event();
  void guest_pool_event();
  void pool_event();
  void table_event();
  void alloc_event();
  void mmap_event();
  void memfd_event();
  void munmap_event();
  void mprotect_event();
  void exit_event();
  void open_event();
  void close_event();
  void ioctl_event();
  void ioctl_raw_event();
  void fault_read_event();
  void page_response_event();
  void read_file_event();
  void write_file_event();
  void poll_event();
  void sva_bind_event();
  void sva_unbind_event();
  void pasid_quota_event();
  void device_set_event();
  void process_set_event();
  void call_event();
  void share_event();
  void adopt_event();
  void page_event();
  void file_open_event();
  void map_event();
  void unmap_event();
  void protect_event();
  void write_event();
  void fill_event();
  void read_event();
  void mmio_write_event();
  void mmio_read_event();
  void descriptor_event();
  void dma_event();
  void outcome_event();
  void command_event();
  void event_read_event();
  void request_read_event();
  void entry_event();
  void page_request_event();
  void fault_log_event();
  void drop_caches_event();
  void barrier_event();
  void let_event();
  void say_event();

  // Helpers of those.
  Unit &smmuv3_named() const;
  void put_dma(const DmaSum &sum);
  void put_event_fields(const uint64_t *record);
  void queue_read_event(File &f);
  void records_read(File &f, const ims_uapi_struct &layout);
  void records_write(File &f, const ims_uapi_struct &layout);
  uint32_t register_offset(Unit &u, const Value &v, unsigned *bytes, const RegisterInfo **reg) const;
  int access_place(const Value &place, uint64_t addr, void *buf, size_t len, bool write);
  std::string place_text(const Value &place, uint64_t addr) const;
  unsigned perm_of(const Table &t, const std::string &letters) const;
  unsigned prot_of(const std::string &letters) const;
  std::string name_of(const char *key) const { return text(key); }
};

// success, invalid, failure; none: -1.
const char *response_word(int code);

// IMS_ACC_* of read, write, exec, atomic.
unsigned access_bits(const std::string &word);

} // namespace ims
