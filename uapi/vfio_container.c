// SPDX-License-Identifier: Apache-2.0
// VFIO containers and the type1 IOMMU driver behind them: groups attached to second-stage domains. Linux 5.10
// (drivers/vfio/vfio.c, vfio_iommu_type1.c) with what the vSVA series change: one group a nesting container from v2 on,
// PASIDs unbound before a group leaves. Facts 1.1, 1.2.
#include "uapi/kernel_internal.h"
#include <stdlib.h>

struct hdomain *ims_container_domain(const struct container *c, const struct ims_device *dev) {
  const struct attachment *a = ims_attachment(dev, 0);
  (void)c;
  return a ? a->domain : NULL;
}

// ---- Groups into domains --------------------------------------------------------------------------------------------

static void detach_devices(struct ims_group *g, const struct ims_device *stop) {
  for (struct ims_device *dev = g->devices; dev && dev != stop; dev = dev->next_in_group) {
    struct attachment *a = ims_attachment(dev, 0);
    if (a)
      ims_detach(a, false);
  }
}

static int attach_devices(struct ims_group *g, struct hdomain *d) {
  for (struct ims_device *dev = g->devices; dev; dev = dev->next_in_group) {
    int err = ims_attach(dev, 0, d, NULL);
    if (err) {
      detach_devices(g, dev);
      return err;
    }
  }
  return 0;
}

static bool gives_pasids(const struct ims_group *g) {
  enum { SYSWIDE_PASID = 1 };
  struct ims_iommu_nesting_info info;
  g->devices->unit->ops->nesting_info(g->devices->unit, &info);
  return info.features & SYSWIDE_PASID;
}

// vSVA from v2 on: a nesting container has one group.
static bool one_group(enum ims_dialect dialect) { return dialect >= IMS_DIALECT_V2 && dialect <= IMS_DIALECT_V7; }

static int attach_group(struct container *c, struct ims_group *g) {
  if (!g->devices)
    return -ENODEV;
  if (c->nesting && one_group(c->k->cfg.dialect) && c->domains)
    return -EINVAL;
  // A domain that is there serves if every unit of the group can walk its tables.
  for (struct vfio_domain *vd = c->domains; vd; vd = vd->next)
    if (!attach_devices(g, vd->d)) {
      vd->groups++;
      return 0;
    }
  struct vfio_domain *vd = calloc(1, sizeof *vd), **end = &c->domains;
  if (!vd)
    return -ENOMEM;
  int err = ims_hdomain_new_paging(c->k, g->devices->unit, WANT_TYPE1 | (c->nesting ? WANT_NEST : 0u), &vd->d);
  if (!err) {
    err = attach_devices(g, vd->d);
    if (!err && (err = ims_vfio_replay(c, vd->d)))
      detach_devices(g, NULL);
    if (err)
      ims_hdomain_free(vd->d);
  }
  if (err) {
    free(vd);
    return err;
  }
  vd->groups = 1;
  while (*end)
    end = &(*end)->next;
  *end = vd;
  // From v2 on the set comes with the first group whose IOMMU can hand out PASIDs.
  if (c->nesting && one_group(c->k->cfg.dialect) && gives_pasids(g))
    ims_pasid_set_get(c);
  return 0;
}

static void detach_group(struct container *c, struct ims_group *g) {
  struct hdomain *d = g->devices ? ims_container_domain(c, g->devices) : NULL;
  struct vfio_domain **at = &c->domains;
  ims_gpasid_unbind_all(c, g);
  for (struct ims_device *dev = g->devices; dev; dev = dev->next_in_group)
    ims_guest_set(dev, NULL);
  while (*at && (*at)->d != d)
    at = &(*at)->next;
  struct vfio_domain *vd = *at;
  bool last_group = vd && vd->groups == 1 && vd == c->domains && !vd->next;
  // PASIDs are gone from the hardware; they go back before the second stage does.
  if (last_group)
    ims_pasid_set_put(c);
  detach_devices(g, NULL);
  if (!vd || --vd->groups)
    return;
  if (last_group) {
    ims_vfio_unmap_all(c);
    ims_msi_unbind_all(c);
  } else {
    ims_vfio_unmap_domain(c, d);
  }
  *at = vd->next;
  ims_hdomain_free(vd->d);
  free(vd);
}

// ---- Containers -----------------------------------------------------------------------------------------------------

int ims_container_add_group(struct container *c, struct ims_group *g) {
  if (c->has_iommu) {
    int err = attach_group(c, g);
    if (err)
      return err;
  }
  struct ims_group **end = &c->groups;
  while (*end)
    end = &(*end)->next_in_container;
  *end = g;
  g->next_in_container = NULL;
  g->container = c;
  c->users++;
  return 0;
}

// Nothing of the type1 driver's state outlives the last group.
static void release_iommu(struct container *c) {
  ims_pasid_set_put(c);
  ims_vfio_unmap_all(c);
  c->has_iommu = c->v2 = c->nesting = false;
  c->mm = NULL;
}

