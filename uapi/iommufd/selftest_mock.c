// SPDX-License-Identifier: Apache-2.0
// The mock driver of the kernel's self-test: devices without hardware behind a unit without registers. What it does with
// an attachment is to remember it. Facts 6.2; Linux 7.x, iommufd/selftest.c.
#include "uapi/iommufd/selftest_internal.h"
#include <stdlib.h>

static struct mock_device *mock_of(struct ims_device *dev) { return (struct mock_device *)dev; }

struct mock_device *ims_mock_device(const struct ims_device *dev) {
  return dev->unit->ops == &ims_mock_host_ops ? (struct mock_device *)(uintptr_t)dev : NULL;
}

// ---- Domains --------------------------------------------------------------------------------------------------------

static int paging_format(const struct host_unit *u, unsigned want, struct paging *out) {
  out->tracks = want & WANT_DIRTY;
  out->nest = want & WANT_NEST;
  return ims_mock_table_init(out, false, u->k->cfg.selftest == IMS_SELFTEST_7_2);
}

// The data of HWPT_ALLOC choose between the two kinds of tables. 4 bytes are enough: the kind is the second word.
static int paging_data(struct hdomain *d, const struct user_data *data) {
  struct ims_iommu_hwpt_selftest s;
  if (data->type != IMS_HWPT_DATA_SELFTEST)
    return -EOPNOTSUPP;
  int err = ims_user_data_copy(data, IMS_HWPT_DATA_SELFTEST, &s, sizeof s, sizeof s.iotlb);
  if (err)
    return err;
  if (s.pagetable_type != IMS_MOCK_PAGETABLE_DEFAULT && s.pagetable_type != IMS_MOCK_PAGETABLE_HUGE)
    return -EOPNOTSUPP;
  d->paging->soft->free(d->paging);
  return ims_mock_table_init(d->paging, s.pagetable_type == IMS_MOCK_PAGETABLE_HUGE,
                             d->k->cfg.selftest == IMS_SELFTEST_7_2);
}

static int compatible(struct host_unit *u, const struct hdomain *paging) {
  (void)u;
  return paging->ops == &ims_mock_host_ops ? 0 : -EINVAL;
}

static enum host_id id_of(const struct hdomain *d) {
  (void)d;
  return ID_SHARED; // there are no caches to tag
}

static int flush(const struct hdomain *d, struct domain_unit *du, uint64_t first, uint64_t last, bool leaf) {
  (void)d;
  (void)du;
  (void)first;
  (void)last;
  (void)leaf;
  return 0;
}

static int flush_new(const struct hdomain *d, struct domain_unit *du, uint64_t first, uint64_t last) {
  (void)d;
  (void)du;
  (void)first;
  (void)last;
  return 0;
}

// ---- Attachments ----------------------------------------------------------------------------------------------------

// The device's own requests: a nested table by way of a vIOMMU needs the device's number there.
static int attach_rid(struct mock_device *m, const struct hdomain *d) {
  uint64_t virt_id = 0;
  if (d->type == HDOMAIN_PAGING && d->paging->tracks && (m->flags & IMS_MOCK_DEVICE_NO_DIRTY))
    return -EINVAL;
  if (d->viommu && !ims_viommu_virt_id(d->viommu, &m->dev, &virt_id))
    return -ENOENT;
  m->viommu = d->viommu;
  m->virt_id = virt_id;
  return 0;
}

static int attach(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t did) {
  struct mock_device *m = mock_of(dev);
  (void)did;
  if (!pasid)
    return attach_rid(m, d);
  // Every second call in a row fails, so that the core's way back can be tested.
  if (pasid == IMS_MOCK_PASID_FAILING) {
    m->fail_next = !m->fail_next;
    return m->fail_next ? 0 : -ENOMEM;
  }
  return 0;
}

static int replace(struct ims_device *dev, uint32_t pasid, const struct hdomain *was, uint16_t was_id,
                   const struct hdomain *d, uint16_t did) {
  (void)was;
  (void)was_id;
  return attach(dev, pasid, d, did);
}

