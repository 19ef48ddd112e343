// SPDX-License-Identifier: Apache-2.0
// Nested tables of the mock driver, which are four cached words; its vIOMMUs, with two pages that the VMM maps; their HW
// queues, begun in order and ended in reverse. Facts 6.2; Linux 7.x, iommufd/selftest.c.
#include "uapi/iommufd/selftest_internal.h"
#include <stdlib.h>

// ---- Nested tables --------------------------------------------------------------------------------------------------

static void iotlb_free(struct hdomain *d) { free(d->driver); }

uint32_t *ims_mock_iotlb(const struct hdomain *d) { return d->driver_free == iotlb_free ? d->driver : NULL; }

static int nested(struct ims_kernel *k, uint32_t flags, const struct user_data *data, struct hdomain **out) {
  struct ims_iommu_hwpt_selftest s;
  if ((flags & ~(uint32_t)IMS_HWPT_PASID) || data->type != IMS_HWPT_DATA_SELFTEST)
    return -EOPNOTSUPP;
  int err = ims_user_data_copy(data, IMS_HWPT_DATA_SELFTEST, &s, sizeof s, sizeof s.iotlb);
  if (err)
    return err;
  uint32_t *word = calloc(IMS_MOCK_IOTLBS, sizeof *word);
  struct hdomain *d = word ? ims_hdomain_new(k, HDOMAIN_NESTED) : NULL;
  if (!d) {
    free(word);
    return -ENOMEM;
  }
  for (unsigned i = 0; i < IMS_MOCK_IOTLBS; i++)
    word[i] = s.iotlb;
  d->ops = &ims_mock_host_ops;
  d->driver = word;
  d->driver_free = iotlb_free;
  *out = d;
  return 0;
}

int ims_mock_nested_new(struct ims_device *dev, struct hdomain *parent, uint32_t flags, const struct user_data *data,
                        struct hdomain **out) {
  (void)parent; // the core's to tie
  return nested(dev->k, flags, data, out);
}

int ims_mock_invalidate(struct hdomain *d, struct user_array *a) {
  uint32_t *word = d->driver, total = a->entry_num;
  a->entry_num = 0;
  if (a->type != IMS_INVALIDATE_DATA_SELFTEST)
    return -EINVAL;
  for (uint32_t n = 0; n < total; n++, a->entry_num++) {
    struct ims_iommu_hwpt_invalidate_selftest inv;
    int err =
        ims_copy_data(a->process, &inv, sizeof inv, sizeof inv, a->uptr + (uint64_t)n * a->entry_len, a->entry_len);
    if (err)
      return err;
    if (inv.flags & ~(uint32_t)IMS_MOCK_INVALIDATE_ALL)
      return -EOPNOTSUPP;
    if (inv.iotlb_id >= IMS_MOCK_IOTLBS)
      return -EINVAL;
    for (uint32_t i = 0; i < IMS_MOCK_IOTLBS; i++)
      if ((inv.flags & IMS_MOCK_INVALIDATE_ALL) || i == inv.iotlb_id)
        word[i] = 0;
  }
  return 0;
}

// ---- vIOMMUs --------------------------------------------------------------------------------------------------------

struct mock_viommu {
  struct hw_queue *queue[IMS_MOCK_HW_QUEUES];
  uint64_t region, offset; // hpa of the two pages; 0: none
};
enum { REGION_SHIFT = IMS_PAGE_SHIFT + 1 };

static void destroy(struct viommu *v) {
  struct mock_viommu *m = v->driver;
  if (!m)
    return;
  if (m->offset)
    ims_iommufd_mmap_remove(&v->obj, m->offset);
  if (m->region)
    ims_frames_put(v->unit->k, m->region, 1ull << REGION_SHIFT);
  free(m);
}

static int domain_nested(struct viommu *v, uint32_t flags, const struct user_data *data, struct hdomain **out) {
  int err = nested(v->unit->k, flags, data, out);
  if (err)
    return err;
  (*out)->parent = v->hwpt->h.d;
  (*out)->parent->users++;
  (*out)->viommu = v;
  return 0;
}

