// SPDX-License-Identifier: Apache-2.0
// The program's memory, as the simulated kernel and the simulated devices see it: copies that fail instead of crashing,
// which page an address is, and the way back from a page to its bytes.
//
// A page is known by what all ways to it have in common: of shared mappings and of files, device, inode and offset; of
// private memory, the process and the address. (Private mappings of files count as private: pinning one for long makes
// Linux give the process a copy of its own.) Both come from /proc/PID/maps, which is read once in a call that needs it.
// hpas are handed out above the simulated memory (from 2^48 on, where the units reach so far), in chunks of 2 MB, so that neighbours in a file or in memory are neighbours there too.
#define _GNU_SOURCE
#include "shim/arena.h"
#include "shim/shim_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGES_OF_CHUNK = SHIM_CHUNK / SHIM_PAGE };

// ---- Copies ---------------------------------------------------------------------------------------------------------

// Where process_vm_readv is forbidden, the process's memory can still be had as a file.
static bool copy_by_file(struct shim_proc *p, void *buf, uint64_t va, size_t len, bool write) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/mem", (int)p->pid);
  long fd = shim_sys(SYS_openat, AT_FDCWD, path, write ? O_RDWR | O_CLOEXEC : O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0)
    return false;
  long n = shim_sys(write ? SYS_pwrite64 : SYS_pread64, fd, buf, len, va);
  shim_sys(SYS_close, fd);
  return n == (long)len;
}

static bool copy(struct shim_proc *p, void *buf, uint64_t va, size_t len, bool write) {
  if (!len)
    return true;
  if (!p || p->gone || va + len < va || va >> 63)
    return false;
  struct iovec here = {buf, len}, there = {(void *)(uintptr_t)va, len};
  long n = shim_sys(write ? SYS_process_vm_writev : SYS_process_vm_readv, (long)p->pid, &here, 1L, &there, 1L, 0L);
  if (n == -EPERM || n == -ENOSYS)
    return copy_by_file(p, buf, va, len, write);
  return n == (long)len;
}

bool shim_read_process(struct shim_proc *p, void *dst, uint64_t src, size_t len) {
  return copy(p, dst, src, len, false);
}

bool shim_write_process(struct shim_proc *p, uint64_t dst, const void *src, size_t len) {
  return copy(p, (void *)(uintptr_t)src, dst, len, true);
}

// The kernel reads an argument in several steps, each of which would be a system call: the first takes what follows along,
// as far as it is there.
void shim_read_ahead(struct shim_proc *p, uint64_t va) {
  struct shim_ahead *a = &p->shim->ahead;
  uint64_t to_page = SHIM_PAGE - va % SHIM_PAGE, first = to_page < sizeof a->bytes ? to_page : sizeof a->bytes;
  struct iovec here = {a->bytes, sizeof a->bytes};
  struct iovec there[2] = {{(void *)(uintptr_t)va, first}, {(void *)(uintptr_t)(va + first), sizeof a->bytes - first}};
  long n = va >> 63 || va > UINT64_MAX / 2 - sizeof a->bytes
               ? 0
               : shim_sys(SYS_process_vm_readv, (long)p->pid, &here, 1L, there, first < sizeof a->bytes ? 2L : 1L, 0L);
  a->va = va;
  a->len = n > 0 ? (size_t)n : 0;
}

static bool user_read(void *ctx, void *dst, uint64_t src, size_t len) {
  struct shim_proc *p = ctx;
  const struct shim_ahead *a = &p->shim->ahead;
  if (p == shim_me && a->len && src >= a->va && src - a->va <= a->len && len <= a->len - (src - a->va)) {
    memcpy(dst, a->bytes + (src - a->va), len);
    return true;
  }
  return copy(p, dst, src, len, false);
}

static bool user_write(void *ctx, uint64_t dst, const void *src, size_t len) {
  ((struct shim_proc *)ctx)->shim->ahead.len = 0; // it may be among what was read ahead
  return copy(ctx, (void *)(uintptr_t)src, dst, len, true);
}

// ---- Mappings of a process ------------------------------------------------------------------------------------------

