// SPDX-License-Identifier: Apache-2.0
// The arena: Boost.Interprocess' best-fit allocator over one shared anonymous mapping, and the wrapped allocation
// functions of everything that is linked into the library.
#include "shim/arena.h"

#include <boost/interprocess/indexes/null_index.hpp>
#include <boost/interprocess/managed_external_buffer.hpp>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace ipc = boost::interprocess;

namespace {

// The allocator locks nothing: its only user is here, and holds a lock that survives the death of its owner.
using Buffer = ipc::basic_managed_external_buffer<char, ipc::rbtree_best_fit<ipc::null_mutex_family>, ipc::null_index>;

constexpr size_t page_size = 4096;

struct Header {
  pthread_mutex_t lock;
};

// Of this process; the values are the same in all that were forked after they were set.
char *base;
size_t length;
Header *header;
alignas(Buffer) char buffer_space[sizeof(Buffer)];
Buffer *buffer;

void *host_map(size_t size) {
  long p = syscall(SYS_mmap, nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == -1 ? nullptr : reinterpret_cast<void *>(p);
}

class Guard {
public:
  Guard() {
    if (pthread_mutex_lock(&header->lock) == EOWNERDEAD)
      pthread_mutex_consistent(&header->lock); // killed in here; the most likely state is a good one
  }
  ~Guard() { pthread_mutex_unlock(&header->lock); }
};

} // namespace

extern "C" {

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
int __real_posix_memalign(void **p, size_t align, size_t size);

bool shim_arena_init(void) {
  for (size_t size = size_t(1) << 40; size >= size_t(1) << 30 && !base; size >>= 2) {
    base = static_cast<char *>(host_map(size));
    length = size;
  }
  if (!base)
    return false;
  madvise(base, length, MADV_DONTDUMP);
  header = new (base) Header;
  pthread_mutexattr_t attr;
  pthread_mutexattr_init(&attr);
  pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&header->lock, &attr);
  pthread_mutexattr_destroy(&attr);
  buffer = new (buffer_space) Buffer(ipc::create_only, base + page_size, length - page_size);
  return true;
}

bool shim_arena_has(const void *p) {
  return base && static_cast<const char *>(p) >= base && static_cast<const char *>(p) < base + length;
}

void *shim_alloc(size_t size) {
  if (!buffer)
    return __real_malloc(size);
  Guard guard;
  void *p = buffer->allocate(size ? size : 1, std::nothrow);
  if (!p)
    errno = ENOMEM;
  return p;
}

void *shim_zalloc(size_t size) {
  // Large blocks are mostly never touched: punching a hole makes them zero without using memory.
  if (buffer && size >= size_t(1) << 20)
    return shim_pages(size);
  void *p = shim_alloc(size);
  return p ? std::memset(p, 0, size) : nullptr;
}

void shim_free(void *p) {
  if (!shim_arena_has(p)) {
    __real_free(p);
    return;
  }
  Guard guard;
  buffer->deallocate(p);
}

void *shim_realloc(void *p, size_t size) {
  if (p && !shim_arena_has(p))
    return __real_realloc(p, size);
  void *to = shim_alloc(size);
  if (to && p) {
    size_t had = buffer->get_segment_manager()->size(p);
    std::memcpy(to, p, had < size ? had : size);
    shim_free(p);
  }
  return to;
}

static void *aligned(size_t align, size_t size) {
  Guard guard;
  return buffer->allocate_aligned(size ? size : 1, align, std::nothrow);
}

void *shim_pages(size_t size) {
  size = (size + page_size - 1) & ~(page_size - 1);
  if (!buffer)
    return nullptr;
  char *p = static_cast<char *>(aligned(page_size, size));
  if (!p)
    errno = ENOMEM;
  else if (madvise(p, size, MADV_REMOVE))
    std::memset(p, 0, size);
  return p;
}

void shim_pages_free(void *p, size_t size) {
  // Gives the host's memory back; the allocator's own words lie before the block and are kept.
  madvise(p, size & ~(page_size - 1), MADV_REMOVE);
  shim_free(p);
}

// ---- What the linker puts in the place of the C library's, in all that is linked into the library -------------------

void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size) { return shim_alloc(size); }

void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size) {
  size_t total;
  if (__builtin_mul_overflow(n, size, &total)) {
    errno = ENOMEM;
    return nullptr;
  }
  return buffer ? shim_zalloc(total) : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size) { return shim_realloc(p, size); }

void __wrap_free(void *p);
void __wrap_free(void *p) { shim_free(p); }

int __wrap_posix_memalign(void **p, size_t align, size_t size);
int __wrap_posix_memalign(void **p, size_t align, size_t size) {
  if (!buffer)
    return __real_posix_memalign(p, align, size);
  *p = aligned(align, size);
  return *p ? 0 : ENOMEM;
}

void *__wrap_aligned_alloc(size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size) {
  void *p = nullptr;
  return __wrap_posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size) ? nullptr : p;
}

char *__wrap_strdup(const char *s);
char *__wrap_strdup(const char *s) {
  size_t n = std::strlen(s) + 1;
  void *p = shim_alloc(n);
  return p ? static_cast<char *>(std::memcpy(p, s, n)) : nullptr;
}

// mem/ maps the simulated memory: private and anonymous there, part of the arena here. Files stay what they are.
void *__wrap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *addr, size_t size, int prot, int flags, int fd, off_t offset) {
  if (buffer && !addr && (flags & MAP_ANONYMOUS)) {
    void *p = shim_pages(size);
    return p ? p : MAP_FAILED;
  }
  return reinterpret_cast<void *>(syscall(SYS_mmap, addr, size, prot, flags, fd, offset));
}

int __wrap_munmap(void *addr, size_t size);
int __wrap_munmap(void *addr, size_t size) {
  if (!shim_arena_has(addr))
    return static_cast<int>(syscall(SYS_munmap, addr, size));
  shim_pages_free(addr, size);
  return 0;
}

// Tables of the libraries lie in the arena, where other processes read on: no process takes them down at its end.
int __wrap___cxa_atexit(void (*)(void *), void *, void *);
int __wrap___cxa_atexit(void (*)(void *), void *, void *) { return 0; }

// Private memory reads zero after MADV_DONTNEED; shared memory only when a hole is punched.
int __wrap_madvise(void *addr, size_t size, int advice);
int __wrap_madvise(void *addr, size_t size, int advice) {
  if (shim_arena_has(addr) && advice == MADV_DONTNEED)
    advice = MADV_REMOVE;
  return static_cast<int>(syscall(SYS_madvise, addr, size, advice));
}

} // extern "C"

// ---- C++ ------------------------------------------------------------------------------------------------------------

void *operator new(size_t size) {
  if (void *p = shim_alloc(size))
    return p;
  throw std::bad_alloc();
}
void *operator new[](size_t size) { return operator new(size); }
void *operator new(size_t size, const std::nothrow_t &) noexcept { return shim_alloc(size); }
void *operator new[](size_t size, const std::nothrow_t &) noexcept { return shim_alloc(size); }
void operator delete(void *p) noexcept { shim_free(p); }
void operator delete[](void *p) noexcept { shim_free(p); }
void operator delete(void *p, size_t) noexcept { shim_free(p); }
void operator delete[](void *p, size_t) noexcept { shim_free(p); }
void operator delete(void *p, const std::nothrow_t &) noexcept { shim_free(p); }
void operator delete[](void *p, const std::nothrow_t &) noexcept { shim_free(p); }