static void detach(struct ims_device *dev, uint32_t pasid, const struct hdomain *d, uint16_t did, bool gone) {
  struct mock_device *m = mock_of(dev);
  (void)d;
  (void)did;
  (void)gone;
  if (!pasid)
    m->viommu = NULL;
  if (pasid == IMS_MOCK_PASID_FAILING)
    m->fail_next = false;
}

static int page_response(struct ims_device *dev, const struct page_request *req, unsigned code) {
  (void)dev;
  (void)req;
  (void)code;
  return 0; // the device does not wait for it
}

// ---- What it says of itself -----------------------------------------------------------------------------------------

static int hw_info(const struct ims_device *dev, uint32_t *type, void *data, uint32_t *len) {
  const struct ims_iommu_test_hw_info info = {.test_reg = IMS_HW_INFO_SELFTEST_REG};
  (void)dev;
  if (*type != IMS_HW_INFO_NONE && *type != IMS_HW_INFO_SELFTEST)
    return -EOPNOTSUPP;
  *type = IMS_HW_INFO_SELFTEST;
  *len = sizeof info;
  memcpy(data, &info, sizeof info);
  return 0;
}

static bool can_track_dirty(const struct ims_device *dev) {
  const struct mock_device *m = ims_mock_device(dev);
  return !(m->flags & IMS_MOCK_DEVICE_NO_DIRTY);
}

const struct host_ops ims_mock_host_ops = {.arch = "mock",
                                           .compatible = compatible,
                                           .paging_format = paging_format,
                                           .paging_data = paging_data,
                                           .id_of = id_of,
                                           .attach = attach,
                                           .replace = replace,
                                           .detach = detach,
                                           .flush = flush,
                                           .flush_new = flush_new,
                                           .page_response = page_response,
                                           .guest_table = true, // page requests with PASIDs are of the nested table
                                           .hw_info = hw_info,
                                           .can_track_dirty = can_track_dirty,
                                           .nested_new = ims_mock_nested_new,
                                           .invalidate_user = ims_mock_invalidate,
                                           .has_viommu = ims_mock_has_viommu,
                                           .viommu_init = ims_mock_viommu_init};

// ---- Devices --------------------------------------------------------------------------------------------------------

// One unit for all, which is none of the kernel's: nothing looks for it.
static struct host_unit *unit_get(struct ims_kernel *k) {
  if (!k->mock) {
    k->mock = calloc(1, sizeof *k->mock);
    if (!k->mock)
      return NULL;
    k->mock->k = k;
    k->mock->index = UINT16_MAX;
    k->mock->ops = &ims_mock_host_ops;
  }
  return k->mock;
}

struct mock_device *ims_mock_device_new(struct ims_kernel *k, uint32_t flags) {
  struct host_unit *u = unit_get(k);
  struct mock_device *m = u ? calloc(1, sizeof *m) : NULL;
  if (!m)
    return NULL;
  m->flags = flags;
  m->group.id = IMS_NO_GROUP;
  m->group.devices = &m->dev;
  m->dev.k = k;
  m->dev.unit = u;
  m->dev.group = &m->group;
  m->dev.id = k->next_device++;
  m->dev.cfg = (struct ims_device_config){.unit = UINT16_MAX, .group = IMS_NO_GROUP, .not_pci = true};
  m->dev.pri_on = m->dev.pri_works = true;
  if (flags & IMS_MOCK_DEVICE_PASID) {
    m->dev.cfg.pasid_bits = IMS_MOCK_PASID_BITS;
    m->dev.max_pasids = 1u << IMS_MOCK_PASID_BITS;
  }
  for (unsigned i = 0; i < IMS_MOCK_CACHES; i++)
    m->cache[i] = IMS_MOCK_CACHE_DEFAULT;
  return m;
}

void ims_mock_device_free(struct mock_device *m) {
  ims_iopf_drop(&m->dev, ~0u);
  free(m);
}