static uint64_t hex(const char **at) {
  uint64_t v = 0;
  for (;; (*at)++) {
    char c = **at;
    if (c >= '0' && c <= '9')
      v = v << 4 | (uint64_t)(c - '0');
    else if (c >= 'a' && c <= 'f')
      v = v << 4 | (uint64_t)(c - 'a' + 10);
    else
      return v;
  }
}

// One line: start-end rwxs offset major:minor inode path
static bool parse_vma(const char *at, struct shim_vma *v) {
  v->start = hex(&at);
  if (*at++ != '-')
    return false;
  v->end = hex(&at);
  if (*at++ != ' ' || strlen(at) < 5)
    return false;
  v->read = at[0] == 'r';
  v->write = at[1] == 'w';
  v->shared = at[3] == 's';
  at += 5;
  v->offset = hex(&at);
  at += *at == ' ';
  uint32_t major = (uint32_t)hex(&at);
  at += *at == ':';
  v->dev = (uint32_t)makedev(major, (uint32_t)hex(&at));
  v->inode = strtoull(at, NULL, 10);
  return true;
}

static bool add_vma(struct shim_proc *p, const struct shim_vma *v) {
  if (p->vmas == p->vma_room) {
    size_t room = p->vma_room ? 2 * p->vma_room : 256;
    struct shim_vma *more = shim_realloc(p->vma, room * sizeof *more);
    if (!more)
      return false;
    p->vma = more;
    p->vma_room = room;
  }
  p->vma[p->vmas++] = *v;
  return true;
}

static void read_maps(struct shim_proc *p) {
  static const size_t room = 64 << 10;
  char path[32], *text = shim_alloc(room + 1);
  p->vmas = 0;
  snprintf(path, sizeof path, "/proc/%d/maps", (int)p->pid);
  long fd = text ? shim_sys(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0) : -1;
  size_t have = 0;
  bool skip = false; // the rest of a line too long for the buffer
  while (fd >= 0) {
    long n = shim_sys(SYS_read, fd, text + have, room - have);
    if (n <= 0)
      break;
    have += (size_t)n;
    char *line = text, *end;
    while ((end = memchr(line, '\n', have - (size_t)(line - text))) != NULL) {
      struct shim_vma v;
      *end = 0;
      if (!skip && parse_vma(line, &v) && !add_vma(p, &v))
        break;
      skip = false;
      line = end + 1;
    }
    have -= (size_t)(line - text);
    memmove(text, line, have);
    if (have == room) {
      have = 0;
      skip = true;
    }
  }
  if (fd >= 0)
    shim_sys(SYS_close, fd);
  shim_free(text);
  p->vmas_call = p->shim->calls;
}

// PROCMAP_QUERY of /proc/PID/maps (Linux 6.11): one mapping for much less than the whole list.
struct procmap_query {
  uint64_t size, flags, addr, start, end, vma_flags, page_size, offset, inode;
  uint32_t dev_major, dev_minor, name_size, build_id_size;
  uint64_t name_addr, build_id_addr;
};
enum { QUERY_OR_NEXT = 0x10, VMA_READ = 1, VMA_WRITE = 2, VMA_SHARED = 8, QUERIES_OF_A_CALL = 8 };

// The mapping that holds va, or the next one; start > end: there is none. False: this kernel does not say.
static bool query(struct shim_proc *p, uint64_t va, struct shim_vma *v) {
  char path[32];
  struct procmap_query q = {.size = sizeof q, .flags = QUERY_OR_NEXT, .addr = va};
  snprintf(path, sizeof path, "/proc/%d/maps", (int)p->pid);
  long fd = shim_sys(SYS_openat, (long)AT_FDCWD, path, (long)(O_RDONLY | O_CLOEXEC), 0L);
  if (fd < 0)
    return false;
  long err = shim_sys(SYS_ioctl, fd, (long)_IOWR('f', 17, struct procmap_query), &q);
  shim_sys(SYS_close, fd);
  *v = (struct shim_vma){.start = 1, .end = 0};
  if (err == -ENOENT)
    return true;
  if (err)
    return false;
  *v = (struct shim_vma){.start = q.start,
                         .end = q.end,
                         .offset = q.offset,
                         .inode = q.inode,
                         .dev = (uint32_t)makedev(q.dev_major, q.dev_minor),
                         .read = (q.vma_flags & VMA_READ) != 0,
                         .write = (q.vma_flags & VMA_WRITE) != 0,
                         .shared = (q.vma_flags & VMA_SHARED) != 0};
  return true;
}

