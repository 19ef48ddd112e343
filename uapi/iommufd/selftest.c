// SPDX-License-Identifier: Apache-2.0
// IOMMU_TEST_CMD: what the kernel's own tests of iommufd ask of the mock driver and of the core behind it. Facts 6.2;
// Linux 7.x, iommufd/selftest.c.
#include "uapi/iommufd/selftest_internal.h"
#include <stdlib.h>

// ---- The mock device and its attachments ----------------------------------------------------------------------------

void ims_selftest_release(struct object *o) {
  struct selftest *s = (struct selftest *)o;
  if (s->idev) {
    ims_idev_detach_all(s->idev);
    ims_idev_unbind(s->idev);
  }
  if (s->mock)
    ims_mock_device_free(s->mock);
}

static int mock_domain(struct ucmd *u, struct ims_iommu_test_mock_domain *c, struct selftest *s, uint32_t flags) {
  const uint32_t known = IMS_MOCK_DEVICE_NO_DIRTY | IMS_MOCK_DEVICE_PASID;
  uint32_t pt_id = c->id;
  if (flags & ~known)
    return -EINVAL;
  s->mock = ims_mock_device_new(u->ctx->k, flags);
  if (!s->mock)
    return -ENOMEM;
  int err = ims_idev_bind(u->ctx, &s->mock->dev, &s->idev);
  if (!err)
    err = ims_idev_attach(s->idev, 0, &pt_id);
  if (err)
    return err;
  c->out_stdev_id = s->obj.id;
  c->out_hwpt_id = pt_id;
  c->out_idev_id = s->idev->obj.id;
  return ims_respond(u, sizeof *c);
}

static long op_mock_domain(struct ucmd *u, struct ims_iommu_test_mock_domain *c) {
  struct selftest *s = ims_object_alloc(u->ctx, sizeof *s, OBJ_SELFTEST);
  if (!s)
    return -ENOMEM;
  int err = ims_object_publish(&s->obj); // its id is the first of the three
  if (!err)
    err = mock_domain(u, c, s, c->op == IMS_TEST_OP_MOCK_DOMAIN_FLAGS ? c->dev_flags : 0);
  if (err)
    ims_object_destroy(&s->obj);
  return err;
}

static long op_replace(struct ucmd *u, struct ims_iommu_test_replace *c) {
  struct selftest *s = FIND(u->ctx, c->id, SELFTEST, selftest);
  if (!s)
    return -ENOENT;
  int err = ims_idev_replace(s->idev, 0, &c->pt_id);
  return err ? err : ims_respond(u, sizeof *c);
}

static long op_pasid(struct ucmd *u, struct ims_iommu_test_pasid *c) {
  struct selftest *s = FIND(u->ctx, c->id, SELFTEST, selftest);
  int err = 0;
  if (!s)
    return -ENOENT;
  switch (c->op) {
  case IMS_TEST_OP_PASID_DETACH: ims_idev_detach(s->idev, c->pasid); return 0;
  case IMS_TEST_OP_PASID_REPLACE:
    err = ims_idev_replace(s->idev, c->pasid, &c->pt_id);
    return err ? err : ims_respond(u, sizeof *c);
  default: err = ims_idev_attach(s->idev, c->pasid, &c->pt_id); break;
  }
  if (!err && (err = ims_respond(u, sizeof *c)) != 0)
    ims_idev_detach(s->idev, c->pasid);
  return err;
}

static long op_pasid_check(struct ucmd *u, struct ims_iommu_test_pasid_check *c) {
  struct selftest *s = FIND(u->ctx, c->id, SELFTEST, selftest);
  if (!s)
    return -ENOENT;
  const struct hwpt *attached = ims_idev_hwpt(s->idev, c->pasid);
  if (!c->hwpt_id)
    return attached ? -EINVAL : 0;
  const struct object *o = ims_object_find(u->ctx, c->hwpt_id, OBJ_NONE);
  if (!o)
    return -ENOENT;
  return attached && &attached->obj == o ? 0 : -EINVAL; // and so of what is no table
}

