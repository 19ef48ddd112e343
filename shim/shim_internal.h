// SPDX-License-Identifier: Apache-2.0
// What the files of the shim share. `struct shim` and all that hangs on it lie in the arena and belong to all processes of
// the program; only what is marked so is of one process.
#pragma once

#include "uapi/kernel.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <uthash.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SHIM_PAGE   4096ull
#define SHIM_CHUNK  (2ull << 20) // hpas are handed out in pieces of this size
#define SHIM_MAX_FD (1 << 20)

// One mapping of a process, as /proc/PID/maps tells it.
struct shim_vma {
  uint64_t start, end, offset, inode;
  uint32_t dev;
  bool read, write, shared;
};

// An open file of the simulated kernel: the real descriptor behind it, shared by all descriptors that were copied from one
// another.
struct shim_open {
  struct shim_open *next, *prev;
  struct shim_fd *fds; // of all processes
  bool readable;       // the real descriptor is
  dev_t rdev;          // 0: no device node
  int flags;           // O_ACCMODE of open
};

struct shim_fd {
  int fd;
  struct shim_proc *proc;
  struct ims_file *file;
  struct shim_open *open;
  int record;                  // its number in the recording, or -1
  struct shim_fd *next, *prev; // of the same open file
  UT_hash_handle hh;           // in the process, by fd
};

// A mapping of a descriptor.
struct shim_window {
  struct shim_window *next;
  uint64_t addr, size, offset, left; // left: bytes not unmapped yet
  unsigned prot;
  uint64_t cookie;
  struct ims_file *file; // of the process that keeps them
  int record;            // the file's number in the recording
};

// A page that was unmapped while it was pinned: what (process, address) now names is another one.
struct shim_again {
  uint64_t va;
  uint32_t times;
  UT_hash_handle hh;
};

struct shim_proc {
  struct shim_proc *next;
  struct shim *shim;
  uint32_t id; // never used again
  pid_t pid;   // 0: is being forked
  // Locked by the first thread as long as the process lives. The kernel says when its owner is gone.
  pthread_mutex_t alive;
  bool started, gone;
  struct ims_process *process;
  int record; // its number in the recording, or -1
  void *recorded;
  struct shim_fd *fds;
  struct shim_window *windows;
  struct shim_again *again;
  struct shim_vma one; // the mapping asked for last, in call number `one_call`
  uint64_t one_call;
  unsigned queries;
  struct shim_vma *vma; // all of them, as of call number `vmas_call`
  size_t vmas, vma_room;
  uint64_t vmas_call;
};

// What lies behind an ioctl's argument, as of its start.
struct shim_ahead {
  uint64_t va;
  size_t len;
  uint8_t bytes[128];
};

// Who a page of a process is. What all ways to the same page have in common.
struct shim_key {
  uint32_t kind;  // enum shim_kind
  uint32_t a;     // file: device; private: process
  uint64_t b;     // file: inode; private: which page of that address, in the order of their lives
  uint64_t chunk; // file: offset, private: address; in units of SHIM_CHUNK
};
enum shim_kind { SHIM_FILE, SHIM_PRIVATE };

struct shim_chunk {
  struct shim_key key;
  uint64_t hpa;
  uint32_t hint_proc; // a process that had it mapped, and where; 0: none
  uint64_t hint_va;
  uint32_t pinned;  // pages that are
  uint32_t *pins;   // of each page; NULL: none yet
  uint8_t **orphan; // bytes of pages that nobody has mapped any more; NULL: none
  UT_hash_handle hh;
};

// A file that an ioctl named by its descriptor.
struct shim_backing {
  struct shim_backing *next;
  uint64_t id;
  uint32_t dev;
  uint64_t inode, size;
  bool memory; // memfd, shmem, hugetlbfs
  int fd;      // a copy: in the process that named it, and its children
  struct shim_proc *proc;
};

struct shim_device {
  char name[64], bdf[16];
  uint32_t source;
  bool pci, has_group;
  uint32_t group;
  unsigned cdev;
  struct ims_device *device;
};

struct shim {
  pthread_mutex_t lock;
  bool built, failed; // the machine is there; the system file was bad
  struct ims_kernel *kernel;
  struct ims_mem *mem;
  void *machine; // the player
  struct shim_device *device;
  size_t devices;
  struct shim_proc *procs;  // that live
  struct shim_proc *buried; // that do not; pages may be known by their numbers still
  uint32_t next_proc;
  struct shim_open *opens;
  struct ims_process *keeper; // of open files that are mapped
  int made_fd[8];             // descriptors that this ioctl has made
  unsigned made;
  int new_flags;             // of eventfd()
  struct shim_proc *calling; // whose call is being served
  uint64_t calls;
  struct shim_chunk *chunks; // by key
  struct shim_chunk **chunk; // by hpa
  size_t chunk_count, chunk_room;
  uint64_t hpa_first,
      hpa_last; // which hpas are for pages of programs: above the simulated memory, within all units' reach
  struct shim_chunk *last_chunk;
  bool no_query; // the real kernel cannot be asked for single mappings
  struct shim_ahead ahead;
  uint64_t pinned; // pages that are, now
  struct shim_backing *backings;
  uint64_t next_backing;
  char tree[64]; // the folder with the device nodes' and sysfs's stand-ins; "": not made yet
  void *record;  // the recorder; NULL: none
  bool record_tried;
  char *system; // the system file's text
  // IOMMUSIM_SYSTEM and IOMMUSIM_RECORD as they were at the start, absolute; NULL: not given.
  char *system_path, *record_path;
};