// The mapping that holds va, or the next one above; NULL: none. Valid until the next call of it.
static const struct shim_vma *vma_from(struct shim_proc *p, uint64_t va) {
  struct shim *s = p->shim;
  if (p->gone)
    return NULL;
  if (p->one_call != s->calls) {
    p->one_call = s->calls;
    p->queries = 0;
    p->one.end = 0;
  }
  if (p->vmas_call != s->calls) {
    if (p->one.start <= va && va < p->one.end)
      return &p->one;
    if (!s->no_query && p->queries++ < QUERIES_OF_A_CALL) {
      if (query(p, va, &p->one))
        return p->one.end ? &p->one : NULL;
      s->no_query = true;
    }
    read_maps(p);
  }
  size_t lo = 0, n = p->vmas;
  while (n > 0) {
    size_t half = n / 2;
    bool below = p->vma[lo + half].end <= va;
    lo = below ? lo + half + 1 : lo;
    n = below ? n - half - 1 : half;
  }
  return lo < p->vmas ? &p->vma[lo] : NULL;
}

static const struct shim_vma *vma_at(struct shim_proc *p, uint64_t va) {
  const struct shim_vma *v = vma_from(p, va);
  return v && v->start <= va ? v : NULL;
}

// ---- Pages ----------------------------------------------------------------------------------------------------------

static struct shim_chunk *chunk_of(struct shim *s, const struct shim_key *key) {
  struct shim_chunk *c = s->last_chunk; // neighbours follow one another
  if (c && !memcmp(&c->key, key, sizeof *key))
    return c;
  HASH_FIND(hh, s->chunks, key, sizeof *key, c);
  if (c)
    return s->last_chunk = c;
  if (s->chunk_count > (s->hpa_last - s->hpa_first) / SHIM_CHUNK)
    return NULL;
  if (s->chunk_count == s->chunk_room) {
    size_t room = s->chunk_room ? 2 * s->chunk_room : 1024;
    struct shim_chunk **more = shim_realloc(s->chunk, room * sizeof(struct shim_chunk *));
    if (!more)
      return NULL;
    s->chunk = more;
    s->chunk_room = room;
  }
  c = shim_zalloc(sizeof *c);
  if (!c)
    return NULL;
  c->key = *key;
  c->hpa = s->hpa_first + s->chunk_count * SHIM_CHUNK;
  s->chunk[s->chunk_count++] = c;
  HASH_ADD(hh, s->chunks, key, sizeof c->key, c);
  return c;
}

static struct shim_chunk *chunk_at(const struct shim *s, uint64_t hpa) {
  uint64_t i = (hpa - s->hpa_first) / SHIM_CHUNK;
  return hpa >= s->hpa_first && i < s->chunk_count ? s->chunk[i] : NULL;
}

static unsigned page_of_chunk(uint64_t addr) { return (unsigned)(addr % SHIM_CHUNK / SHIM_PAGE); }

static uint64_t lives(const struct shim_proc *p, uint64_t va) {
  struct shim_again *a;
  uint64_t page = va & ~(SHIM_PAGE - 1);
  HASH_FIND(hh, p->again, &page, sizeof page, a);
  return a ? a->times : 0;
}

static struct shim_key key_at(const struct shim_proc *p, const struct shim_vma *v, uint64_t va) {
  struct shim_key key;
  memset(&key, 0, sizeof key);
  if (v->shared && v->inode) {
    key.kind = SHIM_FILE;
    key.a = v->dev;
    key.b = v->inode;
    key.chunk = (va - v->start + v->offset) / SHIM_CHUNK;
  } else {
    key.kind = SHIM_PRIVATE;
    key.a = p->id;
    key.b = lives(p, va);
    key.chunk = va / SHIM_CHUNK;
  }
  return key;
}

