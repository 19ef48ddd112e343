// SPDX-License-Identifier: Apache-2.0
// A pass over all of memory that does not touch what the host never backed, and the checksum that is made with it.
#define _GNU_SOURCE
#include "mem/backing_internal.h"
#include <fcntl.h>
#include <unistd.h>

#define WINDOW 2048 // entries of /proc/self/pagemap read at once

// Which host pages of anonymous memory were ever touched. Linux, Documentation/admin-guide/mm/pagemap: 64 bits a page,
// bit 63 present, bit 62 swapped; with neither the page still is what mmap made it: zeros. (mincore would not do: it
// does not tell a page swapped out from one never touched.)
struct touched {
  int fd; // -1: not to be had; then every page counts as touched
  uint64_t page, first, count;
  uint64_t entry[WINDOW];
};

static bool page_untouched(struct touched *t, uint64_t vpn) {
  if (t->fd < 0)
    return false;
  if (vpn - t->first >= t->count) {
    ssize_t got = pread(t->fd, t->entry, sizeof t->entry, (off_t)(vpn * 8));
    t->first = vpn;
    t->count = got < 8 ? 0 : (uint64_t)got / 8;
    if (t->count == 0)
      return false;
  }
  return !(t->entry[vpn - t->first] >> 62);
}

static bool untouched(struct touched *t, const uint8_t *host, uint64_t len) {
  uint64_t first = (uintptr_t)host / t->page, last = ((uintptr_t)host + len - 1) / t->page;
  for (uint64_t vpn = first; vpn <= last; vpn++)
    if (!page_untouched(t, vpn))
      return false;
  return true;
}

static bool all_zero(const uint8_t *p, uint64_t len) { return p[0] == 0 && memcmp(p, p + 1, (size_t)len - 1) == 0; }

int ims_mem_scan(struct ims_mem *m, ims_mem_scan_fn *fn, void *ctx) {
  struct touched t;
  uint8_t buf[IMS_MEM_PAGE];
  t.fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  t.page = (uint64_t)sysconf(_SC_PAGESIZE);
  t.first = t.count = 0;

  int rc = 0;
  uint64_t hpa = 0, zeros = 0; // zeros not told yet: [hpa - zeros, hpa)
  for (size_t i = 0; i < m->regions && !rc; i++) {
    const struct ims_mem_region *r = &m->region[i];
    uint64_t end = r->base + r->size;
    if (hpa < r->base) { // not where the last region, or a page reaching into this one, ended
      if (zeros)
        rc = fn(ctx, hpa - zeros, NULL, zeros);
      zeros = 0;
      hpa = r->base;
    }
    while (hpa < end && !rc) {
      uint64_t n = IMS_MEM_PAGE - (hpa & (IMS_MEM_PAGE - 1));
      const uint8_t *p = r->host + (hpa - r->base);
      bool zero = false;
      if (n <= end - hpa) {
        zero = r->anon && untouched(&t, p, n);
      } else { // the page goes on in the next region, or memory ends inside it
        uint64_t have = end - hpa;
        for (size_t k = i + 1; have < n && k < m->regions && m->region[k].base == hpa + have; k++)
          have += m->region[k].size;
        n = have < n ? have : n;
        ims_mem_read(m, hpa, buf, (size_t)n);
        p = buf;
      }
      if (zero || all_zero(p, n)) {
        zeros += n;
      } else {
        if (zeros)
          rc = fn(ctx, hpa - zeros, NULL, zeros);
        zeros = 0;
        if (!rc)
          rc = fn(ctx, hpa, p, n);
      }
      hpa += n;
    }
  }
  if (zeros && !rc)
    rc = fn(ctx, hpa - zeros, NULL, zeros);
  if (t.fd >= 0)
    close(t.fd);
  return rc;
}

// FNV-1a, 64 bit: http://www.isthe.com/chongo/tech/comp/fnv/
#define FNV_BASIS 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull

static uint64_t fnv(uint64_t h, const void *bytes, uint64_t len) {
  const uint8_t *p = (const uint8_t *)bytes;
  for (uint64_t i = 0; i < len; i++)
    h = (h ^ p[i]) * FNV_PRIME;
  return h;
}

static int hash_piece(void *ctx, uint64_t hpa, const uint8_t *bytes, uint64_t len) {
  uint64_t *h = (uint64_t *)ctx;
  if (bytes) {
    *h = fnv(*h, &hpa, sizeof hpa);
    *h = fnv(*h, bytes, len);
  }
  return 0;
}

uint64_t ims_mem_hash(struct ims_mem *m) {
  uint64_t h = FNV_BASIS;
  // Borders of the address space only: how it is cut into regions is chance.
  for (size_t i = 0; i < m->regions;) {
    uint64_t start = m->region[i].base, end = start + m->region[i].size;
    while (++i < m->regions && m->region[i].base == end)
      end += m->region[i].size;
    h = fnv(h, &start, sizeof start);
    h = fnv(h, &end, sizeof end);
  }
  ims_mem_scan(m, hash_piece, &h);
  return h;
}
