// SPDX-License-Identifier: Apache-2.0
// Simulated physical memory: the sorted set of regions, access to it, and the host mappings behind it.
#define _GNU_SOURCE
#include "mem/mem.h"
#include "mem/backing_internal.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

// From this size on, zeroing gives host pages back instead of writing them; below, the system call costs more.
#define GIVE_BACK (64u << 10)

void ims_mem_init(struct ims_mem *m) { memset(m, 0, sizeof *m); }

void ims_mem_fini(struct ims_mem *m) {
  while (m->backing) {
    struct ims_mem_backing *b = m->backing;
    m->backing = b->next;
    munmap(b->addr, b->len);
    free(b);
  }
  free(m->region);
  ims_mem_init(m);
}

// Index of the first region that ends above `hpa`; m->regions when there is none.
static size_t lower(const struct ims_mem *m, uint64_t hpa) {
  const struct ims_mem_region *r = m->region;
  size_t lo = 0, n = m->regions;
  while (n > 0) {
    size_t half = n / 2;
    bool below = r[lo + half].base + r[lo + half].size <= hpa;
    lo = below ? lo + half + 1 : lo;
    n = below ? n - half - 1 : half;
  }
  return lo;
}

const struct ims_mem_region *ims_mem_find(const struct ims_mem *m, uint64_t hpa) {
  size_t i = lower(m, hpa);
  return i < m->regions && m->region[i].base <= hpa ? &m->region[i] : NULL;
}

uint8_t *ims_mem_ptr_slow(struct ims_mem *m, uint64_t hpa, size_t len) {
  const struct ims_mem_region *r = ims_mem_find(m, hpa);
  if (!r)
    return NULL;
  m->hot = *r;
  m->hot_words = r->size >= 8 ? r->size - 7 : 0;
  uint64_t off = hpa - r->base;
  return r->size - off >= len ? r->host + off : NULL;
}

// True when all of [hpa, hpa+len) is there. No sum can wrap: regions end at 2^52 at most.
static bool covered(const struct ims_mem *m, uint64_t hpa, uint64_t len) {
  for (size_t i = lower(m, hpa); len > 0; i++) {
    if (i == m->regions || m->region[i].base > hpa)
      return false;
    uint64_t left = m->region[i].base + m->region[i].size - hpa;
    if (left >= len)
      return true;
    hpa += left;
    len -= left;
  }
  return true;
}

void ims_mem_set_remote(struct ims_mem *m, const struct ims_mem_remote *remote) {
  m->remote = remote ? *remote : (struct ims_mem_remote){0};
  m->has_remote = remote != NULL;
}

// A range of which some is in no region: piece by piece, from here or from there. `to` or `from` is NULL.
static int split_access(struct ims_mem *m, uint64_t hpa, uint8_t *to, const uint8_t *from, uint64_t len) {
  const struct ims_mem_remote *remote = &m->remote;
  if (!m->has_remote || hpa >= IMS_MEM_ADDR_END || len > IMS_MEM_ADDR_END - hpa)
    return IMS_ERR_BUS;
  for (uint64_t done = 0, n; done < len; done += n, hpa += n) {
    size_t i = lower(m, hpa);
    const struct ims_mem_region *r = i < m->regions ? &m->region[i] : NULL;
    bool here = r && r->base <= hpa;
    uint64_t end = here ? r->base + r->size : r ? r->base : IMS_MEM_ADDR_END;
    int rc = 0;
    n = end - hpa < len - done ? end - hpa : len - done;
    if (here && to)
      memcpy(to + done, r->host + (hpa - r->base), (size_t)n);
    else if (here)
      memcpy(r->host + (hpa - r->base), from + done, (size_t)n);
    else if (to)
      rc = remote->read ? remote->read(remote->ctx, hpa, to + done, (size_t)n) : IMS_ERR_BUS;
    else
      rc = remote->write ? remote->write(remote->ctx, hpa, from + done, (size_t)n) : IMS_ERR_BUS;
    if (rc)
      return IMS_ERR_BUS;
  }
  return IMS_ERR_OK;
}

