// SPDX-License-Identifier: Apache-2.0
// MAP_DMA and UNMAP_DMA: user memory pinned and mapped in the second stage. Linux 5.10, vfio_iommu_type1.c.
#include "uapi/kernel_internal.h"
#include <stdlib.h>

// x86: devices must not reach the interrupt range through a mapping. Arm: there the kernel maps doorbells (Linux: the
// software-defined MSI window). The window of the first device counts; units of different kinds share no container.
static const struct host_ops *driver_of(const struct container *c) {
  for (const struct ims_group *g = c->groups; g; g = g->next_in_container)
    if (g->devices)
      return g->devices->unit->ops;
  return &ims_vtd_host_ops;
}

unsigned ims_iova_ranges(const struct container *c, struct ims_vfio_iova_range out[2]) {
  const struct host_ops *ops = driver_of(c);
  unsigned bits = 64;
  for (const struct vfio_domain *vd = c->domains; vd; vd = vd->next)
    if (vd->d->paging->pgt.in_bits < bits)
      bits = vd->d->paging->pgt.in_bits;
  out[0] = (struct ims_vfio_iova_range){0, ops->msi_first - 1};
  out[1] = (struct ims_vfio_iova_range){ops->msi_last + 1, bits >= 64 ? ~0ull : (1ull << bits) - 1};
  return 2;
}

uint64_t ims_container_page(const struct container *c) {
  unsigned shift = IMS_PAGE_SHIFT;
  for (const struct vfio_domain *vd = c->domains; vd; vd = vd->next)
    if (vd->d->paging->fmt.page_shift > shift)
      shift = vd->d->paging->fmt.page_shift;
  return 1ull << shift;
}

bool ims_iova_valid(const struct container *c, uint64_t first, uint64_t last) {
  struct ims_vfio_iova_range r[2];
  unsigned n = ims_iova_ranges(c, r);
  for (unsigned i = 0; i < n; i++)
    if (first >= r[i].start && last <= r[i].end)
      return true;
  return false;
}

