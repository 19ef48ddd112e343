// SPDX-License-Identifier: Apache-2.0
// What a VFIO container does, done by an iommufd over one of its address spaces (Facts 3.8; Linux 7.x,
// iommufd/vfio_compat.c), and IOMMU_VFIO_IOAS, which says over which.
#include "uapi/iommufd/iommufd_internal.h"
#include "uapi/vfio.h"

enum {
  MAP_READ = 1,
  MAP_WRITE = 2,
  UNMAP_ALL = 2, // flag of UNMAP_DMA
  EXTENSION_UNMAP_ALL = 9,
  INFO_PGSIZES = 1,
  INFO_CAPS = 2,
  CAP_DMA_AVAIL = 3,
};

long ims_cmd_iommu_vfio_ioas(struct ucmd *u, struct ims_iommu_vfio_ioas *c) {
  struct ioas *s;
  if (c->reserved)
    return -EOPNOTSUPP;
  switch (c->op) {
  case IMS_VFIO_IOAS_GET:
    if (!u->ctx->vfio_ioas)
      return -ENODEV;
    c->ioas_id = u->ctx->vfio_ioas->obj.id;
    return ims_respond(u, sizeof *c);
  case IMS_VFIO_IOAS_SET:
    s = FIND(u->ctx, c->ioas_id, IOAS, ioas);
    if (!s)
      return -ENOENT;
    u->ctx->vfio_ioas = s;
    return 0;
  case IMS_VFIO_IOAS_CLEAR: u->ctx->vfio_ioas = NULL; return 0;
  default: return -EOPNOTSUPP;
  }
}

// ---- Mapping --------------------------------------------------------------------------------------------------------

static long map_dma(struct ims_file *f, struct ioas *s, uint64_t arg) {
  struct ims_vfio_iommu_type1_dma_map m;
  if (!ims_user_read(f->process, &m, arg, sizeof m))
    return -EFAULT;
  if (m.argsz < sizeof m || (m.flags & ~(uint32_t)(MAP_READ | MAP_WRITE)))
    return -EINVAL;
  if (!s)
    return -ENODEV;
  uint32_t flags = IMS_IOAS_MAP_FIXED_IOVA | (m.flags & MAP_READ ? (uint32_t)IMS_IOAS_MAP_READABLE : 0u) |
                   (m.flags & MAP_WRITE ? (uint32_t)IMS_IOAS_MAP_WRITEABLE : 0u);
  return ims_ioas_map_user(s, f->process, m.vaddr, m.size, &m.iova, flags);
}

static int unmap(struct ioas *s, const struct ims_vfio_iommu_type1_dma_unmap *u, uint64_t *unmapped) {
  uint64_t last;
  if (u->flags & UNMAP_ALL)
    return ims_iopt_unmap(&s->iopt, 0, ~0ull, unmapped);
  if (!u->size)
    return -EINVAL;
  if (__builtin_add_overflow(u->iova, u->size - 1, &last))
    return -EOVERFLOW;
  return ims_iopt_unmap(&s->iopt, u->iova, last, unmapped);
}

static long unmap_dma(struct ims_file *f, struct ioas *s, uint64_t arg) {
  struct ims_vfio_iommu_type1_dma_unmap u;
  uint64_t unmapped = 0;
  int err = 0;
  if (!ims_user_read(f->process, &u, arg, sizeof u))
    return -EFAULT;
  if (u.argsz < sizeof u || (u.flags & ~(uint32_t)UNMAP_ALL))
    return -EINVAL;
  if (!s)
    return -ENODEV;
  if ((u.flags & UNMAP_ALL) && (u.iova || u.size))
    return -EINVAL;
  if (!(u.flags & UNMAP_ALL) && s->iopt.no_large_pages) { // type1 may cut mappings
    err = ims_iopt_cut(&s->iopt, u.iova + u.size - 1);
    if (!err && u.iova)
      err = ims_iopt_cut(&s->iopt, u.iova - 1);
    if (err)
      return err;
  }
  err = unmap(s, &u, &unmapped);
  u.size = unmapped;
  return ims_user_write(f->process, arg, &u, sizeof u) ? err : -EFAULT;
}

// ---- What it can do -------------------------------------------------------------------------------------------------

static long set_iommu(struct ioas *s, uint64_t type) {
  if (type != IMS_VFIO_TYPE1_IOMMU && type != IMS_VFIO_TYPE1v2_IOMMU)
    return -EINVAL;
  if (!s)
    return -ENODEV;
  return type == IMS_VFIO_TYPE1_IOMMU ? ims_iopt_large_pages(&s->iopt, false) : 0;
}