void ims_container_remove_group(struct container *c, struct ims_group *g) {
  if (c->has_iommu)
    detach_group(c, g);
  for (struct ims_group **at = &c->groups; *at; at = &(*at)->next_in_container)
    if (*at == g) {
      *at = g->next_in_container;
      break;
    }
  g->container = NULL;
  g->next_in_container = NULL;
  if (!c->groups && c->has_iommu)
    release_iommu(c);
}

static bool type_known(uint64_t type) {
  return type == IMS_VFIO_TYPE1_IOMMU || type == IMS_VFIO_TYPE1v2_IOMMU || type == IMS_VFIO_TYPE1_NESTING_IOMMU;
}

long ims_container_set_iommu(struct container *c, struct ims_process *p, uint64_t type) {
  if (!c->groups || c->has_iommu)
    return -EINVAL;
  if (!type_known(type))
    return -ENODEV; // no driver wants it
  c->has_iommu = true;
  c->nesting = type == IMS_VFIO_TYPE1_NESTING_IOMMU;
  c->v2 = type != IMS_VFIO_TYPE1_IOMMU;
  c->mm = p;
  if (c->k->cfg.dialect == IMS_DIALECT_V1)
    ims_pasid_set_get(c); // any type1 container
  for (struct ims_group *g = c->groups; g; g = g->next_in_container) {
    int err = attach_group(c, g);
    if (!err)
      continue;
    for (struct ims_group *undo = c->groups; undo != g; undo = undo->next_in_container)
      detach_group(c, undo);
    release_iommu(c);
    return err;
  }
  return 0;
}

// All domains snoop whatever the device says, so that software needs no cache flushes.
static bool cache_coherent(const struct container *c) {
  bool all = c->domains != NULL;
  for (const struct vfio_domain *vd = c->domains; vd; vd = vd->next)
    all = all && vd->d->paging->snoop;
  return all;
}

static long check_extension(const struct container *c, uint64_t ext) {
  if (type_known(ext))
    return 1;
  if (ext == IMS_VFIO_DMA_CC_IOMMU)
    return cache_coherent(c);
  if (ext == IMS_VFIO_NESTING_IOMMU_UAPI && c->k->cfg.dialect == IMS_DIALECT_V1)
    return IMS_IOMMU_UAPI_VERSION;
  return 0;
}

long ims_container_ioctl(struct ims_file *f, uint32_t cmd, uint64_t arg) {
  struct container *c = f->open->container;
  enum ims_dialect dialect = c->k->cfg.dialect;
  switch (cmd) {
  case IMS_VFIO_GET_API_VERSION: return 0;
  case IMS_VFIO_CHECK_EXTENSION: return check_extension(c, arg);
  case IMS_VFIO_SET_IOMMU: return ims_container_set_iommu(c, f->process, arg);
  }
  if (!c->has_iommu)
    return -EINVAL; // the rest is the driver's, and there is none yet
  switch (cmd) {
  case IMS_VFIO_IOMMU_GET_INFO: return ims_vfio_info(f, arg);
  case IMS_VFIO_IOMMU_MAP_DMA: return ims_vfio_map(f, arg);
  case IMS_VFIO_IOMMU_UNMAP_DMA: return ims_vfio_unmap(f, arg);
  }
  if (dialect == IMS_DIALECT_V1)
    switch (cmd) {
    case IMS_V1_VFIO_IOMMU_PASID_REQUEST: return ims_vsva_pasid_request(f, arg);
    case IMS_V1_VFIO_IOMMU_BIND: return ims_vsva_v1_bind(f, arg);
    case IMS_V1_VFIO_IOMMU_CACHE_INVALIDATE: return ims_vsva_v1_invalidate(f, arg);
    default: return -ENOTTY;
    }
  if (dialect == IMS_DIALECT_SMMUV3_V10)
    switch (cmd) {
    case IMS_V10_VFIO_IOMMU_SET_PASID_TABLE: return ims_smmu_set_pasid_table(f, arg);
    case IMS_V10_VFIO_IOMMU_CACHE_INVALIDATE: return ims_smmu_cache_invalidate(f, arg);
    case IMS_V10_VFIO_IOMMU_SET_MSI_BINDING: return ims_smmu_set_msi_binding(f, arg);
    default: return -ENOTTY;
    }
  if (dialect == IMS_DIALECT_SMMUV3_V13)
    switch (cmd) {
    case IMS_V13_VFIO_IOMMU_SET_PASID_TABLE: return ims_smmu_set_pasid_table(f, arg);
    case IMS_V13_VFIO_IOMMU_CACHE_INVALIDATE: return ims_smmu_cache_invalidate(f, arg);
    case IMS_V13_VFIO_IOMMU_SET_MSI_BINDING: return ims_smmu_set_msi_binding(f, arg);
    default: return -ENOTTY;
    }
  if (cmd == (dialect == IMS_DIALECT_V2 ? IMS_V2_VFIO_IOMMU_PASID_REQUEST : IMS_V3_VFIO_IOMMU_PASID_REQUEST))
    return ims_vsva_pasid_request(f, arg);
  if (cmd == (dialect == IMS_DIALECT_V2 ? IMS_V2_VFIO_IOMMU_NESTING_OP : IMS_V3_VFIO_IOMMU_NESTING_OP))
    return ims_vsva_nesting_op(f, arg);
  return -ENOTTY;
}