static int user_page(void *ctx, uint64_t va, bool write, uint64_t *hpa, uint64_t *left) {
  struct shim_proc *p = ctx;
  const struct shim_vma *v = vma_at(p, va);
  char byte;
  if (!v || (write ? !v->write : !v->read))
    return -EFAULT;
  struct shim_key key = key_at(p, v, va);
  // A mapping may reach beyond the end of its file: looking is the only way to know.
  if (v->inode && !copy(p, &byte, va, 1, false))
    return -EFAULT;
  struct shim_chunk *c = chunk_of(p->shim, &key);
  if (!c)
    return -ENOMEM;
  uint64_t at = key.kind == SHIM_FILE ? va - v->start + v->offset : va;
  c->hint_proc = p->id;
  c->hint_va = va - at % SHIM_CHUNK;
  *hpa = c->hpa + at % SHIM_CHUNK;
  *left = SHIM_PAGE - va % SHIM_PAGE;
  return 0;
}

static void user_pin(void *ctx, uint64_t hpa, uint64_t size, bool on) {
  struct shim *s = ((struct shim_proc *)ctx)->shim;
  for (uint64_t at = hpa & ~(SHIM_PAGE - 1); at < hpa + size; at += SHIM_PAGE) {
    struct shim_chunk *c = chunk_at(s, at);
    if (!c || (!c->pins && !(c->pins = shim_zalloc(PAGES_OF_CHUNK * sizeof *c->pins))))
      continue;
    unsigned i = page_of_chunk(at);
    if (on) {
      s->pinned += c->pins[i] == 0;
      c->pinned += c->pins[i]++ == 0;
    } else if (c->pins[i] && --c->pins[i] == 0) {
      s->pinned--;
      c->pinned--;
      if (c->orphan && c->orphan[i]) {
        shim_free(c->orphan[i]);
        c->orphan[i] = NULL;
      }
    }
  }
}

static uint32_t user_pins(void *ctx, uint64_t hpa) {
  const struct shim_chunk *c = chunk_at(((struct shim_proc *)ctx)->shim, hpa);
  return c && c->pins ? c->pins[page_of_chunk(hpa)] : 0;
}

// ---- Files ----------------------------------------------------------------------------------------------------------

static struct shim_backing *backing_by_id(struct shim *s, uint64_t id) {
  struct shim_backing *b = s->backings;
  while (b && b->id != id)
    b = b->next;
  return b;
}

static bool is_memory(long fd) {
  struct statfs fs;
  return shim_sys(SYS_fstatfs, fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC);
}

// The copy of the file, if this process has it: -1 if not.
static int backing_fd(const struct shim_backing *b) {
  struct stat st;
  if (b->fd >= 0 && shim_sys(SYS_fstat, (long)b->fd, &st) == 0 && (uint32_t)st.st_dev == b->dev &&
      st.st_ino == b->inode)
    return b->fd;
  return -1;
}

// Its copy is put where it does not meet the program's own numbers.
static long copy_fd(long fd) {
  for (long least = 1 << 18; least >= 64; least >>= 2) {
    long to = shim_sys(SYS_fcntl, fd, (long)F_DUPFD_CLOEXEC, least);
    if (to >= 0)
      return to;
  }
  return -EMFILE;
}

static int user_file_open(void *ctx, int fd, uint64_t *file) {
  struct shim_proc *p = ctx;
  struct shim *s = p->shim;
  struct stat st;
  if (p != shim_me || fd < 0 || shim_sys(SYS_fstat, (long)fd, &st) < 0)
    return -EBADF;
  struct shim_backing *b = shim_zalloc(sizeof *b);
  if (!b)
    return -ENOMEM;
  b->id = ++s->next_backing;
  b->dev = (uint32_t)st.st_dev;
  b->inode = st.st_ino;
  b->size = (uint64_t)st.st_size;
  b->memory = S_ISREG(st.st_mode) && is_memory(fd);
  b->proc = p;
  long to = b->memory ? copy_fd(fd) : -1;
  b->fd = to < 0 ? -1 : (int)to;
  b->next = s->backings;
  s->backings = b;
  *file = b->id;
  return 0;
}

