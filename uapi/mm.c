// SPDX-License-Identifier: Apache-2.0
// The address space of a process: areas of anonymous memory, a page table in simulated memory in the format of the
// machine's processors (x86-64 or VMSAv8-64), page faults.
#include "uapi/kernel_internal.h"
#include <stdlib.h>

#define MMAP_BASE 0x7f0000000000ull
#define MMAP_MIN  0x10000ull // below: never given out, not even to FIXED

static uint64_t page_size(const struct ims_process *p) { return 1ull << p->fmt.page_shift; }

static bool is_arm(const struct ims_process *p) { return p->fmt.kind == IMS_PGT_VMSA_S1; }

// The lower half of x86-64's addresses; all that TTBR0 covers.
static uint64_t task_size(const struct ims_process *p) {
  return (1ull << (p->pgt.in_bits - (is_arm(p) ? 0 : 1))) - page_size(p);
}

// Index of the first area that ends behind va.
static size_t vma_at(const struct ims_process *p, uint64_t va) {
  size_t low = 0, high = p->vmas;
  while (low < high) {
    size_t mid = (low + high) / 2;
    if (p->vma[mid].end <= va)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

static const struct vma *vma_find(const struct ims_process *p, uint64_t va) {
  size_t i = vma_at(p, va);
  return i < p->vmas && p->vma[i].start <= va ? &p->vma[i] : NULL;
}

static int vma_room(struct ims_process *p, size_t more) {
  if (p->vmas + more <= p->vma_room)
    return 0;
  size_t room = (p->vmas + more) * 2;
  struct vma *v = realloc(p->vma, room * sizeof *v);
  if (!v)
    return -ENOMEM;
  p->vma = v;
  p->vma_room = room;
  return 0;
}

static void vma_insert(struct ims_process *p, size_t i, struct vma v) {
  memmove(&p->vma[i + 1], &p->vma[i], (p->vmas - i) * sizeof v);
  p->vma[i] = v;
  p->vmas++;
}

// Makes `va` a border of areas. Room for one more must be there.
static void vma_split(struct ims_process *p, uint64_t va) {
  size_t i = vma_at(p, va);
  if (i >= p->vmas || p->vma[i].start >= va)
    return;
  struct vma tail = p->vma[i];
  tail.start = va;
  tail.offset += va - p->vma[i].start;
  if (tail.file)
    tail.file->refs++;
  p->vma[i].end = va;
  vma_insert(p, i + 1, tail);
}

// Areas of large pages are cut only between pages.
static bool cuts_page(const struct ims_process *p, uint64_t va) {
  const struct vma *v = vma_find(p, va);
  return v && v->start < va && (va & ((1ull << v->shift) - 1));
}

static unsigned perm_of(unsigned prot) {
  return IMS_PERM_R | IMS_PERM_U | (prot & IMS_PROT_WRITE ? (unsigned)IMS_PERM_W : 0u) |
         (prot & IMS_PROT_EXEC ? (unsigned)IMS_PERM_X : 0u);
}

// Processors set the accessed flag, and here the software does so for them; a page is dirty once it was written to.
static unsigned flags_of(const struct ims_process *p, unsigned prot) {
  return IMS_MAP_A | (prot & IMS_PROT_WRITE ? (unsigned)IMS_MAP_D : 0u) |
         (is_arm(p) ? (unsigned)(IMS_MAP_NG | IMS_MAP_DBM) : 0u);
}

static struct ims_pgt_mem tables(struct ims_process *p) { return ims_page_pool_pgt_mem(&p->k->pool); }

// Notes that a page is written to. True: it was clean.
static bool make_dirty(struct ims_process *p, const struct ims_pgt_leaf *leaf) {
  uint64_t dirty = ims_pgt_dirtied(&p->pgt, leaf->entry), seen;
  return dirty != leaf->entry && !ims_mem_cas64(p->k->mem, leaf->entry_addr, leaf->entry, dirty, &seen);
}

int ims_mm_fault(struct ims_process *p, uint64_t va, unsigned prot) {
  struct ims_pgt_mem mem = tables(p);
  struct ims_pgt_leaf leaf;
  const struct vma *v = p->exited ? NULL : vma_find(p, va);
  if (!v || !v->prot || (prot & ~(unsigned)v->prot))
    return -EFAULT;
  if (!ims_pgt_lookup(&p->pgt, &mem, va, &leaf)) {
    // Somebody else was faster; areas and entries have the same rights. But a clean page of VMSA may not be written to by
    // a device that cannot note it (CD.HD=0), nor by one that remembers it as read-only.
    if ((prot & IMS_PROT_WRITE) && make_dirty(p, &leaf) && is_arm(p))
      ims_mm_invalidate(p, va & ~(page_size(p) - 1), va | (page_size(p) - 1));
    return 0;
  }
  uint64_t hpa, base = va >> v->shift << v->shift;
  int err;
  if (v->file) {
    uint64_t left;
    err = ims_memfile_page(v->file, v->offset + (base - v->start), &hpa, &left);
    if (err)
      return err == -EINVAL ? -EFAULT : err; // beyond the end of the file
    ims_frames_get(p->k, hpa, 1ull << v->shift);
  } else {
    err = ims_frames_alloc(p->k, v->shift, &hpa);
    if (err)
      return ims_errno(err);
  }
  err = ims_pgt_map(&p->pgt, &mem, base, hpa, 1ull << v->shift, perm_of(v->prot), flags_of(p, prot), 0);
  if (err) {
    ims_frames_put(p->k, hpa, 1ull << v->shift);
    return ims_errno(err);
  }
  return 0;
}

int ims_mm_page(struct ims_process *p, uint64_t va, unsigned prot, uint64_t *hpa, uint64_t *left) {
  struct ims_pgt_mem mem = tables(p);
  struct ims_pgt_leaf leaf;
  unsigned need = perm_of(prot);
  if (p->exited)
    return -EFAULT;
  if (p->user.page)
    return p->user.page(p->user.ctx, va, prot & IMS_PROT_WRITE, hpa, left);
  for (int tries = 0; tries < 2; tries++) {
    if (!ims_pgt_lookup(&p->pgt, &mem, va, &leaf)) {
      if (need & ~(unsigned)leaf.perm)
        return -EFAULT;
      if (prot & IMS_PROT_WRITE)
        make_dirty(p, &leaf);
      *hpa = leaf.out;
      *left = (1ull << leaf.shift) - (va & ((1ull << leaf.shift) - 1));
      return 0;
    }
    int err = ims_mm_fault(p, va, prot);
    if (err)
      return err;
  }
  return -EFAULT;
}

void ims_mm_pin(struct ims_process *p, uint64_t hpa, uint64_t size, bool on) {
  if (hpa - p->k->pool.base < p->k->pool.size) {
    ims_frames_pin(p->k, hpa, size, on);
  } else if (p->user.pin) {
    p->user.pin(p->user.ctx, hpa, size, on);
  }
}

uint32_t ims_mm_pins(const struct ims_process *p, uint64_t hpa) {
  uint64_t off = hpa - p->k->pool.base;
  if (off < p->k->pool.size)
    return p->k->frames.pin ? p->k->frames.pin[off >> IMS_PAGE_SHIFT] : 0;
  return p->user.pins ? p->user.pins(p->user.ctx, hpa) : 0;
}

// Leaves of a range, gathered before they go.
struct leaf {
  uint64_t va, hpa;
  uint8_t shift;
};
struct leaves {
  const struct ims_process *p;
  struct leaf *leaf;
  size_t count, room;
};

static int gather_leaf(void *ctx, const struct ims_pgt_visit *visit) {
  struct leaves *l = ctx;
  if (visit->kind != IMS_PTE_LEAF)
    return IMS_VISIT_ON;
  if (l->count == l->room) {
    size_t room = l->room ? 2 * l->room : 64;
    struct leaf *more = realloc(l->leaf, room * sizeof *more);
    if (!more)
      return IMS_ERR_NOMEM;
    l->leaf = more;
    l->room = room;
  }
  l->leaf[l->count++] = (struct leaf){visit->in, visit->out, (uint8_t)ims_pgt_shift(l->p->pgt.fmt, visit->level)};
  return IMS_VISIT_ON;
}

static void reap(void *ctx, uint64_t table, unsigned log2size) {
  struct leaves *l = ctx;
  struct ims_pgt_visit v = {.kind = IMS_PTE_LEAF, .level = 1, .out = table};
  (void)log2size;
  if (gather_leaf(l, &v)) // no memory to remember it: the page is lost, which is better than given out too early
    return;
}

// Takes the pages of [va, va+size) out of the page table, tells the devices, and only then lets go of the tables.
// With `hide`, pages are kept for a later mprotect; else they are put.
static int zap(struct ims_process *p, uint64_t va, uint64_t size, bool hide) {
  struct ims_pgt_mem mem = tables(p);
  struct leaves pages = {.p = p}, freed = {.p = p};
  struct ims_pgt_gather gather = {.reap = reap, .ctx = &freed};
  int err = ims_pgt_iterate(&p->pgt, &mem, va, va + size - 1, gather_leaf, &pages);
  if (!err && pages.count)
    err = ims_pgt_unmap(&p->pgt, &mem, va, size, 0, &gather);
  if (!err && pages.count)
    ims_mm_invalidate(p, va, va + size - 1);
  for (size_t i = 0; i < pages.count && !err; i++) {
    struct hidden_page *h = hide ? malloc(sizeof *h) : NULL;
    if (h) {
      *h = (struct hidden_page){.va = pages.leaf[i].va, .hpa = pages.leaf[i].hpa, .shift = pages.leaf[i].shift};
      HASH_ADD(hh, p->hidden, va, sizeof h->va, h);
    } else {
      ims_frames_put(p->k, pages.leaf[i].hpa, 1ull << pages.leaf[i].shift);
    }
  }
  for (size_t i = 0; i < freed.count; i++)
    mem.free(mem.ctx, freed.leaf[i].hpa, freed.leaf[i].shift);
  free(pages.leaf);
  free(freed.leaf);
  return err ? ims_errno(err) : 0;
}

// Hidden pages of a range: mapped again with `prot`, or put when that is 0.
static void unhide(struct ims_process *p, uint64_t va, uint64_t size, unsigned prot) {
  struct ims_pgt_mem mem = tables(p);
  struct hidden_page *h, *next;
  HASH_ITER(hh, p->hidden, h, next) {
    if (h->va < va || h->va - va >= size)
      continue;
    HASH_DEL(p->hidden, h);
    if (!prot || ims_pgt_map(&p->pgt, &mem, h->va, h->hpa, 1ull << h->shift, perm_of(prot), flags_of(p, 0), 0))
      ims_frames_put(p->k, h->hpa, 1ull << h->shift);
    free(h);
  }
}

// Of a file, or anonymous: of pages of 2^shift bytes.
static int map_memory(struct ims_process *p, uint64_t va, uint64_t size, unsigned prot, unsigned flags, uint8_t shift,
                      struct memfile *file, uint64_t offset, uint64_t *out) {
  uint64_t mask = (1ull << shift) - 1;
  if (!size || ((va | size | offset) & mask) || (prot & ~7u) || (flags & ~15u) || p->exited)
    return -EINVAL;
  if (size > task_size(p))
    return -ENOMEM;
  if (!va && !(flags & IMS_MMAP_FIXED)) {
    va = (p->mmap_next + mask) & ~mask;
    // First fit from where the last one ended.
    for (size_t i = vma_at(p, va); i < p->vmas && p->vma[i].start < va + size; i++)
      va = (p->vma[i].end + mask) & ~mask;
    if (va > task_size(p) - size)
      return -ENOMEM;
    p->mmap_next = va + size;
  }
  if (va < MMAP_MIN || va > task_size(p) || size > task_size(p) - va)
    return -EINVAL;
  size_t i = vma_at(p, va);
  if (i < p->vmas && p->vma[i].start < va + size)
    return -EEXIST;
  if (vma_room(p, 1))
    return -ENOMEM;
  vma_insert(p, i, (struct vma){va, va + size, (uint8_t)prot, shift, file, offset});
  if (file)
    file->refs++;
  if ((flags & IMS_MMAP_POPULATE) && prot)
    for (uint64_t at = va; at < va + size; at += mask + 1) {
      int err = ims_mm_fault(p, at, prot & ~(unsigned)IMS_PROT_WRITE);
      if (err) {
        ims_munmap(p, va, size);
        return err;
      }
    }
  *out = va;
  return 0;
}

int ims_mmap(struct ims_process *p, uint64_t va, uint64_t size, unsigned prot, unsigned flags, uint64_t *out) {
  unsigned level = flags & IMS_MMAP_1G ? 3 : flags & IMS_MMAP_2M ? 2 : 1;
  if (!(p->fmt.leaf_levels >> level & 1))
    return -EINVAL;
  return map_memory(p, va, size, prot, flags, (uint8_t)ims_pgt_shift(&p->fmt, level), NULL, 0, out);
}

int ims_mmap_file(struct ims_process *p, uint64_t va, uint64_t size, unsigned prot, unsigned flags, struct ims_file *f,
                  uint64_t offset, uint64_t *out) {
  struct memfile *file = ims_memfile_of(f);
  if (!file || file->dmabuf)
    return -ENODEV;
  if ((flags & (IMS_MMAP_2M | IMS_MMAP_1G)) || offset > INT64_MAX || size > INT64_MAX)
    return -EINVAL;
  return map_memory(p, va, size, prot, flags, file->shift, file, offset, out);
}

int ims_munmap(struct ims_process *p, uint64_t va, uint64_t size) {
  const uint64_t page = page_size(p);
  size = (size + page - 1) & ~(page - 1);
  if (!size || (va & (page - 1)) || va > task_size(p) || size > task_size(p) - va || p->exited || cuts_page(p, va) ||
      cuts_page(p, va + size))
    return -EINVAL;
  if (vma_room(p, 2))
    return -ENOMEM;
  int err = zap(p, va, size, false);
  if (err)
    return err;
  unhide(p, va, size, 0);
  vma_split(p, va);
  vma_split(p, va + size);
  size_t first = vma_at(p, va), last = first;
  while (last < p->vmas && p->vma[last].start < va + size)
    if (p->vma[last++].file)
      ims_memfile_put(p->vma[last - 1].file);
  memmove(&p->vma[first], &p->vma[last], (p->vmas - last) * sizeof *p->vma);
  p->vmas -= last - first;
  return 0;
}

int ims_mprotect(struct ims_process *p, uint64_t va, uint64_t size, unsigned prot) {
  struct ims_pgt_mem mem = tables(p);
  const uint64_t page = page_size(p);
  size = (size + page - 1) & ~(page - 1);
  if ((va & (page - 1)) || (prot & ~7u) || p->exited || cuts_page(p, va) || cuts_page(p, va + size))
    return -EINVAL;
  if (!size)
    return 0;
  if (va > task_size(p) || size > task_size(p) - va)
    return -ENOMEM;
  for (uint64_t at = va; at < va + size;) { // a hole: nothing is changed
    const struct vma *v = vma_find(p, at);
    if (!v)
      return -ENOMEM;
    at = v->end;
  }
  if (vma_room(p, 2))
    return -ENOMEM;
  vma_split(p, va);
  vma_split(p, va + size);
  int err = 0;
  if (!prot) {
    err = zap(p, va, size, true);
  } else {
    uint64_t changed = 0;
    err = ims_errno(ims_pgt_protect(&p->pgt, &mem, va, size, perm_of(prot), &changed));
    if (!err && changed)
      ims_mm_invalidate(p, va, va + size - 1);
    if (!err)
      unhide(p, va, size, prot);
  }
  if (err)
    return err;
  for (size_t i = vma_at(p, va); i < p->vmas && p->vma[i].start < va + size; i++)
    p->vma[i].prot = (uint8_t)prot;
  return 0;
}

static int copy(struct ims_process *p, uint64_t va, void *buf, size_t len, bool write) {
  uint8_t *b = buf;
  while (len) {
    uint64_t hpa, left;
    int err = ims_mm_page(p, va, write ? IMS_PROT_WRITE : IMS_PROT_READ, &hpa, &left);
    if (err)
      return -EFAULT;
    size_t n = left < len ? (size_t)left : len;
    if (write ? ims_mem_write(p->k->mem, hpa, b, n) : ims_mem_read(p->k->mem, hpa, b, n))
      return -EFAULT;
    b += n;
    va += n;
    len -= n;
  }
  return 0;
}

int ims_process_read(struct ims_process *p, uint64_t va, void *buf, size_t len) { return copy(p, va, buf, len, false); }

int ims_process_write(struct ims_process *p, uint64_t va, const void *buf, size_t len) {
  return copy(p, va, (void *)(uintptr_t)buf, len, true);
}

int ims_process_translate(struct ims_process *p, uint64_t va, uint64_t *hpa) {
  struct ims_pgt_mem mem = tables(p);
  struct ims_pgt_leaf leaf;
  if (p->exited || ims_pgt_lookup(&p->pgt, &mem, va, &leaf))
    return IMS_ERR_NOENT;
  *hpa = leaf.out;
  return IMS_ERR_OK;
}

uint64_t ims_process_pgd(const struct ims_process *p) { return p->pgt.root; }