// Index of the first mapping that ends behind iova.
static size_t dma_at(const struct container *c, uint64_t iova) {
  size_t low = 0, high = c->dmas;
  while (low < high) {
    size_t mid = (low + high) / 2;
    if (c->dma[mid].iova + (c->dma[mid].size - 1) < iova)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

static const struct dma *dma_find(const struct container *c, uint64_t first, uint64_t last) {
  size_t i = dma_at(c, first);
  return i < c->dmas && c->dma[i].iova <= last ? &c->dma[i] : NULL;
}

// ---- Second stage ---------------------------------------------------------------------------------------------------

struct runs {
  uint64_t first, last; // iova
  uint64_t (*run)[2];   // hpa, size
  size_t runs, room;
};

static int gather(void *ctx, const struct ims_pgt_visit *v) {
  struct runs *p = ctx;
  if (v->kind != IMS_PTE_LEAF)
    return IMS_VISIT_ON;
  uint64_t from = v->in > p->first ? v->in : p->first, end = v->in + (v->size - 1);
  uint64_t to = end < p->last ? end : p->last, hpa = v->out + (from - v->in), size = to - from + 1;
  if (p->runs && p->run[p->runs - 1][0] + p->run[p->runs - 1][1] == hpa) {
    p->run[p->runs - 1][1] += size;
    return IMS_VISIT_ON;
  }
  if (p->runs == p->room) {
    size_t room = p->room ? 2 * p->room : 64;
    uint64_t(*more)[2] = realloc(p->run, room * sizeof *more);
    if (!more)
      return IMS_ERR_NOMEM;
    p->run = more;
    p->room = room;
  }
  p->run[p->runs][0] = hpa;
  p->run[p->runs++][1] = size;
  return IMS_VISIT_ON;
}

// mm: whose pages they are.
static void unmap_range(struct container *c, struct ims_process *mm, uint64_t iova, uint64_t size) {
  struct runs p = {.first = iova, .last = iova + size - 1};
  if (!c->domains || !size)
    return;
  const struct hdomain *first = c->domains->d; // all domains of a container map the same
  int err = ims_pgt_iterate(&first->paging->pgt, &c->k->tables, p.first, p.last, gather, &p);
  for (struct vfio_domain *vd = c->domains; vd; vd = vd->next)
    ims_hdomain_unmap(vd->d, iova, size);
  for (size_t i = 0; i < p.runs && !err; i++)
    ims_mm_pin(mm, p.run[i][0], p.run[i][1], false);
  free(p.run);
}

// Pins the mapping's memory, run by run of neighbouring pages. `only`: into this domain alone, for pages that are pinned
// and mapped in others already.
static int pin_and_map(struct container *c, const struct dma *m, struct hdomain *only) {
  uint64_t done = 0;
  int err = 0;
  while (done < m->size && !err) {
    uint64_t hpa = 0, size = 0;
    while (done + size < m->size) {
      uint64_t at, left;
      int bad = ims_mm_page(m->mm, m->vaddr + done + size, m->prot, &at, &left);
      if (bad) {
        err = size ? 0 : bad; // what came before is mapped first; the next round meets the page again
        break;
      }
      if (!size)
        hpa = at;
      else if (at != hpa + size)
        break;
      size += left < m->size - done - size ? left : m->size - done - size;
    }
    if (err)
      break;
    if (only) {
      err = ims_hdomain_map(only, m->iova + done, hpa, size, m->prot);
    } else {
      ims_mm_pin(m->mm, hpa, size, true);
      for (struct vfio_domain *vd = c->domains; vd && !err; vd = vd->next) {
        err = ims_hdomain_map(vd->d, m->iova + done, hpa, size, m->prot);
        for (struct vfio_domain *undo = c->domains; err && undo != vd; undo = undo->next)
          ims_hdomain_unmap(undo->d, m->iova + done, size);
      }
      if (err)
        ims_mm_pin(m->mm, hpa, size, false);
    }
    if (!err)
      done += size;
  }
  if (err && !only)
    unmap_range(c, m->mm, m->iova, done);
  else if (err && done)
    ims_hdomain_unmap(only, m->iova, done);
  if (err)
    return err;
  if (only)
    return ims_hdomain_flush_new(only, m->iova, m->iova + m->size - 1);
  for (struct vfio_domain *vd = c->domains; vd; vd = vd->next)
    ims_hdomain_flush_new(vd->d, m->iova, m->iova + m->size - 1);
  return 0;
}

int ims_vfio_replay(struct container *c, struct hdomain *d) {
  for (size_t i = 0; i < c->dmas; i++) { // there are none unless a domain holds them already
    int err = pin_and_map(c, &c->dma[i], d);
    if (err)
      return err;
  }
  return 0;
}

void ims_vfio_unmap_domain(struct container *c, struct hdomain *d) {
  for (size_t i = 0; i < c->dmas; i++)
    ims_hdomain_unmap(d, c->dma[i].iova, c->dma[i].size);
}

static void drop(struct container *c, const struct dma *m) {
  unmap_range(c, m->mm, m->iova, m->size);
  ims_process_put(m->mm);
}

void ims_vfio_unmap_all(struct container *c) {
  for (size_t i = 0; i < c->dmas; i++)
    drop(c, &c->dma[i]);
  c->dmas = 0;
}

// ---- The ioctls -----------------------------------------------------------------------------------------------------

long ims_vfio_map(struct ims_file *f, uint64_t arg) {
  enum { READ = 1, WRITE = 2 };
  struct container *c = f->open->container;
  struct ims_vfio_iommu_type1_dma_map m;
  if (!ims_user_read(f->process, &m, arg, sizeof m))
    return -EFAULT;
  if (m.argsz < sizeof m || (m.flags & ~(uint32_t)(READ | WRITE)))
    return -EINVAL;
  unsigned prot = (m.flags & READ ? (unsigned)IMS_PROT_READ : 0u) | (m.flags & WRITE ? (unsigned)IMS_PROT_WRITE : 0u);
  if (!prot || !m.size || ((m.size | m.iova | m.vaddr) & (ims_container_page(c) - 1)))
    return -EINVAL;
  if (m.iova + m.size - 1 < m.iova || m.vaddr + m.size - 1 < m.vaddr)
    return -EINVAL;
  if (dma_find(c, m.iova, m.iova + m.size - 1))
    return -EEXIST;
  if (c->dmas >= c->k->cfg.dma_entry_limit)
    return -ENOSPC;
  if (!ims_iova_valid(c, m.iova, m.iova + m.size - 1))
    return -EINVAL;
  if (c->dmas == c->dma_room) {
    size_t room = c->dma_room ? 2 * c->dma_room : 8;
    struct dma *more = realloc(c->dma, room * sizeof *more);
    if (!more)
      return -ENOMEM;
    c->dma = more;
    c->dma_room = room;
  }
  struct dma entry = {m.iova, m.size, m.vaddr, f->process, (uint8_t)prot};
  int err = pin_and_map(c, &entry, NULL);
  if (err)
    return err;
  size_t i = dma_at(c, m.iova);
  memmove(&c->dma[i + 1], &c->dma[i], (c->dmas - i) * sizeof *c->dma);
  c->dma[i] = entry;
  c->dmas++;
  ims_process_get(entry.mm);
  return 0;
}

long ims_vfio_unmap(struct ims_file *f, uint64_t arg) {
  struct container *c = f->open->container;
  struct ims_vfio_iommu_type1_dma_unmap u;
  if (!ims_user_read(f->process, &u, arg, sizeof u))
    return -EFAULT;
  // GET_DIRTY_BITMAP is refused as long as dirty logging has not been started, and this driver has none.
  if (u.argsz < sizeof u || u.flags)
    return -EINVAL;
  const uint64_t below_page = ims_container_page(c) - 1;
  if ((u.iova & below_page) || !u.size || (u.size & below_page) || u.iova + u.size - 1 < u.iova)
    return -EINVAL;
  uint64_t last = u.iova + (u.size - 1), unmapped = 0;
  if (c->v2) { // mappings go whole or not at all
    const struct dma *d = dma_find(c, u.iova, u.iova);
    if (d && d->iova != u.iova)
      return -EINVAL;
    d = dma_find(c, last, last);
    if (d && d->iova + (d->size - 1) != last)
      return -EINVAL;
  }
  for (const struct dma *d; (d = dma_find(c, u.iova, last)) != NULL;) {
    if (!c->v2 && u.iova > d->iova)
      break;
    size_t i = (size_t)(d - c->dma);
    unmapped += d->size;
    drop(c, d);
    memmove(&c->dma[i], &c->dma[i + 1], (c->dmas - i - 1) * sizeof *c->dma);
    c->dmas--;
  }
  u.size = unmapped;
  return ims_user_write(f->process, arg, &u, sizeof u) ? 0 : -EFAULT;
}
