// SPDX-License-Identifier: Apache-2.0
// The rows of the event table.
#include "trace/events.h"
#include "iommu/smmuv3/commands.h"
#include "trace/names.h"
#include "trace/structures.h"
#include "trace/text.h"

#include <algorithm>

namespace ims {

namespace {

using P = ParamInfo;
using O = OutputInfo;

P place(const char *name, Type type, const char *sentence, unsigned kinds = 0, const char *words = nullptr) {
  return {name, type, P::PLACE, words, kinds, nullptr, sentence};
}
P need(const char *name, Type type, const char *sentence, unsigned kinds = 0) {
  return {name, type, P::REQUIRED, nullptr, kinds, nullptr, sentence};
}
P may(const char *name, Type type, const char *def, const char *sentence, unsigned kinds = 0,
      const char *words = nullptr) {
  return {name, type, P::OPTIONAL, words, kinds, def, sentence};
}
P flag(const char *name, const char *sentence) {
  return {name, Type::FLAG, P::OPTIONAL, nullptr, 0, nullptr, sentence};
}
P object(unsigned kinds, const char *sentence) { return place("NAME", Type::NAME, sentence, kinds); }
P made(unsigned kind, const char *sentence) { return place("NAME", Type::NEW_NAME, sentence, kind); }

const O ret = {"ret", Type::NUMBER, nullptr, "what the call returned: 0 or more, or -errno"};
const O errno_ = {"errno", Type::ERRNO, nullptr, "its error by name, or OK"};
const O error = {"error", Type::ERROR, nullptr, "error of the library by name, or OK"};
const std::vector<O> syscall = {ret, errno_};

std::vector<O> with(std::vector<O> list, const std::vector<O> &more) {
  list.insert(list.end(), more.begin(), more.end());
  return list;
}

// Commands of SMMUv3 joined by |.
const char *command_words() {
  static const std::string words = [] {
    std::string text;
    for (unsigned i = 0; const ims_smmuv3_command_info *c = ims_smmuv3_commands(i); i++)
      text += std::string(c->name) + "|";
    return text + "RAW";
  }();
  return words.c_str();
}

const char *const perm_words = "any of r, w, x, u joined";

std::vector<EventInfo> make() {
  using T = Type;
  std::vector<EventInfo> all;
  auto add = [&](EventId id, const char *name, const char *section, bool kernel, const char *sentence,
                 const char *example, std::vector<P> params, std::vector<O> outputs, const char *dynamic = nullptr) {
    all.push_back({id, name, section, kernel, dynamic, sentence, example, std::move(params), std::move(outputs)});
  };
  const char *s = "The machine";
  add(EventId::MEMORY, "memory", s, false, "Adds a range of physical memory. What lies in no range is a bus error.",
      "memory hpa=0x0 size=4G", {need("hpa", T::NUMBER, "first byte"), need("size", T::NUMBER, "bytes")}, {error});
  add(EventId::KERNEL, "kernel", s, false,
      "Boots the host's kernel. IOMMUs and devices that follow are driven by it. Without this event the machine is "
      "bare: "
      "the trace writes registers and tables itself.",
      "kernel pool=256M pool_size=512M dialect=vsva-v1",
      {need("pool", T::NUMBER, "hpa of the memory that the kernel allocates from"),
       need("pool_size", T::NUMBER, "its size"),
       may("dialect", T::WORD, "vsva-v7",
           "which posting of the vSVA series, or of the SMMUv3 nested series, its ioctls follow", 0,
           "vsva-v1|vsva-v2|vsva-v3|vsva-v4|vsva-v5|vsva-v6|vsva-v7|smmuv3-v10|smmuv3-v13"),
       may("iommu_h", T::WORD, "auto",
           "layout of linux/iommu.h: a as in 5.8, b with argsz as in 5.10; auto: a for v1 and v2, else b", 0,
           "auto|a|b"),
       may("mode", T::WORD, "scalable", "legacy: units are driven in legacy mode whatever they offer", 0,
           "scalable|legacy"),
       may("cpu", T::WORD, "x86-64", "page tables of processes: those of x86-64, or of Arm by their granule", 0,
           "x86-64|arm-4K|arm-16K|arm-64K"),
       may("cpu_levels", T::NUMBER, "4", "x86-64: levels of the processes' page tables: 4 or 5"),
       may("s2_levels", T::NUMBER, "4", "levels of second-stage tables, at most: 3 to 5"),
       may("selftest", T::WORD, "off",
           "the kernel's own tests of iommufd: IOMMU_TEST_CMD and the mock driver behind it, as the tests of that "
           "version expect them",
           0, "off|7.2|7.3"),
       flag("smmu_bypass", "SMMU: streams that nothing is attached to bypass, instead of being aborted"),
       may("doorbell", T::NUMBER, "0x8090000", "Arm: hpa of the page that interrupt messages are written to"),
       may("pasid_quota", T::NUMBER, "1000", "PASIDs that a process may hold"),
       may("mappings", T::NUMBER, "65535", "mappings that a container may hold (dma_entry_limit)")},
      {error});
  add(EventId::IOMMU, "iommu", s, false,
      "Adds an IOMMU. Capabilities and cache sizes are given by name (`iommusim config --list` has them all, under "
      "vtd.). "
      "With a kernel, its driver takes the unit over at once.",
      "iommu iommu0 iotlb_entries=64 iotlb_ways=4 cm=1",
      {made(KIND_IOMMU, "its name"), may("arch", T::WORD, "vtd", "architecture", 0, "vtd|smmuv3|smmuv2"),
       may("driver", T::WORD, "yes", "no: the kernel leaves it alone", 0, "yes|no")},
      {error}, "`CAPABILITY=VALUE`, `KNOB=VALUE`: any row of `iommusim config --list`, without the prefix");
  add(EventId::DEVICE, "device", s, false, "Adds a device function behind an IOMMU.",
      "device dev0 iommu=iommu0 source=00:03.0 group=7 pasid_bits=20 ats pri atc=64",
      {made(KIND_DEVICE, "its name"), need("iommu", T::NAME, "the unit that it is behind", KIND_IOMMU),
       need("source", T::SOURCE, "requester id"),
       may("group", T::NUMBER, "none", "IOMMU group: its file is /dev/vfio/GROUP"),
       may("pasid_bits", T::NUMBER, "0", "width of its PASID capability; 0: it has none"), flag("ats", "it has ATS"),
       flag("pri", "it has the page request interface"),
       flag("pasid_exec", "its PASID capability has execute permission"),
       flag("pasid_priv", "its PASID capability has privileged mode"),
       may("atc", T::NUMBER, "64 with ats, else 0", "entries of its device TLB"),
       may("atc_ways", T::NUMBER, "0", "ways of it; 0: fully associative"),
       may("requests", T::NUMBER, "64", "page requests that it may have outstanding"),
       flag("mute", "a broken device: it neither obeys nor answers invalidations"),
       flag("platform", "not a PCI device"),
       flag("stall", "SMMU: the kernel may let its transactions stall; platform devices only")},
      {error});
  add(EventId::PROCESS, "process", s, true, "Starts a process: an address space, and a table of open files.",
      "process vmm",
      {made(KIND_PROCESS, "its name"),
       may("outside", T::FLAG, "no",
           "a program that was recorded: its memory and descriptors are not simulated; `call`, `page`, `file-open` and "
           "`file-page` say what the kernel sees of them"),
       flag("user", "without root's capabilities: IPC_LOCK, SYS_RESOURCE, SYS_RAWIO"),
       may("memlock", T::NUMBER, "no limit", "bytes that it may pin without IPC_LOCK (RLIMIT_MEMLOCK)")},
      {error});
  add(EventId::VM, "vm", s, true, "Makes a virtual machine of a process, still without memory.", "vm vm0 process=vmm",
      {made(KIND_VM, "its name"), need("process", T::NAME, "the VMM", KIND_PROCESS)}, {error});
  add(EventId::SLOT, "slot", s, true, "Gives a virtual machine memory: a range of the VMM's addresses.",
      "slot vm0 gpa=0x0 va=0x7f0000000000 size=64M",
      {object(KIND_VM, "the virtual machine"), need("gpa", T::NUMBER, "first guest physical address"),
       need("va", T::NUMBER, "where it lies in the VMM"), need("size", T::NUMBER, "bytes")},
      {error});
  add(EventId::GUEST_POOL, "guest-pool", s, true, "Says where the guest's allocator takes its pages from.",
      "guest-pool vm0 gpa=1M size=1M",
      {object(KIND_VM, "the virtual machine"), need("gpa", T::NUMBER, "first address"),
       need("size", T::NUMBER, "bytes")},
      {error});
  add(EventId::POOL, "pool", s, false,
      "Names a range of physical memory from which tables and pages are allocated; for "
      "machines without a kernel.",
      "pool tables hpa=1M size=1M",
      {made(KIND_POOL, "its name"), need("hpa", T::NUMBER, "first byte"), need("size", T::NUMBER, "bytes")}, {error});
  add(EventId::TABLE, "table", s, false,
      "Makes an empty page table. In a virtual machine its addresses are gpa; in a pool they are hpa.",
      "table gpt in=vm0 levels=4",
      {made(KIND_TABLE, "its name"), need("in", T::NAME, "where its pages come from", KIND_VM | KIND_POOL),
       may("format", T::WORD, "x86",
           "x86: first stage; vtd-ss: VT-d's second stage; s1, s2: VMSAv8-64 stage 1 and stage 2", 0,
           "x86|vtd-ss|s1|s2"),
       may("levels", T::NUMBER, "4",
           "x86: 4 or 5; vtd-ss: 3 to 5; s2: as few as concatenation permits; s1: by its bits"),
       may("granule", T::WORD, "4K", "s1, s2: the page size", 0, "4K|16K|64K"),
       may("bits", T::NUMBER, "48", "s1, s2: width of the input address, 64 - TxSZ"),
       may("out", T::NUMBER, "48", "s1, s2: width of the output address"),
       flag("upper", "s1: the upper half of the addresses (TTB1)"), flag("ha", "s1, s2: hardware sets AF"),
       flag("hd", "s1, s2: hardware notes writes"), flag("big_endian", "s1, s2: big-endian descriptors")},
      {error, {"root", T::NUMBER, nullptr, "address of the top table"}});
  add(EventId::ALLOC, "alloc", s, false, "Takes memory, filled with zero, from a guest's pool or a pool.",
      "alloc tables size=4K let root=addr",
      {object(KIND_VM | KIND_POOL, "where from"), may("size", T::NUMBER, "4K", "bytes, a power of two")},
      {error, {"addr", T::NUMBER, nullptr, "where it lies: gpa or hpa"}});

  s = "Processes and their memory";
  add(EventId::MMAP, "mmap", s, true, "Maps anonymous memory, or a file of memory, into a process.",
      "mmap vmm va=0x7f0000000000 size=64M prot=rw populate",
      {object(KIND_PROCESS, "the process"), may("va", T::NUMBER, "the kernel chooses", "address, taken as it is"),
       need("size", T::NUMBER, "bytes"), may("prot", T::WORD, "rw", "rights: any of r, w, x joined, or none"),
       flag("populate", "pages now; else at their first use"),
       may("page", T::WORD, "the smallest", "page size", 0, "4K|16K|64K|2M|32M|512M|1G"),
       may("file", T::NAME, "anonymous", "whose memory, shared", KIND_FILE),
       may("offset", T::NUMBER, "0", "where in the file")},
      with(syscall, {{"va", T::NUMBER, nullptr, "address"}}));
  add(EventId::MEMFD, "memfd", s, true, "Makes a file of memory (memfd_create, ftruncate), to be mapped and shared.",
      "memfd ram process=vmm size=16M page=2M",
      {made(KIND_FILE, "its name"), need("process", T::NAME, "whose", KIND_PROCESS), need("size", T::NUMBER, "bytes"),
       may("page", T::WORD, "the smallest", "page size", 0, "4K|2M|1G")},
      syscall);
  add(EventId::MUNMAP, "munmap", s, true, "Unmaps a range. Devices bound to the process are told.",
      "munmap app va=0x500000000000 size=4K",
      {object(KIND_PROCESS, "the process"), need("va", T::NUMBER, "address"), need("size", T::NUMBER, "bytes")},
      syscall);
  add(EventId::MPROTECT, "mprotect", s, true, "Changes rights. Devices bound to the process are told.",
      "mprotect app va=0x500000000000 size=4K prot=r",
      {object(KIND_PROCESS, "the process"), need("va", T::NUMBER, "address"), need("size", T::NUMBER, "bytes"),
       need("prot", T::WORD, "rights: any of r, w, x joined, or none")},
      syscall);
  add(EventId::EXIT, "exit", s, true, "Ends a process: its files are closed, its bindings cut off, its memory freed.",
      "exit app", {object(KIND_PROCESS, "the process")}, {});

  s = "Calls to the kernel";
  add(EventId::OPEN, "open", s, true, "Opens a file. The name stands for the open file from here on.",
      "open c0 /dev/vfio/vfio process=vmm",
      {made(KIND_FILE, "its name"),
       place("PATH", T::PATH,
             "/dev/vfio/vfio (a container), /dev/vfio/GROUP, /dev/iommu, or /dev/vfio/devices/vfioN: the devices with "
             "a group "
             "are numbered from 0 on"),
       need("process", T::NAME, "who opens it", KIND_PROCESS),
       may("fd", T::NUMBER, "the lowest free", "its number in the process")},
      syscall);
  add(EventId::CLOSE, "close", s, true, "Closes a file.", "close c0", {object(KIND_FILE, "the file")}, syscall);
  add(EventId::IOCTL, "ioctl", s, true,
      "Calls an ioctl by name. Where its argument has several shapes, the shape stands behind a slash. The argument "
      "lies "
      "in a buffer of just its size. Fields that are left out are 0, except that size and argsz are the size of the "
      "structure, "
      "flags, type and granularity are those of the shape, and pointers, lengths and counts those of what lies apart.",
      "ioctl c0 VFIO_IOMMU_MAP_DMA flags=READ|WRITE vaddr=0x7f0000000000 iova=0x0 size=64M expect ret=0",
      {object(KIND_FILE, "the file"), place("IOCTL", T::IOCTL, "its name"),
       may("buffer", T::NUMBER, "the size of the structure", "bytes of the buffer: too short a one gives EFAULT"),
       may("arg", T::NUMBER, "the buffer's address", "the argument itself, for bad pointers"),
       may("value", T::BITS, "0",
           "the argument of an ioctl that takes a number; VFIO_TYPE1_NESTING_IOMMU and its like "
           "may be written by name"),
       may("fd", T::BITS, "-1",
           "the descriptor that the argument points to (SET_CONTAINER) or holds (MAP_FILE): a number or", KIND_FILE),
       may("file", T::NEW_NAME, "none",
           "what to call the descriptor that the call makes (out_fault_fd, out_veventq_fd)", KIND_FILE)},
      syscall, "`FIELD=VALUE`: the fields of the argument's structures (see below); flags by name, joined by `|`");
  add(EventId::IOCTL_RAW, "ioctl-raw", s, true, "Calls an ioctl by number, the argument as bytes.",
      "ioctl-raw c0 0x3b7b bytes=5000000001000000 expect errno=EINVAL",
      {object(KIND_FILE, "the file"), place("WORD", T::NUMBER, "the command word"),
       may("bytes", T::BYTES, "none", "what lies in the buffer, which has just this size"),
       may("value", T::NUMBER, "the buffer's address", "the argument itself")},
      with(syscall, {{"bytes", T::BYTES, nullptr, "what lies in the buffer afterwards"}}));
  add(EventId::FAULT_READ, "fault-read", s, true,
      "Reads page requests from a fault queue of an iommufd. From a container: one page request of a guest; on an SMMU "
      "also faults of a guest's stage 1 (type DMA_UNRECOV).",
      "fault-read c0 expect ret=64 perm=WRITE let grp=grpid",
      {object(KIND_FILE, "the container or fault queue"),
       may("count", T::NUMBER, "1", "fault queue: for how many records there is room")},
      syscall,
      "outputs: the fields of `iommu_hwpt_pgfault`, those of the second and further records with their number before "
      "(`1.addr`); container: of `iommu_fault_page_request`, or of `iommu_fault_unrecoverable`");
  add(EventId::PAGE_RESPONSE, "page-response", s, true,
      "Answers page requests, through a fault queue of an iommufd or a container.",
      "page-response c0 version=1 flags=PASID_VALID pasid=$pasid grpid=$grp code=SUCCESS",
      {object(KIND_FILE, "the container or fault queue")}, syscall,
      "`FIELD=VALUE`: the fields of `iommu_hwpt_page_response`, those of the second and further answers with their "
      "number "
      "before (`1.cookie`); container: of `iommu_page_response` in the layout in force");
  add(EventId::READ_FILE, "read-file", s, true, "Reads bytes of a file: queues, regions of a device.",
      "read-file d0 size=4 offset=$bar0+0x10 expect ret=4 u32=1",
      {object(KIND_FILE, "the file"), may("size", T::NUMBER, "8", "bytes, 1 MB at most"),
       may("offset", T::NUMBER, "0", "where"),
       may("buf", T::NUMBER, "a buffer of just this size", "where to, for bad pointers")},
      with(syscall, {{"bytes", T::BYTES, nullptr, "what came"},
                     {"u64", T::LIST, nullptr, "the same as 64-bit words"},
                     {"u32", T::LIST, nullptr, "as 32-bit words"}}));
  add(EventId::WRITE_FILE, "write-file", s, true, "Writes bytes to a file.",
      "write-file d0 u32=1 offset=$bar0+0x10 expect ret=4",
      {object(KIND_FILE, "the file"), may("u64", T::LIST, "none", "64-bit words, little-endian"),
       may("u32", T::LIST, "none", "32-bit words"), may("bytes", T::BYTES, "none", "bytes"),
       may("offset", T::NUMBER, "0", "where"),
       may("buf", T::NUMBER, "a buffer of just this size", "where from, for bad pointers"),
       may("size", T::NUMBER, "that of the buffer", "bytes to write")},
      syscall);
  add(EventId::POLL, "poll", s, true, "Asks whether a file can be read or written.", "poll q0 expect in=yes out=yes",
      {object(KIND_FILE, "the file")},
      {{"in", T::WORD, "yes|no", "there is something to read"},
       {"out", T::WORD, "yes|no", "it can be written"},
       {"hup", T::WORD, "yes|no", "nothing will come any more"}});
  add(EventId::SVA_BIND, "sva-bind", s, true,
      "Binds a process to a device, as a driver in the kernel does (iommu_sva_bind_device).",
      "sva-bind s0 device=dev0 process=app let pasid=pasid",
      {made(KIND_SVA, "the binding's name"), need("device", T::NAME, "the device", KIND_DEVICE),
       need("process", T::NAME, "the process", KIND_PROCESS)},
      with(syscall, {{"pasid", T::NUMBER, nullptr, "the process's PASID"}}));
  add(EventId::SVA_UNBIND, "sva-unbind", s, true, "Gives a binding up.", "sva-unbind s0",
      {object(KIND_SVA, "the binding")}, {});
  add(EventId::PASID_QUOTA, "pasid-quota", s, true, "Writes the module parameter pasid_quota.", "pasid-quota 2",
      {place("QUOTA", T::NUMBER, "PASIDs that a process may hold")}, syscall);
  add(EventId::DEVICE_SET, "device-set", s, true, "Turns a device's ATS or page requests on or off in the kernel.",
      "device-set dev0 pri=off",
      {object(KIND_DEVICE, "the device"), may("ats", T::WORD, "as it is", "ATS", 0, "on|off"),
       may("pri", T::WORD, "as it is", "page requests", 0, "on|off")},
      syscall);

  add(EventId::PROCESS_SET, "process-set", s, true,
      "Gives a process capabilities or takes them away, and says what it may pin; recordings have it where a program's "
      "rights "
      "changed.",
      "process-set vmm ipc_lock=off memlock=64K",
      {object(KIND_PROCESS, "the process"), may("ipc_lock", T::WORD, "as it is", "CAP_IPC_LOCK", 0, "on|off"),
       may("sys_resource", T::WORD, "as it is", "CAP_SYS_RESOURCE", 0, "on|off"),
       may("sys_rawio", T::WORD, "as it is", "CAP_SYS_RAWIO", 0, "on|off"),
       may("memlock", T::NUMBER, "as it is", "bytes that it may pin without IPC_LOCK (RLIMIT_MEMLOCK)")},
      {});

  s = "Recorded calls";
  std::vector<OutputInfo> called = with(
      syscall, {{"out", T::PIECES, nullptr, "what the kernel wrote to the program's memory, and where it could not"},
                {"stored", T::PIECES, nullptr, "what devices wrote to the program's pages meanwhile, by hpa"},
                {"cookie", T::NUMBER, nullptr, "of mmap: what munmap calls the mapping"}});
  add(EventId::CALL, "call", s, true,
      "A call as a program made it, with all that the kernel saw of the program. Replaying it needs the program no "
      "more: "
      "what the kernel reads comes from `in`, and what lies neither there nor in the simulated memory of the process "
      "is a bad "
      "pointer.",
      "call f0 0x3b81 arg=0x7ffd0010 at=5210 took=840 in=0x7ffd0010:0c00000000000000 expect ret=0 "
      "out=0x7ffd0010:0c0000000000000001000000",
      {object(KIND_FILE, "the file"), place("CALL", T::CALL, "an ioctl's number or name; or read, write, mmap, munmap"),
       may("arg", T::NUMBER, "0", "the argument; of read and write the buffer, of munmap the cookie"),
       may("len", T::NUMBER, "0", "bytes, of read, write and mmap"),
       may("offset", T::NUMBER, "0", "in the file, of read, write and mmap"),
       may("prot", T::WORD, "none", "of mmap: any of r, w, x joined"),
       may("shared", T::FLAG, "no", "of mmap: MAP_SHARED"),
       may("at", T::NUMBER, "unknown", "when it began: ns since the recording did"),
       may("took", T::NUMBER, "unknown", "ns"),
       may("fds", T::LIST, "none", "numbers for descriptors that it makes, in this order"),
       may("in", T::PIECES, "none", "what the kernel read of the program's memory, and where it could not"),
       may("seen", T::PIECES, "none", "what devices read in pages of programs meanwhile, by hpa")},
      called);
  add(EventId::SHARE, "share", s, true, "Another descriptor of an open file, as dup and fork make them.",
      "share f1 f0 process=p1 fd=3",
      {made(KIND_FILE, "its name"), place("FILE", T::NAME, "the open file", KIND_FILE),
       need("process", T::NAME, "whose descriptor it is", KIND_PROCESS),
       may("fd", T::NUMBER, "the lowest free", "its number in the process")},
      syscall);
  add(EventId::ADOPT, "adopt", s, true, "Names a descriptor that a call made: a fault queue, an event queue.",
      "adopt f2 process=p0 fd=5",
      {made(KIND_FILE, "its name"), need("process", T::NAME, "whose descriptor it is", KIND_PROCESS),
       need("fd", T::NUMBER, "its number in the process")},
      syscall);
  const char *access = "what the kernel wanted to do with it", *what = "0, or what came instead of a page";
  add(EventId::PAGE, "page", s, true,
      "Which memory lies behind addresses of a program (`process ... outside`), as the kernel asked for it to be "
      "reached by "
      "devices. Holds until another `page` says otherwise.",
      "page p0 va=0x7f0000000000 size=0x4000 page=0x1000 hpa=0x1000000003000 access=write",
      {object(KIND_PROCESS, "the program"), need("va", T::NUMBER, "first address"), need("size", T::NUMBER, "bytes"),
       may("page", T::NUMBER, "size", "bytes of a page; size is a multiple of it"),
       may("hpa", T::NUMBER, "none", "first address of the memory; equal ones are equal memory"),
       may("access", T::WORD, "read", access, 0, "read|write"), may("result", T::ERRNO, "OK", what)},
      {});
  add(EventId::FILE_OPEN, "file-open", s, true,
      "A file that a program names by a descriptor, a memfd say, is taken by the kernel.", "file-open p0 fd=6 file=1",
      {object(KIND_PROCESS, "the program"), need("fd", T::NUMBER, "the descriptor"),
       may("file", T::NUMBER, "none", "its number from here on"), may("result", T::ERRNO, "OK", what)},
      {});
  add(EventId::FILE_PAGE, "file-page", s, true, "The same as `page` for such a file, by offset.",
      "file-page p0 file=1 offset=0x0 size=0x1000 hpa=0x1000000010000 access=write",
      {object(KIND_PROCESS, "the program"), need("file", T::NUMBER, "the file"),
       need("offset", T::NUMBER, "first byte"), need("size", T::NUMBER, "bytes"),
       may("page", T::NUMBER, "size", "bytes of a page; size is a multiple of it"),
       may("hpa", T::NUMBER, "none", "first address of the memory"),
       may("access", T::WORD, "read", access, 0, "read|write"), may("result", T::ERRNO, "OK", what)},
      {});

  s = "Page tables and memory";
  add(EventId::MAP, "map", s, false,
      "Maps a range in a table made by `table`, as the guest (or the trace) would edit it.",
      "map gpt va=0x7f0000000000 to=0x200000 size=4K perm=rwu",
      {object(KIND_TABLE, "the table"), need("va", T::NUMBER, "input address"),
       need("to", T::NUMBER, "output address: gpa in a guest's table, else hpa"), need("size", T::NUMBER, "bytes"),
       may("perm", T::WORD, "rwu", perm_words),
       may("page", T::WORD, "the smallest", "the largest page or block used", 0, "4K|16K|64K|2M|32M|512M|1G"),
       flag("accessed", "with the accessed bit set already"), flag("dirty", "with the dirty bit set already"),
       flag("fresh", "s1, s2: with AF clear; else it is set, since hardware that does not set it faults"),
       flag("global", "s1: for all ASIDs (nG=0)"), flag("dbm", "s1, s2: hardware notes writes in the leaf"),
       flag("contiguous", "s1, s2: with the contiguous hint where it fits"),
       may("attr", T::NUMBER, "s1: 0; s2: write-back", "s1: AttrIndx; s2: MemAttr")},
      {error});
  add(EventId::UNMAP, "unmap", s, false, "Unmaps what is mapped in a range. Invalidation is the trace's business.",
      "unmap gpt va=0x7f0000000000 size=4K",
      {object(KIND_TABLE, "the table"), need("va", T::NUMBER, "input address"), need("size", T::NUMBER, "bytes"),
       flag("keep_tables", "tables that became empty stay")},
      {error, {"unmapped", T::NUMBER, nullptr, "bytes that were mapped"}});
  add(EventId::PROTECT, "protect", s, false, "Replaces the rights of what is mapped in a range.",
      "protect gpt va=0x7f0000000000 size=4K perm=ru",
      {object(KIND_TABLE, "the table"), need("va", T::NUMBER, "input address"), need("size", T::NUMBER, "bytes"),
       need("perm", T::WORD, perm_words)},
      {error});
  add(EventId::WRITE, "write", s, false, "Writes to memory, in whichever space.", "write hpa:0x1000 u64=0x2001,0x0",
      {place("AT", T::PLACE, "where"), may("u64", T::LIST, "none", "64-bit words, little-endian"),
       may("u32", T::LIST, "none", "32-bit words"), may("bytes", T::BYTES, "none", "bytes"),
       may("text", T::TEXT, "none", "characters")},
      {error});
  add(EventId::ENTRY, "entry", s, false,
      "Writes a structure field by field: zeros, then what a table means for it, then the fields. Fields that hold an "
      "address are given as the address.",
      "entry hpa:0x10600 STE V=1 CONFIG=6 S2VMID=5 S2R=1 table=s2",
      {place("AT", T::PLACE, "where"), place("KIND", T::WORD, "which structure", 0, structure_words()),
       may("table", T::NAME, "none", "a page table that it is to lead to: address, size, granule, start level",
           KIND_TABLE),
       may("table2", T::NAME, "none", "a second one: the other half of a CD, the other stage", KIND_TABLE),
       flag("keep", "fields that are not given stay as they are")},
      {error}, "`FIELD=VALUE`: fields of the structure by the specification's names");
  add(EventId::FILL, "fill", s, false, "Fills memory with one byte.", "fill vm0:0x200000 size=4K value=0xa5",
      {place("AT", T::PLACE, "where"), need("size", T::NUMBER, "bytes, 1 GB at most"),
       may("value", T::NUMBER, "0", "the byte")},
      {error});
  add(EventId::READ, "read", s, false, "Reads memory, to name what lies there or to expect it.",
      "read vm0:0x200000 expect u64=0x1122334455667788",
      {place("AT", T::PLACE, "where"), may("size", T::NUMBER, "as much as is expected, else 8", "bytes, 1 MB at most")},
      {error,
       {"u64", T::LIST, nullptr, "64-bit words"},
       {"u32", T::LIST, nullptr, "32-bit words"},
       {"bytes", T::BYTES, nullptr, "bytes"},
       {"hpa", T::NUMBER, nullptr, "where it lies in physical memory"}});

  s = "Hardware";
  add(EventId::MMIO_WRITE, "mmio-write", s, false, "Writes a register of an IOMMU.",
      "mmio-write iommu0 RTADDR RTA=0x1 TTM=1",
      {object(KIND_IOMMU, "the IOMMU"), place("REGISTER", T::REGISTER, "name, FRCDn, NAME+OFFSET or an offset"),
       may("value", T::NUMBER, "0", "the whole value; fields are put over it"),
       may("bytes", T::NUMBER, "the register's", "4 or 8")},
      {}, "`FIELD=VALUE`: fields of the register, as numbers from bit 0 on");
  add(EventId::MMIO_READ, "mmio-read", s, false, "Reads a register of an IOMMU.", "mmio-read iommu0 GSTS expect TES=1",
      {object(KIND_IOMMU, "the IOMMU"), place("REGISTER", T::REGISTER, "name, FRCDn, NAME+OFFSET or an offset"),
       may("bytes", T::NUMBER, "the register's", "4 or 8")},
      {{"value", T::NUMBER, nullptr, "the value"}}, "outputs: fields of the register");
  add(EventId::DESCRIPTOR, "descriptor", s, false,
      "Puts a descriptor into the invalidation queue at IQT and moves IQT, which is what a driver does.",
      "descriptor iommu0 words=0x7,0x0,0x0,0x0",
      {object(KIND_IOMMU, "the IOMMU"), need("words", T::LIST, "64-bit words: 2, or 4 for 256-bit descriptors")},
      {error, {"head", T::NUMBER, nullptr, "IQH afterwards"}, {"tail", T::NUMBER, nullptr, "IQT afterwards"}});
  add(EventId::COMMAND, "command", s, false,
      "Puts a command into an SMMUv3's command queue at PROD and moves PROD, which is what a driver does.",
      "command smmu0 TLBI_NH_VA VMID=1 ASID=2 ADDR=0x7f0000001000 LEAF=1",
      {object(KIND_IOMMU, "the SMMUv3"),
       place("COMMAND", T::WORD, "its name; RAW: the words as they are", 0, command_words()),
       may("words", T::LIST, "0,0", "both words; opcode and fields are put over them")},
      {error,
       {"cons", T::NUMBER, nullptr, "CMDQ_CONS.RD afterwards"},
       {"prod", T::NUMBER, nullptr, "CMDQ_PROD.WR afterwards"},
       {"stopped", T::WORD, "yes|no", "GERROR.CMDQ_ERR is active"},
       {"err", T::NUMBER, nullptr, "CMDQ_CONS.ERR: 1 illegal command, 2 unreadable, 3 ATC invalidation timed out"}},
      "`FIELD=VALUE`: the fields that the command has; addresses as addresses");
  add(EventId::EVENT_READ, "event-read", s, false,
      "Reads the oldest unread event of an SMMUv3 and moves CONS, which is what a driver does; or one event from an "
      "event "
      "queue of an iommufd, which is what a VMM does.",
      "event-read smmu0 expect event=F_TRANSLATION S2=1 CLASS=1 IPA=0x101000 left=0",
      {object(KIND_IOMMU | KIND_FILE, "the SMMUv3 or event queue")},
      {error,
       {"ret", T::NUMBER, nullptr, "queue: bytes read, or -errno"},
       {"errno", T::ERRNO, nullptr, "queue: its error by name, or OK"},
       {"sequence", T::NUMBER, nullptr, "queue: the event's number"},
       {"lost", T::WORD, "yes|no", "queue: events were lost, and this stands for them"},
       {"event", T::FAULT, nullptr, "the event, or none"},
       {"record", T::LIST, nullptr, "its four words"},
       {"left", T::NUMBER, nullptr, "events that remain unread"},
       {"overflow", T::WORD, "yes|no", "an overflow was active; reading acknowledges it"}},
      "outputs: the fields that the record has; addresses as addresses");
  add(EventId::REQUEST_READ, "request-read", s, false,
      "Reads the oldest unread page request of an SMMUv3 and moves CONS, which is what a driver does.",
      "request-read smmu0 expect SID=0x18 SSID=5 ADDR=0x7f0000002000 R=1 let group=PRG",
      {object(KIND_IOMMU, "the SMMUv3")},
      {error,
       {"left", T::NUMBER, nullptr, "requests that remain unread"},
       {"overflow", T::WORD, "yes|no", "an overflow was active; reading acknowledges it"},
       {"SID", T::NUMBER, nullptr, "StreamID"},
       {"SSV", T::NUMBER, nullptr, "it has a SubstreamID"},
       {"SSID", T::NUMBER, nullptr, "SubstreamID"},
       {"R", T::NUMBER, nullptr, "to read"},
       {"W", T::NUMBER, nullptr, "to write"},
       {"X", T::NUMBER, nullptr, "to execute"},
       {"PRIV", T::NUMBER, nullptr, "privileged"},
       {"LAST", T::NUMBER, nullptr, "last of its group"},
       {"PRG", T::NUMBER, nullptr, "page request group index"},
       {"ADDR", T::NUMBER, nullptr, "page"}});
  auto dma_outputs = std::vector<O>{
      {"status", T::WORD, "ok|bypass|abort|fault|stalled|no-rights|no-memory",
       "how it ended; of several the first not ok"},
      {"hpa", T::PLACE, nullptr,
       "first output address; expect it as a number, or as the place that lies there: "
       "vm0:0x1000"},
      {"gpa", T::NUMBER, nullptr, "the same by its guest physical address, with one virtual machine"},
      {"fault", T::FAULT, nullptr, "reason of the first fault, or none"},
      {"fault_iova", T::NUMBER, nullptr, "address of the piece that did not arrive"},
      {"record", T::LIST, nullptr, "the fault's record, lowest word first: 2 words, of an SMMU 4"},
      {"recorded", T::WORD, "yes|no", "whether the hardware logs it"},
      {"stag", T::NUMBER, nullptr, "SMMU: by which the piece waits"},
      {"refs", T::NUMBER, nullptr, "memory references made for all its translations"},
      {"page", T::NUMBER, nullptr, "bytes covered by the first translation"},
      {"rights", T::WORD, nullptr, "rights of the first translation: r, rw, rwx ..."},
      {"from", T::WORD, "atc|iotlb|walk|unit", "who knew the first translation; unit: no table was asked"},
      {"done", T::NUMBER, nullptr, "bytes that arrived"},
      {"translations", T::NUMBER, nullptr, "requests sent to the unit"},
      {"faults", T::NUMBER, nullptr, "requests that faulted"},
      {"data", T::BYTES, nullptr, "what a read brought, 64 KB at most"}};
  add(EventId::DMA, "dma", s, false,
      "A device's DMA. It goes out in pieces that do not cross 4 KB, and ends with the first that does not arrive.",
      "dma dev0 write iova=0x7f0000001000 pasid=1 expect gpa=0x200000 refs=28",
      {object(KIND_DEVICE, "the device"),
       place("ACCESS", T::WORD, "exec reads with execute; atomic reads and writes", 0, "read|write|exec|atomic"),
       need("iova", T::NUMBER, "first address"), may("size", T::NUMBER, "8, or as much as data has", "bytes"),
       may("pasid", T::NUMBER, "none", "PASID"), flag("privileged", "a privileged request; needs pasid"),
       flag("ats", "by way of the device TLB"),
       may("data", T::BYTES, "none", "what a write sends; without it memory is not written"),
       may("count", T::NUMBER, "1", "how many, `stride` apart"),
       may("stride", T::NUMBER, "size", "bytes from one to the next"),
       may("repeat", T::NUMBER, "1", "the whole again, so often"),
       flag("keep", "a read that may stall: keep what it brings for `outcome`")},
      dma_outputs, "outputs of an SMMUv3's fault: the fields of the event's record; addresses as addresses");
  add(EventId::OUTCOME, "outcome", s, false,
      "Looks at what became of a device's DMA that was stalled, since it was looked at last: the rest of it, from the "
      "piece "
      "that waited; and of its page requests.",
      "outcome dev0 expect resumed=1 status=ok hpa=0x200000", {object(KIND_DEVICE, "the device")},
      with({{"resumed", T::NUMBER, nullptr, "stalls of this device that ended"},
            {"answered", T::NUMBER, nullptr, "groups of its page requests that were answered, also at once"},
            {"response", T::WORD, "success|invalid|failure", "the last of these answers"}},
           dma_outputs),
      "outputs: as of `dma`");
  add(EventId::PAGE_REQUEST, "page-request", s, false,
      "A device asks for a page. With a kernel it is handled before the event ends.",
      "page-request dev0 write iova=0x7f0000002000 pasid=$pasid let grp=group",
      {object(KIND_DEVICE, "the device"), place("ACCESS", T::WORD, "what it wants", 0, "read|write|exec|atomic"),
       need("iova", T::NUMBER, "an address in the page"), may("pasid", T::NUMBER, "none", "PASID"),
       flag("privileged", "on behalf of privileged software"), may("group", T::NUMBER, "a new one", "an open group"),
       flag("more", "more of its group will follow")},
      {error,
       {"group", T::NUMBER, nullptr, "its page request group index"},
       {"response", T::WORD, "success|invalid|failure|none", "what came back, as far as it did"}});
  add(EventId::FAULT_LOG, "fault-log", s, true, "Looks at the kernel's log of DMA faults, the newest first.",
      "fault-log expect count=1 reason=SFS.2 source=00:03.0 pasid=1 addr=0x7f0000001000 type=write",
      {may("back", T::NUMBER, "0", "how many entries before the newest")},
      {{"count", T::NUMBER, nullptr, "faults logged since the start"},
       {"reason", T::FAULT, nullptr, "fault reason"},
       {"iommu", T::NAME, nullptr, "the unit"},
       {"source", T::SOURCE, nullptr, "requester"},
       {"pasid", T::NUMBER, nullptr, "PASID of the request"},
       {"addr", T::NUMBER, nullptr, "VT-d: the page; SMMU: the address"},
       {"type", T::WORD, "read|write|atomic|page-request", "what was asked"},
       {"at", T::WORD, "untranslated|translation-request|translated", "kind of request"},
       {"privileged", T::WORD, "yes|no", "whether it was privileged"},
       {"s2", T::WORD, "yes|no", "SMMU: stage 2 faulted"},
       {"ipa", T::NUMBER, nullptr, "SMMU: where stage 2 did"},
       {"record", T::LIST, nullptr, "the record, lowest word first: 2 words, of an SMMU 4"}});
  add(EventId::DROP_CACHES, "drop-caches", s, false,
      "Empties all caches of a unit, or a device's TLB, as power-on does: the next translation is cold.",
      "drop-caches iommu0", {object(KIND_IOMMU | KIND_DEVICE, "the IOMMU or device")}, {});
  add(EventId::BARRIER, "barrier", s, false,
      "All that was begun before has ended before anything behind begins. Untimed runs are always so.", "barrier", {},
      {});

  s = "Names and words";
  add(EventId::LET, "let", s, false, "Names a number: `$NAME` stands for it from here on.", "let buffer=0x7f0000000000",
      {}, {}, "`NAME=NUMBER`: one or more");
  add(EventId::SAY, "say", s, false, "Prints a line: a heading of the story.", "say \"A cold translation\"",
      {place("TEXT", T::TEXT, "the line")}, {});
  return all;
}

const char *type_text(const Type t) {
  switch (t) {
  case Type::NUMBER: return "number";
  case Type::SOURCE: return "requester";
  case Type::BITS: return "flags";
  case Type::WORD: return "word";
  case Type::FLAG: return "flag";
  case Type::NEW_NAME: return "new name";
  case Type::NAME: return "name";
  case Type::PLACE: return "place";
  case Type::LIST: return "numbers";
  case Type::BYTES: return "bytes";
  case Type::TEXT: return "text";
  case Type::REGISTER: return "register";
  case Type::IOCTL: return "ioctl";
  case Type::PATH: return "path";
  case Type::FAULT: return "fault reason";
  case Type::ERRNO: return "errno";
  case Type::ERROR: return "error";
  case Type::CALL: return "call";
  case Type::PIECES: return "pieces";
  }
  return "?";
}

std::string words_text(const char *words) {
  std::string text = "`";
  for (const char *c = words; *c; c++)
    text += *c == '|' ? std::string("`, `") : std::string(1, *c);
  return text + "`";
}

std::string cell(const char *sentence) {
  std::string text;
  for (const char *c = sentence; *c; c++)
    text += *c == '|' ? std::string("\\|") : std::string(1, *c);
  return text;
}

} // namespace

const ParamInfo *EventInfo::param(std::string_view key) const {
  auto p = std::find_if(params.begin(), params.end(), [&](const ParamInfo &i) { return key == i.name; });
  return p == params.end() ? nullptr : &*p;
}

const OutputInfo *EventInfo::output(std::string_view key) const {
  auto o = std::find_if(outputs.begin(), outputs.end(), [&](const OutputInfo &i) { return key == i.name; });
  return o == outputs.end() ? nullptr : &*o;
}

const std::vector<EventInfo> &events() {
  static const std::vector<EventInfo> all = make();
  return all;
}

const EventInfo &event_info(EventId id) { return events()[static_cast<size_t>(id)]; }

const std::vector<AttributeInfo> &attributes() {
  static const std::vector<AttributeInfo> all = {
      {KIND_TABLE, "root", "address of the top table: gpa or hpa"},
      {KIND_PROCESS, "pgd", "hpa of the top page table"},
      {KIND_PROCESS, "pasid", "its PASID of SVA, 0 when it has none"},
      {KIND_DEVICE, "source", "requester id"},
      {KIND_DEVICE, "pasid_dir", "hpa of its PASID directory, 0 when it has none"},
      {KIND_IOMMU, "root", "hpa of the root table"},
      {KIND_IOMMU, "cap", "capability register"},
      {KIND_IOMMU, "ecap", "extended capability register"},
      {KIND_FILE, "fd", "its number in the process"},
      {KIND_SVA, "pasid", "the PASID bound"},
  };
  return all;
}

std::string kind_text(unsigned kinds) {
  static const char *const names[] = {"an IOMMU", "a device", "a process",    "a virtual machine",
                                      "a pool",   "a table",  "an open file", "an SVA binding"};
  std::string text;
  for (unsigned i = 0; i < 8; i++)
    if (kinds >> i & 1)
      text += (text.empty() ? "" : " or ") + std::string(names[i]);
  return text;
}

std::string events_markdown() {
  std::string out, section;
  for (const EventInfo &e : events()) {
    if (section != e.section) {
      section = e.section;
      out += "## " + section + "\n\n";
    }
    out += format("### `%s`\n\n%s\n\n", e.name, e.sentence);
    if (!e.params.empty()) {
      out += "| parameter | value | left out | meaning |\n|---|---|---|---|\n";
      for (const ParamInfo &p : e.params) {
        std::string value = p.words ? words_text(p.words) : type_text(p.type);
        std::string name = p.need == ParamInfo::PLACE || p.type == Type::FLAG ? p.name : std::string(p.name) + "=";
        const char *left = p.need != ParamInfo::OPTIONAL ? "required" : p.def ? p.def : "no";
        std::string sentence = cell(p.sentence);
        if (p.kinds && (p.type == Type::NAME || p.type == Type::BITS))
          sentence += p.type == Type::BITS ? " " + kind_text(p.kinds) : ": " + kind_text(p.kinds);
        out += format("| `%s` | %s | %s | %s |\n", name.c_str(), value.c_str(), left, sentence.c_str());
      }
      out += "\n";
    }
    if (e.dynamic)
      out += std::string("Further: ") + e.dynamic + ".\n\n";
    if (!e.outputs.empty()) {
      out += "Outputs: ";
      for (size_t i = 0; i < e.outputs.size(); i++) {
        const OutputInfo &o = e.outputs[i];
        out += format("%s`%s` %s", i ? "; " : "", o.name, o.sentence);
        if (o.words)
          out += " (" + words_text(o.words) + ")";
      }
      out += ".\n\n";
    }
    out += format("```\n%s\n```\n\n", e.example);
  }
  return out;
}

} // namespace ims