// All entries are read before the first is looked at; shorter ones are filled up with zeros.
static int viommu_invalidate(struct viommu *v, struct user_array *a) {
  const struct user_array all = *a;
  const size_t size = sizeof(struct ims_iommu_viommu_invalidate_selftest);
  const uint32_t total = a->entry_num;
  a->entry_num = 0;
  if (!total && a->type == IMS_INVALIDATE_DATA_SELFTEST)
    return 0;
  struct ims_iommu_viommu_invalidate_selftest *inv = total ? calloc(total, size) : NULL;
  int err = total && !inv ? -ENOMEM : total ? 0 : -EINVAL;
  for (uint32_t n = 0; n < total && !err; n++)
    err = ims_user_array_copy(&all, IMS_INVALIDATE_DATA_SELFTEST, n, &inv[n], size, 0);
  for (uint32_t n = 0; n < total && !err; n++) {
    struct vdevice *d = ims_viommu_vdevice(v, inv[n].vdev_id);
    struct mock_device *m = d ? ims_mock_device(d->idev->dev) : NULL;
    if (inv[n].flags & ~(uint32_t)IMS_MOCK_INVALIDATE_ALL)
      err = -EOPNOTSUPP;
    else if (inv[n].cache_id >= IMS_MOCK_CACHES || !m)
      err = -EINVAL;
    for (uint32_t i = 0; i < IMS_MOCK_CACHES && !err; i++)
      if ((inv[n].flags & IMS_MOCK_INVALIDATE_ALL) || i == inv[n].cache_id)
        m->cache[i] = 0;
    if (!err)
      a->entry_num++;
  }
  free(inv);
  return err;
}

// ---- HW queues ------------------------------------------------------------------------------------------------------

static bool has_hw_queue(const struct viommu *v, uint32_t type) {
  (void)v;
  return type == IMS_HW_QUEUE_SELFTEST;
}

static int hw_queue_init(struct hw_queue *q, uint32_t index, uint64_t hpa) {
  struct mock_viommu *m = q->viommu->driver;
  uint64_t seen, left;
  if (index >= IMS_MOCK_HW_QUEUES)
    return -EINVAL;
  if (m->queue[index])
    return -EEXIST;
  if (index && !m->queue[index - 1])
    return -EIO;
  if (ims_hdomain_lookup(q->viommu->hwpt->h.d, q->base, &seen, &left) || seen != hpa)
    return -EFAULT;
  if (index)
    m->queue[index - 1]->obj.users++; // not to be destroyed before this one
  m->queue[index] = q;
  return 0;
}

static void hw_queue_destroy(struct hw_queue *q) {
  struct mock_viommu *m = q->viommu->driver;
  for (unsigned i = 0; i < IMS_MOCK_HW_QUEUES; i++)
    if (m->queue[i] == q) {
      m->queue[i] = NULL;
      if (i)
        m->queue[i - 1]->obj.users--;
    }
}

static const struct viommu_ops viommu_ops = {.destroy = destroy,
                                             .domain_nested = domain_nested,
                                             .invalidate = viommu_invalidate,
                                             .has_hw_queue = has_hw_queue,
                                             .hw_queue_init = hw_queue_init,
                                             .hw_queue_destroy = hw_queue_destroy};

// ---- Making one -----------------------------------------------------------------------------------------------------

bool ims_mock_has_viommu(const struct ims_device *dev, uint32_t type) {
  (void)dev;
  return type == IMS_VIOMMU_SELFTEST;
}

// What came in goes back, in the structure and at the start of the region.
static int loop_back(struct viommu *v, const struct user_data *data) {
  struct mock_viommu *m = v->driver;
  struct ims_kernel *k = v->unit->k;
  static const uint8_t zero[1 << REGION_SHIFT];
  struct ims_iommu_viommu_selftest s;
  int err = ims_user_data_copy(data, IMS_VIOMMU_SELFTEST, &s, sizeof s,
                               offsetof(struct ims_iommu_viommu_selftest, out_mmap_offset));
  if (err)
    return err;
  err = ims_errno(ims_frames_alloc(k, REGION_SHIFT, &m->region));
  if (err)
    return err;
  if (ims_mem_write(k->mem, m->region, zero, sizeof zero) ||
      ims_mem_write(k->mem, m->region, &s.in_data, sizeof s.in_data))
    return -EFAULT;
  err = ims_iommufd_mmap_add(&v->obj, m->region, sizeof zero, &m->offset);
  if (err)
    return err;
  s.out_data = s.in_data;
  s.out_mmap_offset = m->offset;
  s.out_mmap_length = sizeof zero;
  return ims_user_data_write(data, &s, sizeof s);
}

int ims_mock_viommu_init(struct viommu *v, struct ims_device *dev, const struct user_data *data) {
  (void)dev;
  v->ops = &viommu_ops;
  v->driver = calloc(1, sizeof(struct mock_viommu));
  if (!v->driver)
    return -ENOMEM;
  return data ? loop_back(v, data) : 0; // what it got is released with it
}