static int user_file_page(void *ctx, uint64_t file, uint64_t offset, bool write, uint64_t *hpa, uint64_t *left) {
  struct shim_proc *p = ctx;
  struct shim_backing *b = backing_by_id(p->shim, file);
  struct stat st;
  (void)write; // Linux pins pages of a memfd whatever its seals and how it was opened
  if (!b || !b->memory)
    return -EINVAL;
  int fd = backing_fd(b);
  if (fd >= 0 && shim_sys(SYS_fstat, (long)fd, &st) == 0)
    b->size = (uint64_t)st.st_size;
  if (offset >= ((b->size + SHIM_PAGE - 1) & ~(SHIM_PAGE - 1)))
    return -EINVAL;
  struct shim_key key;
  memset(&key, 0, sizeof key);
  key.kind = SHIM_FILE;
  key.a = b->dev;
  key.b = b->inode;
  key.chunk = offset / SHIM_CHUNK;
  struct shim_chunk *c = chunk_of(p->shim, &key);
  if (!c)
    return -ENOMEM;
  *hpa = c->hpa + offset % SHIM_CHUNK;
  *left = SHIM_PAGE - offset % SHIM_PAGE;
  return 0;
}

static void user_file_close(void *ctx, uint64_t file) {
  struct shim *s = ((struct shim_proc *)ctx)->shim;
  for (struct shim_backing **at = &s->backings; *at; at = &(*at)->next) {
    struct shim_backing *b = *at;
    if (b->id != file)
      continue;
    int fd = backing_fd(b);
    if (fd >= 0)
      shim_sys(SYS_close, (long)fd);
    *at = b->next;
    shim_free(b);
    return;
  }
}

struct ims_user shim_user(struct shim_proc *p) {
  return (struct ims_user){.ctx = p,
                           .read = user_read,
                           .write = user_write,
                           .page = user_page,
                           .file_open = user_file_open,
                           .file_page = user_file_page,
                           .file_close = user_file_close,
                           .pin = user_pin,
                           .pins = user_pins,
                           .fd_new = shim_fd_new,
                           .fd_drop = shim_fd_drop};
}

// ---- From an hpa to the bytes -----------------------------------------------------------------------------------

// An address of `p` at which the page of a file is mapped; 0: nowhere.
static uint64_t find_mapping(struct shim_proc *p, const struct shim_key *key, uint64_t offset, uint64_t hint) {
  const struct shim_vma *v = vma_at(p, hint);
  if (v && v->shared && v->dev == key->a && v->inode == key->b && hint - v->start + v->offset == offset)
    return hint;
  if (p->vmas_call != p->shim->calls)
    read_maps(p);
  for (size_t i = 0; i < p->vmas; i++) {
    v = &p->vma[i];
    if (v->shared && v->dev == key->a && v->inode == key->b && offset >= v->offset &&
        offset - v->offset < v->end - v->start)
      return v->start + (offset - v->offset);
  }
  return 0;
}

static bool copy_forced(struct shim_proc *p, void *buf, uint64_t va, size_t len, bool write) {
  // A device writes to what was writable when it was pinned, whatever the program did to its own rights since.
  return copy(p, buf, va, len, write) || copy_by_file(p, buf, va, len, write);
}