int ims_mem_read(struct ims_mem *m, uint64_t hpa, void *buf, size_t len) {
  if (len == 0)
    return IMS_ERR_OK;
  const uint8_t *p = ims_mem_ptr(m, hpa, len);
  if (p) {
    memcpy(buf, p, len);
    return IMS_ERR_OK;
  }
  if (!covered(m, hpa, len))
    return split_access(m, hpa, (uint8_t *)buf, NULL, len);
  uint8_t *to = (uint8_t *)buf;
  for (size_t i = lower(m, hpa); len > 0; i++) {
    uint64_t off = hpa - m->region[i].base, left = m->region[i].size - off;
    size_t n = left < len ? (size_t)left : len;
    memcpy(to, m->region[i].host + off, n);
    to += n;
    hpa += n;
    len -= n;
  }
  return IMS_ERR_OK;
}

int ims_mem_write(struct ims_mem *m, uint64_t hpa, const void *buf, size_t len) {
  if (len == 0)
    return IMS_ERR_OK;
  uint8_t *p = ims_mem_ptr(m, hpa, len);
  if (p) {
    memcpy(p, buf, len);
    return IMS_ERR_OK;
  }
  if (!covered(m, hpa, len))
    return split_access(m, hpa, NULL, (const uint8_t *)buf, len);
  const uint8_t *from = (const uint8_t *)buf;
  for (size_t i = lower(m, hpa); len > 0; i++) {
    uint64_t off = hpa - m->region[i].base, left = m->region[i].size - off;
    size_t n = left < len ? (size_t)left : len;
    memcpy(m->region[i].host + off, from, n);
    from += n;
    hpa += n;
    len -= n;
  }
  return IMS_ERR_OK;
}

// Drops the host pages that lie wholly in [host, host+len). Memory of files then shows the file again, so this is for
// anonymous memory, or for bytes that nobody will read any more. Returns the part dropped as [*from, *to).
static bool give_back(uint8_t *host, uint64_t len, uint8_t **from, uint8_t **to) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  uint64_t head = (page - ((uintptr_t)host & (page - 1))) & (page - 1);
  if (len < head + page)
    return false;
  uint64_t n = (len - head) & ~(page - 1);
  *from = host + head;
  *to = *from + n;
  return madvise(*from, n, MADV_DONTNEED) == 0;
}

int ims_mem_fill(struct ims_mem *m, uint64_t hpa, uint8_t value, uint64_t len) {
  if (!covered(m, hpa, len))
    return IMS_ERR_BUS;
  for (size_t i = lower(m, hpa); len > 0; i++) {
    const struct ims_mem_region *r = &m->region[i];
    uint64_t off = hpa - r->base, left = r->size - off, n = left < len ? left : len;
    uint8_t *p = r->host + off, *from, *to;
    if (value == 0 && r->anon && n >= GIVE_BACK && give_back(p, n, &from, &to)) {
      memset(p, 0, (size_t)(from - p));
      memset(to, 0, (size_t)(p + n - to));
    } else {
      memset(p, value, n);
    }
    hpa += n;
    len -= n;
  }
  return IMS_ERR_OK;
}

int ims_mem_cas64(struct ims_mem *m, uint64_t hpa, uint64_t old, uint64_t desired, uint64_t *seen) {
  uint64_t found;
  int rc = ims_mem_load64(m, hpa, &found);
  if (rc)
    return rc;
  if (found == old && (rc = ims_mem_store64(m, hpa, desired)))
    return rc;
  *seen = found;
  return IMS_ERR_OK;
}

uint8_t *ims_mem_map_anon(uint64_t size) {
  if (size > SIZE_MAX)
    return NULL;
  void *p = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? NULL : (uint8_t *)p;
}

void ims_mem_own(struct ims_mem *m, struct ims_mem_backing *node, uint8_t *addr, size_t len, uint64_t live) {
  *node = (struct ims_mem_backing){m->backing, addr, len, live};
  m->backing = node;
}

// No region uses [host, host+len) any more: gives its pages back, and the whole mapping when that was the last of it.
// A joined region may reach over several mappings.
static void disown(struct ims_mem *m, uint8_t *host, uint64_t len) {
  while (len > 0) {
    struct ims_mem_backing **at = &m->backing, *b;
    while ((b = *at) && !(host >= b->addr && host < b->addr + b->len))
      at = &b->next;
    if (!b)
      return;
    uint64_t left = (uint64_t)(b->addr + b->len - host), n = left < len ? left : len;
    b->live -= n;
    if (b->live == 0) {
      *at = b->next;
      munmap(b->addr, b->len);
      free(b);
    } else {
      uint8_t *from, *to;
      give_back(host, n, &from, &to);
    }
    host += n;
    len -= n;
  }
}