// ---- What is mapped -------------------------------------------------------------------------------------------------

static long op_add_reserved(struct ucmd *u, struct ims_iommu_test_add_reserved *c) {
  uint64_t last;
  if (!c->length)
    return -EINVAL;
  if (__builtin_add_overflow(c->start, c->length - 1, &last))
    return -EOVERFLOW;
  struct ioas *s = FIND(u->ctx, c->id, IOAS, ioas);
  return s ? ims_iopt_reserve(&s->iopt, c->start, last, NULL) : -ENOENT;
}

// A table of the mock driver. -ENOENT, -EINVAL.
static int mock_paging(struct ucmd *u, uint32_t id, struct hdomain **out) {
  struct hwpt_paging *h = FIND(u->ctx, id, HWPT_PAGING, hwpt_paging);
  if (!h)
    return -ENOENT;
  *out = h->h.d;
  return h->h.d->ops == &ims_mock_host_ops ? 0 : -EINVAL;
}

static uint64_t smallest(uint64_t a, uint64_t b) { return a < b ? a : b; }

static long op_check_map(struct ucmd *u, struct ims_iommu_test_check_map *c) {
  struct hdomain *d;
  int err = mock_paging(u, c->id, &d);
  if (err)
    return err;
  const uint64_t page = ims_hdomain_page(d);
  uint64_t iova = c->iova, uptr = c->uptr, length = c->length, end;
  if (iova % page || length % page || uptr % page || __builtin_add_overflow(uptr, length, &end))
    return -EINVAL;
  while (length) {
    uint64_t hpa, left, there, more;
    err = ims_mm_page(u->process, uptr, IMS_PROT_READ, &hpa, &left);
    if (err)
      return err;
    if (ims_hdomain_lookup(d, iova, &there, &more) || there != hpa)
      return -EINVAL;
    uint64_t n = smallest(length, smallest(left, more));
    iova += n;
    uptr += n;
    length -= n;
  }
  return 0;
}

static long op_check_refs(struct ucmd *u, struct ims_iommu_test_check_refs *c) {
  uint64_t end;
  if (c->length % IMS_PAGE_SIZE || c->uptr % IMS_PAGE_SIZE || __builtin_add_overflow(c->uptr, c->length, &end))
    return -EINVAL;
  for (uint64_t at = c->uptr; at < end; at += IMS_PAGE_SIZE) {
    uint64_t hpa, left;
    int err = ims_mm_page(u->process, at, IMS_PROT_READ, &hpa, &left);
    if (err)
      return err;
    if (ims_mm_pins(u->process, hpa) != c->refs)
      return -EIO;
  }
  return 0;
}

// ---- Dirty pages ----------------------------------------------------------------------------------------------------

enum { DIRTY_PAGES_MAX = 16 << 23 }; // bits of a bitmap of 16 MB

// Marks what the bitmap says, and counts it.
static int make_dirty(struct ucmd *u, struct hdomain *d, struct ims_iommu_test_dirty *c) {
  uint8_t part[512];
  const uint64_t bytes = (c->length / c->page_size + 7) / 8;
  c->out_nr_dirty = 0;
  for (uint64_t at = 0; at < bytes; at += sizeof part) {
    const size_t n = (size_t)smallest(bytes - at, sizeof part);
    if (!ims_user_read(u->process, part, c->uptr + at, n))
      return -EFAULT;
    for (uint64_t i = 0; i < 8 * n && at * 8 + i < c->length / c->page_size; i++)
      if (part[i / 8] >> i % 8 & 1) {
        ims_mock_table_touch(d->paging, c->iova + (at * 8 + i) * c->page_size);
        c->out_nr_dirty++;
      }
  }
  return ims_respond(u, sizeof *c);
}