// Bytes of one page.
static int page_access(struct shim *s, uint64_t hpa, void *buf, size_t len, bool write) {
  struct shim_chunk *c = chunk_at(s, hpa);
  if (!c)
    return IMS_ERR_BUS;
  uint64_t offset = c->key.chunk * SHIM_CHUNK + hpa % SHIM_CHUNK;
  uint8_t *orphan = c->orphan ? c->orphan[page_of_chunk(hpa)] : NULL;
  struct shim_proc *p;
  if (c->key.kind == SHIM_PRIVATE) {
    p = shim_proc_by_id(c->key.a);
    if (!orphan)
      return p && copy_forced(p, buf, offset, len, write) ? 0 : IMS_ERR_BUS;
  } else {
    uint64_t hint = c->hint_va + hpa % SHIM_CHUNK, va;
    p = shim_proc_by_id(c->hint_proc);
    if (p && (va = find_mapping(p, &c->key, offset, hint)) != 0 && copy_forced(p, buf, va, len, write))
      return 0;
    for (p = s->procs; p; p = p->next)
      if (!p->gone && (va = find_mapping(p, &c->key, offset, hint)) != 0 && copy_forced(p, buf, va, len, write)) {
        c->hint_proc = p->id;
        c->hint_va = va - offset % SHIM_CHUNK;
        return 0;
      }
    for (struct shim_backing *b = s->backings; b; b = b->next) {
      int fd = b->dev == c->key.a && b->inode == c->key.b ? backing_fd(b) : -1;
      if (fd >= 0)
        return shim_sys(write ? SYS_pwrite64 : SYS_pread64, (long)fd, buf, len, offset) == (long)len ? 0 : IMS_ERR_BUS;
    }
  }
  if (!orphan)
    return IMS_ERR_BUS;
  if (write)
    memcpy(orphan + offset % SHIM_PAGE, buf, len);
  else
    memcpy(buf, orphan + offset % SHIM_PAGE, len);
  return 0;
}

static int remote_access(struct shim *s, uint64_t hpa, uint8_t *buf, size_t len, bool write) {
  while (len > 0) {
    size_t left = SHIM_PAGE - hpa % SHIM_PAGE, n = left < len ? left : len;
    int err = page_access(s, hpa, buf, n, write);
    if (err)
      return err;
    hpa += n;
    buf += n;
    len -= n;
  }
  return 0;
}

static int remote_read(void *ctx, uint64_t hpa, void *buf, size_t len) {
  return remote_access(ctx, hpa, buf, len, false);
}

static int remote_write(void *ctx, uint64_t hpa, const void *buf, size_t len) {
  return remote_access(ctx, hpa, (uint8_t *)(uintptr_t)buf, len, true);
}

struct ims_mem_remote shim_remote(struct shim *s) {
  return (struct ims_mem_remote){remote_read, remote_write, s};
}

// ---- Pages that lose their mapping while they are pinned ------------------------------------------------------------

static void keep_page(struct shim_proc *p, struct shim_chunk *c, unsigned page, uint64_t va) {
  if (!c->orphan)
    c->orphan = shim_zalloc(PAGES_OF_CHUNK * sizeof *c->orphan);
  uint8_t *bytes = c->orphan ? c->orphan[page] ? c->orphan[page] : shim_alloc(SHIM_PAGE) : NULL;
  if (!bytes)
    return;
  c->orphan[page] = bytes;
  if (!copy(p, bytes, va, SHIM_PAGE, false))
    memset(bytes, 0, SHIM_PAGE);
  if (c->key.kind != SHIM_PRIVATE)
    return;
  struct shim_again *a;
  HASH_FIND(hh, p->again, &va, sizeof va, a);
  if (!a && (a = shim_zalloc(sizeof *a)) != NULL) {
    a->va = va;
    HASH_ADD(hh, p->again, va, sizeof a->va, a);
  }
  if (a)
    a->times++;
}

void shim_unmapping(uint64_t addr, uint64_t size) {
  struct shim_proc *p = shim_me;
  uint64_t end = addr + size;
  if (end < addr)
    return;
  for (uint64_t va = addr; va < end;) {
    const struct shim_vma *found = vma_from(p, va), copied = found ? *found : (struct shim_vma){0}, *v = &copied;
    if (!found || v->start >= end)
      return;
    va = v->start > va ? v->start : va;
    uint64_t last = v->end < end ? v->end : end;
    while (va < last) {
      struct shim_key key = key_at(p, v, va);
      uint64_t at = key.kind == SHIM_FILE ? va - v->start + v->offset : va;
      struct shim_chunk *c;
      HASH_FIND(hh, p->shim->chunks, &key, sizeof key, c);
      if (c && c->pinned && c->pins[page_of_chunk(at)])
        keep_page(p, c, page_of_chunk(at), va);
      // Pages of a chunk may live for the first time or again: one by one where something is pinned.
      va += c && c->pinned ? SHIM_PAGE : p->again ? SHIM_PAGE : SHIM_CHUNK - at % SHIM_CHUNK;
    }
  }
}