// Room for `n` more regions.
static bool reserve(struct ims_mem *m, size_t n) {
  if (n <= m->capacity - m->regions)
    return true;
  if (n > SIZE_MAX / sizeof *m->region / 2 - m->regions)
    return false;
  size_t want = m->regions + n, capacity = m->capacity * 2 > want ? m->capacity * 2 : want;
  struct ims_mem_region *p = realloc(m->region, capacity * sizeof *p);
  if (!p)
    return false;
  m->region = p;
  m->capacity = capacity;
  return true;
}

static bool joins(const struct ims_mem_region *a, const struct ims_mem_region *b) {
  return a->base + a->size == b->base && a->host + a->size == b->host && a->anon == b->anon;
}

int ims_mem_insert(struct ims_mem *m, const struct ims_mem_region *add, size_t n, size_t *clash) {
  for (size_t i = 0; i < n; i++) {
    size_t at = lower(m, add[i].base);
    if (at < m->regions && m->region[at].base < add[i].base + add[i].size) {
      if (clash)
        *clash = i;
      return IMS_ERR_OVERLAP;
    }
  }
  if (n == 0)
    return IMS_ERR_OK;
  if (!reserve(m, n))
    return IMS_ERR_NOMEM;

  // Merge from the back; what lies below the lowest new region does not move, so that adding upwards is cheap.
  struct ims_mem_region *r = m->region;
  size_t old = m->regions, left = n, to = old + n;
  while (left > 0) {
    if (old > 0 && r[old - 1].base > add[left - 1].base)
      r[--to] = r[--old];
    else
      r[--to] = add[--left];
  }
  m->regions += n;

  size_t out = to > 0 ? to - 1 : 0;
  for (size_t in = out + 1; in < m->regions; in++) {
    if (joins(&r[out], &r[in]))
      r[out].size += r[in].size;
    else
      r[++out] = r[in];
  }
  m->regions = out + 1;
  m->hot.size = m->hot_words = 0;
  return IMS_ERR_OK;
}

int ims_mem_add_ram(struct ims_mem *m, uint64_t hpa, uint64_t size) {
  if (size == 0 || hpa >= IMS_MEM_ADDR_END || size > IMS_MEM_ADDR_END - hpa)
    return IMS_ERR_RANGE;
  // Host pages and simulated pages shall have the same borders, so that zeroing can give whole pages back.
  uint64_t lead = hpa & (IMS_MEM_PAGE - 1);
  struct ims_mem_backing *node = malloc(sizeof *node);
  uint8_t *host = node ? ims_mem_map_anon(size + lead) : NULL;
  int rc = IMS_ERR_NOMEM;
  if (host) {
    struct ims_mem_region r = {hpa, size, host + lead, true};
    rc = ims_mem_insert(m, &r, 1, NULL);
  }
  if (rc) {
    if (host)
      munmap(host, (size_t)(size + lead));
    free(node);
    return rc;
  }
  ims_mem_own(m, node, host, (size_t)(size + lead), size);
  return IMS_ERR_OK;
}

int ims_mem_remove(struct ims_mem *m, uint64_t hpa, uint64_t size) {
  uint64_t end = size > UINT64_MAX - hpa ? UINT64_MAX : hpa + size; // no memory is there, so the last byte is no loss
  if (size == 0)
    return IMS_ERR_OK;
  if (!reserve(m, 1))
    return IMS_ERR_NOMEM;
  m->hot.size = m->hot_words = 0;

  size_t first = lower(m, hpa), next = first;
  struct ims_mem_region keep[2]; // what stays of the first and of the last region
  size_t keeps = 0;
  for (; next < m->regions && m->region[next].base < end; next++) {
    struct ims_mem_region r = m->region[next];
    uint64_t from = r.base > hpa ? r.base : hpa, to = r.base + r.size < end ? r.base + r.size : end;
    if (from > r.base)
      keep[keeps++] = (struct ims_mem_region){r.base, from - r.base, r.host, r.anon};
    if (to < r.base + r.size)
      keep[keeps++] = (struct ims_mem_region){to, r.base + r.size - to, r.host + (to - r.base), r.anon};
    disown(m, r.host + (from - r.base), to - from);
  }
  memmove(&m->region[first + keeps], &m->region[next], (m->regions - next) * sizeof *m->region);
  memcpy(&m->region[first], keep, keeps * sizeof *keep);
  m->regions = m->regions - (next - first) + keeps;
  return IMS_ERR_OK;
}