// ---- state.c --------------------------------------------------------------------------------------------------------

extern struct shim *shim_state;                 // NULL: off
extern struct shim_proc *shim_me;               // of this process
extern uint64_t shim_fd_bits[SHIM_MAX_FD / 64]; // of this process: which descriptors are virtual
extern bool shim_strip_huge;                    // MAP_HUGETLB means nothing

static inline bool shim_is_virtual(int fd) {
  return fd >= 0 && fd < SHIM_MAX_FD &&
         (__atomic_load_n(&shim_fd_bits[fd / 64], __ATOMIC_RELAXED) >> (fd % 64) & 1) != 0;
}

// Starts the shim if it has not been; false: it is off.
bool shim_start(void);
// Around everything that touches the state: blocks signals, so that no handler finds the lock taken by its own thread.
// shim_enter also counts the call and buries processes that are gone. errno is kept.
struct shim_guard {
  uint64_t signals;
};
struct shim_guard shim_enter(void);
void shim_leave(struct shim_guard g);
// The machine, built by the first who needs it. False: it cannot be. Locked.
bool shim_machine(void);

pid_t shim_fork(void);
pid_t shim_real_fork(void);   // interpose.c
void shim_process_over(void); // this process is about to end
struct shim_proc *shim_proc_by_id(uint32_t id);

// ---- machine.cc -----------------------------------------------------------------------------------------------------

// Builds the machine of the system file. False: what is wrong stands in `why`.
bool shim_machine_build(struct shim *s, char *why, size_t size);

// ---- memory.c -------------------------------------------------------------------------------------------------------

// How the simulated kernel reaches the process `p`.
struct ims_user shim_user(struct shim_proc *p);
struct ims_mem_remote shim_remote(struct shim *s);
// An ioctl's argument lies at va.
void shim_read_ahead(struct shim_proc *p, uint64_t va);
// [addr, addr+size) of this process is about to be unmapped, or mapped over.
void shim_unmapping(uint64_t addr, uint64_t size);
bool shim_read_process(struct shim_proc *p, void *dst, uint64_t src, size_t len);
bool shim_write_process(struct shim_proc *p, uint64_t dst, const void *src, size_t len);

// ---- files.c: the calls on virtual descriptors. Results: 0 or more, or -errno. Not locked by the caller --------------

bool shim_is_device_path(const char *path);
long shim_open_path(const char *path, int flags);
long shim_close_fd(int fd);
void shim_close_range(unsigned first, unsigned last);
long shim_dup_to(int fd, int to); // `to` is a real descriptor already, copied from fd's
void shim_overwritten(int fd);    // dup2 put something else there
long shim_ioctl_fd(int fd, unsigned long cmd, uint64_t arg);
long shim_read_fd(int fd, uint64_t buf, size_t len, uint64_t offset);
long shim_write_fd(int fd, uint64_t buf, size_t len, uint64_t offset);
int shim_poll_fd(int fd); // events of poll.h, or -1: not virtual
long shim_mmap_fd(uint64_t addr, size_t size, int prot, int flags, int fd, uint64_t offset);
void shim_munmap(uint64_t addr, uint64_t size); // after the real one
bool shim_stat_fd(int fd, dev_t *rdev);         // of which device the descriptor is
// Locked.
int shim_fd_new(void *proc);
void shim_fd_drop(void *proc, int fd);
void shim_update_readiness(void);
bool shim_share_files(struct shim_proc *from, struct shim_proc *to);
void shim_close_all(struct shim_proc *p, bool real);

// ---- tree.c: device nodes and sysfs --------------------------------------------------------------------------------

// The path is ours: `clean`, of PATH_MAX bytes, is how it is written without detours.
bool shim_ours(const char *path, char *clean);
// Where the path lies really, when it is one of ours; else NULL. `buf` has PATH_MAX bytes.
const char *shim_translate(const char *path, char *buf);
bool shim_device_node(const char *path, dev_t *rdev);
// The path as the program knows it: takes the folder of the stand-ins off its front.
const char *shim_untranslate(const char *path);
void shim_tree_remove(void);

// ---- status.c -------------------------------------------------------------------------------------------------------

void shim_tell_rights(struct shim_proc *p); // of the calling process
// A descriptor of /proc/PID/status with what the simulated kernel has pinned; -1: the file needs no such thing.
long shim_status_file(const char *path);

// ---- Real system calls, past all interposers; no cancellation points ------------------------------------------------

long shim_sys(long number, ...);

#ifdef __cplusplus
}
#endif