static long check_extension(const struct ioas *s, uint64_t extension) {
  switch (extension) {
  case IMS_VFIO_TYPE1_IOMMU:
  case IMS_VFIO_TYPE1v2_IOMMU:
  case EXTENSION_UNMAP_ALL: return 1;
  case IMS_VFIO_DMA_CC_IOMMU: // no device's request goes by the caches
    if (!s)
      return -ENODEV;
    for (const struct hwpt_paging *h = s->hwpts; h; h = h->next_in_ioas)
      if (!h->h.d->paging->snoop)
        return 0;
    return 1;
  default: return 0;
  }
}

static uint64_t page_sizes(const struct iopt *t) {
  uint64_t sizes = ~0ull;
  for (size_t i = 0; i < t->domains; i++) {
    const struct paging *p = t->domain[i]->paging;
    uint64_t own = ims_hdomain_page(t->domain[i]);
    for (unsigned level = 1; !p->soft && level < 8; level++)
      if (p->fmt.leaf_levels >> level & 1)
        own |= 1ull << ims_pgt_shift(&p->fmt, level);
    sizes &= own;
  }
  if (sizes & (t->page - 1)) // parts of pages: the processor's page is what counts
    sizes = (sizes & ~(t->page - 1)) | t->page;
  return sizes > t->alignment ? sizes : t->alignment;
}

// Writes a capability where there is room; the offset of the next one, or -EFAULT.
static int64_t put(struct ims_file *f, uint64_t arg, uint32_t argsz, uint64_t at, const void *cap, uint64_t size) {
  if (argsz > at && argsz - at >= size && !ims_user_write(f->process, arg + at, cap, size))
    return -EFAULT;
  return (int64_t)(at + ((size + 7) & ~7ull));
}

static int64_t put_ranges(struct ims_file *f, const struct iopt *t, uint64_t arg, uint32_t argsz, uint64_t at) {
  struct {
    struct ims_vfio_info_cap_header header;
    uint32_t count, reserved;
  } cap = {.header = {.id = IMS_VFIO_INFO_CAP_IOVA_RANGE, .version = 1}};
  uint64_t end = at + sizeof cap;
  struct ims_vfio_iova_range r;
  for (uint64_t first = 0; ims_iopt_free_range(t, &first, &r.end); first = r.end + 1) {
    r.start = first;
    int64_t next = put(f, arg, argsz, end, &r, sizeof r);
    if (next < 0)
      return next;
    end = (uint64_t)next;
    cap.count++;
    if (r.end == ~0ull)
      break;
  }
  if (argsz >= end && !ims_user_write(f->process, arg + at, &cap, sizeof cap))
    return -EFAULT;
  return (int64_t)end;
}

static long get_info(struct ims_file *f, const struct ioas *s, uint64_t arg) {
  struct ims_vfio_iommu_type1_info info = {0};
  const size_t min = offsetof(struct ims_vfio_iommu_type1_info, cap_offset);
  struct {
    struct ims_vfio_info_cap_header header;
    uint32_t avail;
  } dma = {.header = {.id = CAP_DMA_AVAIL, .version = 1}, .avail = UINT32_MAX};
  if (!ims_user_read(f->process, &info, arg, min))
    return -EFAULT;
  if (info.argsz < min)
    return -EINVAL;
  if (!s)
    return -ENODEV;
  const uint32_t argsz = info.argsz;
  info.flags = INFO_PGSIZES | INFO_CAPS;
  info.iova_pgsizes = page_sizes(&s->iopt);
  int64_t second = put(f, arg, argsz, sizeof info, &dma, sizeof dma);
  int64_t end = second < 0 ? second : put_ranges(f, &s->iopt, arg, argsz, (uint64_t)second);
  if (end < 0)
    return end;
  uint32_t next = (uint32_t)second;
  if (argsz >= next && !ims_user_write(f->process, arg + sizeof info + 4, &next, sizeof next))
    return -EFAULT;
  info.cap_offset = argsz >= end ? sizeof info : 0;
  info.argsz = (uint32_t)end;
  return ims_user_write(f->process, arg, &info, argsz < sizeof info ? argsz : sizeof info) ? 0 : -EFAULT;
}

long ims_vfio_compat_ioctl(struct ims_file *f, uint32_t cmd, uint64_t arg) {
  struct ioas *s = ((struct ictx *)f->open->state)->vfio_ioas;
  switch (cmd) {
  case IMS_VFIO_GET_API_VERSION: return 0;
  case IMS_VFIO_CHECK_EXTENSION: return check_extension(s, arg);
  case IMS_VFIO_SET_IOMMU: return set_iommu(s, arg);
  case IMS_VFIO_IOMMU_GET_INFO: return get_info(f, s, arg);
  case IMS_VFIO_IOMMU_MAP_DMA: return map_dma(f, s, arg);
  case IMS_VFIO_IOMMU_UNMAP_DMA: return unmap_dma(f, s, arg);
  default: return -ENOTTY;
  }
}