static long op_dirty(struct ucmd *u, struct ims_iommu_test_dirty *c) {
  struct hdomain *d;
  if (!c->page_size || !c->length || c->iova % c->page_size || c->length % c->page_size || !c->uptr)
    return -EINVAL;
  if (c->length / c->page_size > DIRTY_PAGES_MAX)
    return -EOVERFLOW;
  int err = mock_paging(u, c->id, &d);
  if (err)
    return err;
  return d->paging->dirty ? make_dirty(u, d, c) : -EINVAL;
}

// ---- What invalidations and faults come to --------------------------------------------------------------------------

static long op_check_iotlb(struct ucmd *u, struct ims_iommu_test_check_iotlb *c) {
  const struct hwpt_nested *h = FIND(u->ctx, c->id, HWPT_NESTED, hwpt_nested);
  if (!h)
    return -ENOENT;
  const uint32_t *word = ims_mock_iotlb(h->h.d);
  return word && c->iotlb_id < IMS_MOCK_IOTLBS && word[c->iotlb_id] == c->iotlb ? 0 : -EINVAL;
}

// A bound device of the mock's kind. -ENOENT, -EINVAL.
static int mock_idev(struct ucmd *u, uint32_t id, struct mock_device **out) {
  const struct idev *d = FIND(u->ctx, id, DEVICE, idev);
  if (!d)
    return -ENOENT;
  *out = ims_mock_device(d->dev);
  return *out ? 0 : -EINVAL;
}

static long op_check_cache(struct ucmd *u, struct ims_iommu_test_check_cache *c) {
  struct mock_device *m;
  int err = mock_idev(u, c->id, &m);
  if (err)
    return err;
  return c->cache_id < IMS_MOCK_CACHES && m->cache[c->cache_id] == c->cache ? 0 : -EINVAL;
}

// What becomes of it, the ioctl does not say.
static long op_trigger_iopf(struct ucmd *u, struct ims_iommu_test_trigger_iopf *c) {
  struct mock_device *m;
  int err = mock_idev(u, c->dev_id, &m);
  if (err)
    return err;
  const struct page_request r = {.dev = &m->dev,
                                 .addr = c->addr,
                                 .pasid = c->pasid,
                                 .has_pasid = c->pasid != 0,
                                 .last = true,
                                 .read = c->perm & IMS_PGFAULT_READ,
                                 .write = c->perm & IMS_PGFAULT_WRITE,
                                 .exec = c->perm & IMS_PGFAULT_EXEC,
                                 .priv = c->perm & IMS_PGFAULT_PRIV,
                                 .group = (uint16_t)c->grpid};
  ims_iopf_report(m->dev.unit, &r);
  return 0;
}

static long op_trigger_vevent(struct ucmd *u, struct ims_iommu_test_trigger_vevent *c) {
  struct mock_device *m;
  int err = mock_idev(u, c->dev_id, &m);
  if (err)
    return err;
  if (!m->viommu || !m->virt_id)
    return -ENOENT;
  const struct ims_iommu_viommu_event_selftest e = {(uint32_t)m->virt_id};
  return ims_viommu_report(m->viommu, IMS_VEVENTQ_SELFTEST, &e, sizeof e);
}

// ---- Others ---------------------------------------------------------------------------------------------------------

// How much memory the kernel may take for a batch of pages: nothing here takes any.
static long op_memory_limit(struct ucmd *u, struct ims_iommu_test_memory_limit *c) {
  (void)u;
  return c->limit < sizeof(uint64_t) + sizeof(uint32_t) ? -EINVAL : 0;
}

enum { DMABUF_PAGES_MAX = 512 };

// The descriptor is the result, as in 7.2.
static long op_dmabuf_get(struct ucmd *u, struct ims_iommu_test_dmabuf_get *c) {
  const uint64_t size = ((uint64_t)c->length + IMS_PAGE_SIZE - 1) & ~(IMS_PAGE_SIZE - 1);
  struct ims_file *f;
  if (!size || size > DMABUF_PAGES_MAX * IMS_PAGE_SIZE)
    return -EINVAL;
  return ims_memfile_new(u->process, size, 0, true, &f);
}

