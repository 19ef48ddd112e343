// SPDX-License-Identifier: Apache-2.0
// linux/iommu.h: both layouts read from user memory into one form, with the checks that the IOMMU core makes before any
// driver sees them, in its order (Linux 5.10 for layout B; A is the same without argsz). Facts 1.4.
#include "uapi/kernel_internal.h"
#include "uapi/layout.h"

enum { GRANULARITIES = 3, CACHES = 7 };

enum ims_iommu_h ims_kernel_iommu_h(const struct ims_kernel *k) {
  return ims_iommu_h_of(k->cfg.dialect, k->cfg.iommu_h);
}

static bool all_zero(const uint8_t *b, size_t n) {
  while (n && !*b)
    b++, n--;
  return !n;
}

static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

int ims_get_bind(struct ims_file *f, uint64_t arg, struct gpasid_bind *out) {
  const struct ims_process *p = f->process;
  if (ims_kernel_iommu_h(p->k) == IMS_IOMMU_H_A) {
    struct ims_iommu_gpasid_bind_data_a a;
    if (!ims_user_read(p, &a, arg, sizeof a))
      return -EFAULT;
    *out = (struct gpasid_bind){.argsz = sizeof a,
                                .version = a.version,
                                .format = a.format,
                                .addr_width = a.addr_width,
                                .flags = a.flags,
                                .gpgd = a.gpgd,
                                .hpasid = a.hpasid,
                                .gpasid = a.gpasid,
                                .padded = !all_zero(a.padding, sizeof a.padding)};
    memcpy(out->vendor, (const uint8_t *)&a + offsetof(struct ims_iommu_gpasid_bind_data_a, vtd_flags),
           sizeof out->vendor);
  } else {
    struct ims_iommu_gpasid_bind_data_b b = {0};
    const uint32_t min = offsetof(struct ims_iommu_gpasid_bind_data_b, vtd_flags);
    if (!ims_user_read(p, &b, arg, min))
      return -EFAULT;
    if (b.argsz < min)
      return -EINVAL;
    // The size may change between two reads; the first one counts.
    uint32_t argsz = b.argsz;
    if (!ims_user_read(p, (uint8_t *)&b + min, arg + min, smaller(argsz, sizeof b) - min))
      return -EFAULT;
    *out = (struct gpasid_bind){.argsz = argsz,
                                .version = b.version,
                                .format = b.format,
                                .addr_width = b.addr_width,
                                .flags = b.flags,
                                .gpgd = b.gpgd,
                                .hpasid = b.hpasid,
                                .gpasid = b.gpasid,
                                .padded = !all_zero(b.padding, sizeof b.padding)};
    memcpy(out->vendor, (const uint8_t *)&b + min, sizeof out->vendor);
  }
  // Format 2 is known where there is an SMMUv2, which the series did not reach; elsewhere it stays unknown.
  bool known = out->format <= IMS_FORMAT_VTD || ims_guest_format(f->open->container, out->format);
  if (out->version != IMS_IOMMU_UAPI_VERSION || !known || (out->flags & ~1ull) || out->padded)
    return -EINVAL;
  return 0;
}

static bool inv_legal(const struct cache_inv *i) {
  enum { DEV_IOTLB = 2, PASID_CACHE = 4, BY_DOMAIN = 0, BY_PASID = 1, BY_ADDR = 2 };
  static const uint32_t info_flags[] = {[BY_PASID] = 3, [BY_ADDR] = 7};
  if (i->version != IMS_IOMMU_UAPI_VERSION || (i->cache & ~CACHES) || i->granularity >= GRANULARITIES)
    return false;
  if ((i->granularity == BY_DOMAIN && (i->cache & DEV_IOTLB)) ||
      (i->granularity == BY_ADDR && (i->cache & PASID_CACHE)))
    return false;
  return !(i->info_flags & ~info_flags[i->granularity]) && !i->padded;
}