static long op_dmabuf_revoke(struct ucmd *u, struct ims_iommu_test_dmabuf_revoke *c) {
  const struct ims_file *file = c->dmabuf_fd <= INT32_MAX ? ims_process_file(u->process, (int)c->dmabuf_fd) : NULL;
  if (!file)
    return -EBADF;
  struct memfile *f = ims_memfile_of(file);
  if (!f || !f->dmabuf)
    return -EINVAL;
  ims_memfile_revoke(f, c->revoked);
  return 0;
}

// ---- Dispatch -------------------------------------------------------------------------------------------------------

long ims_cmd_iommu_test_cmd(struct ucmd *u, struct ims_iommu_test_cmd *c) {
  union {
#define IMS_X(name, number, s) struct ims_##s name;
    IMS_SELFTEST_OPS(IMS_X)
#undef IMS_X
    struct ims_iommu_test_cmd any;
  } t;
  struct ucmd v = *u; // answers from the copy
  t.any = *c;
  v.cmd = &t;
  switch (c->op) {
  case IMS_TEST_OP_ADD_RESERVED: return op_add_reserved(&v, &t.ADD_RESERVED);
  case IMS_TEST_OP_MOCK_DOMAIN:
  case IMS_TEST_OP_MOCK_DOMAIN_FLAGS: return op_mock_domain(&v, &t.MOCK_DOMAIN);
  case IMS_TEST_OP_MD_CHECK_MAP: return op_check_map(&v, &t.MD_CHECK_MAP);
  case IMS_TEST_OP_MD_CHECK_REFS: return op_check_refs(&v, &t.MD_CHECK_REFS);
  case IMS_TEST_OP_CREATE_ACCESS: return ims_test_create_access(&v, &t.CREATE_ACCESS);
  case IMS_TEST_OP_DESTROY_ACCESS_PAGES: return ims_test_destroy_access_pages(&v, &t.DESTROY_ACCESS_PAGES);
  case IMS_TEST_OP_ACCESS_PAGES: return ims_test_access_pages(&v, &t.ACCESS_PAGES);
  case IMS_TEST_OP_ACCESS_RW: return ims_test_access_rw(&v, &t.ACCESS_RW);
  case IMS_TEST_OP_SET_TEMP_MEMORY_LIMIT: return op_memory_limit(&v, &t.SET_TEMP_MEMORY_LIMIT);
  case IMS_TEST_OP_MOCK_DOMAIN_REPLACE: return op_replace(&v, &t.MOCK_DOMAIN_REPLACE);
  case IMS_TEST_OP_ACCESS_REPLACE_IOAS: return ims_test_access_replace(&v, &t.ACCESS_REPLACE_IOAS);
  case IMS_TEST_OP_DIRTY: return op_dirty(&v, &t.DIRTY);
  case IMS_TEST_OP_MD_CHECK_IOTLB: return op_check_iotlb(&v, &t.MD_CHECK_IOTLB);
  case IMS_TEST_OP_TRIGGER_IOPF: return op_trigger_iopf(&v, &t.TRIGGER_IOPF);
  case IMS_TEST_OP_DEV_CHECK_CACHE: return op_check_cache(&v, &t.DEV_CHECK_CACHE);
  case IMS_TEST_OP_TRIGGER_VEVENT: return op_trigger_vevent(&v, &t.TRIGGER_VEVENT);
  case IMS_TEST_OP_PASID_ATTACH:
  case IMS_TEST_OP_PASID_REPLACE:
  case IMS_TEST_OP_PASID_DETACH: return op_pasid(&v, &t.PASID_ATTACH);
  case IMS_TEST_OP_PASID_CHECK_HWPT: return op_pasid_check(&v, &t.PASID_CHECK_HWPT);
  case IMS_TEST_OP_DMABUF_GET: return op_dmabuf_get(&v, &t.DMABUF_GET);
  case IMS_TEST_OP_DMABUF_REVOKE: return op_dmabuf_revoke(&v, &t.DMABUF_REVOKE);
  default: return -EOPNOTSUPP;
  }
}