int ims_get_inv(struct ims_file *f, uint64_t arg, struct cache_inv *out) {
  const struct ims_process *p = f->process;
  bool old = ims_kernel_iommu_h(p->k) == IMS_IOMMU_H_A;
  struct ims_iommu_inv_addr_info addr = {0};
  struct ims_iommu_inv_pasid_info pasid = {0};
  uint8_t buf[56] = {0};
  const uint32_t min = old ? 8 : 16, max = min + (uint32_t)sizeof addr;
  if (!ims_user_read(p, buf, arg, min))
    return -EFAULT;
  if (old) {
    struct ims_iommu_cache_invalidate_info_a a;
    memcpy(&a, buf, sizeof a);
    *out = (struct cache_inv){.argsz = max,
                              .version = a.version,
                              .cache = a.cache,
                              .granularity = a.granularity,
                              .padded = !all_zero(a.padding, sizeof a.padding)};
  } else {
    struct ims_iommu_cache_invalidate_info_b b;
    memcpy(&b, buf, sizeof b);
    *out = (struct cache_inv){.argsz = b.argsz,
                              .version = b.version,
                              .cache = b.cache,
                              .granularity = b.granularity,
                              .padded = !all_zero(b.padding, sizeof b.padding)};
  }
  if (out->argsz < min || (out->granularity == 1 && out->argsz < min + sizeof pasid) ||
      (out->granularity == 2 && out->argsz < max))
    return -EINVAL;
  if (!ims_user_read(p, buf + min, arg + min, smaller(out->argsz, max) - min))
    return -EFAULT;
  if (out->granularity == 1) {
    memcpy(&pasid, buf + min, sizeof pasid);
    out->info_flags = pasid.flags;
    out->archid = pasid.archid;
    out->pasid = pasid.pasid;
  } else if (out->granularity == 2) {
    memcpy(&addr, buf + min, sizeof addr);
    out->info_flags = addr.flags;
    out->archid = addr.archid;
    out->pasid = addr.pasid;
    out->addr = addr.addr;
    out->granule_size = addr.granule_size;
    out->nb_granules = addr.nb_granules;
  }
  return inv_legal(out) ? 0 : -EINVAL;
}

int ims_get_resp(struct ims_file *f, uint64_t arg, struct page_resp *out) {
  const struct ims_process *p = f->process;
  if (ims_kernel_iommu_h(p->k) == IMS_IOMMU_H_A) {
    struct ims_iommu_page_response_a a;
    if (!ims_user_read(p, &a, arg, sizeof a))
      return -EFAULT;
    *out = (struct page_resp){sizeof a, a.version, a.flags, a.pasid, a.grpid, a.code};
  } else {
    struct ims_iommu_page_response_b b;
    if (!ims_user_read(p, &b, arg, sizeof b))
      return -EFAULT;
    if (b.argsz < sizeof b)
      return -EINVAL;
    *out = (struct page_resp){b.argsz, b.version, b.flags, b.pasid, b.grpid, b.code};
  }
  return out->version != IMS_IOMMU_UAPI_VERSION || (out->flags & ~1u) || out->code > 2 ? -EINVAL : 0;
}

// The SMMUv3 part is version, s1fmt, s1dss. Without argsz (A) the structure is read whole. Facts 1.5.
int ims_get_pasid_table(struct ims_file *f, uint64_t arg, struct pasid_table *out) {
  enum { FORMAT_SMMUV3 = 1, TABLE_VERSION = 1, CONFIGS = 3 };
  const struct ims_process *p = f->process;
  if (ims_kernel_iommu_h(p->k) == IMS_IOMMU_H_A) {
    struct ims_iommu_pasid_table_config_a a;
    if (!ims_user_read(p, &a, arg, sizeof a))
      return -EFAULT;
    *out = (struct pasid_table){
        sizeof a,   a.version,
        a.format,   a.smmuv3_version,
        a.base_ptr, a.pasid_bits,
        a.config,   a.s1fmt,
        a.s1dss,    !all_zero(a.padding, sizeof a.padding) || !all_zero(a.smmuv3_padding, sizeof a.smmuv3_padding)};
  } else {
    struct ims_iommu_pasid_table_config_b b = {0};
    const uint32_t min = offsetof(struct ims_iommu_pasid_table_config_b, smmuv3_version);
    if (!ims_user_read(p, &b, arg, min))
      return -EFAULT;
    uint32_t argsz = b.argsz;
    if (argsz < min || (b.format == FORMAT_SMMUV3 && argsz < sizeof b))
      return -EINVAL;
    if (!ims_user_read(p, (uint8_t *)&b + min, arg + min, smaller(argsz, sizeof b) - min))
      return -EFAULT;
    *out = (struct pasid_table){
        argsz,      b.version,
        b.format,   b.smmuv3_version,
        b.base_ptr, b.pasid_bits,
        b.config,   b.s1fmt,
        b.s1dss,    !all_zero(b.padding, sizeof b.padding) || !all_zero(b.smmuv3_padding, sizeof b.smmuv3_padding)};
  }
  bool bad = out->version != TABLE_VERSION || out->format != FORMAT_SMMUV3 || !out->config || out->config > CONFIGS;
  return bad || out->smmu_version != TABLE_VERSION || out->padded ? -EINVAL : 0;
}
