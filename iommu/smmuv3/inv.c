// SPDX-License-Identifier: Apache-2.0
// What invalidation commands remove: Arm IHI 0070 4.3 (configuration), 4.4 (translations), 3.17 (tags). Exactly what the
// architecture demands and no more, so that software that relies on more is found out. TLBI never touches structures,
// CFGI never translations.
#include "iommu/smmuv3/commands.h"
#include "iommu/smmuv3/smmuv3_internal.h"

static void drop(struct smmuv3 *s, unsigned first, unsigned last, const struct ims_cache_match *m) {
  for (unsigned c = first; c <= last; c++)
    ims_cache_invalidate(&s->base.cache[c], m);
}

// Configuration. Structures are found by their keys: in the cache's address space key n spans n * 64 to n * 64 + 63.
static void drop_keys(struct smmuv3 *s, unsigned cache, uint64_t first, uint64_t last) {
  struct ims_cache_match m = {.first = ims_tag_key(first) & ~63ull, .last = ims_tag_key(last) | 63};
  drop(s, cache, cache, &m);
}

enum { LAST_SSID = 0xfffff };

void smmu_cfgi_ste(struct smmuv3 *s, uint32_t first, uint32_t last) {
  drop_keys(s, IMS_CACHE_CONTEXT, first, last);
  drop_keys(s, IMS_CACHE_PASID, SMMU_CD_KEY(first, 0), SMMU_CD_KEY(last, LAST_SSID));
  ims_iommu_invalidated(&s->base);
}

void smmu_cfgi_cd(struct smmuv3 *s, uint32_t sid, uint32_t ssid) {
  drop_keys(s, IMS_CACHE_PASID, SMMU_CD_KEY(sid, ssid), SMMU_CD_KEY(sid, ssid));
  ims_iommu_invalidated(&s->base);
}

void smmu_cfgi_cd_all(struct smmuv3 *s, uint32_t sid) {
  drop_keys(s, IMS_CACHE_PASID, SMMU_CD_KEY(sid, 0), SMMU_CD_KEY(sid, LAST_SSID));
  ims_iommu_invalidated(&s->base);
}

// Translations of stage 1, alone and nested, are told from those of stage 2 by the lowest bit of their kind.
#define STAGE1_KINDS SMMU_TAG_KIND(1)
_Static_assert((IMS_TAG_S1 & 1) && (IMS_TAG_NESTED & 1) && !(IMS_TAG_S2 & 1), "stage 1 by one bit");

// Some items: a part of the tag, and addresses.
static struct ims_cache_match some(uint64_t id, uint64_t id_mask) {
  return (struct ims_cache_match){.id = id, .id_mask = id_mask, .any_addr = true};
}

// The VMID of a command, less the bits that the wildcard ignores (3.17.6). With 8-bit VMIDs no entry has a larger one, and
// without stage 2 none has any (4.4).
static void match_vmid(const struct smmuv3 *s, uint16_t vmid, struct ims_cache_match *m) {
  if (!s->cfg.s2p)
    return;
  unsigned vmw = s->cfg.vmw ? (unsigned)SMMU_FIELD(s, CR0, VMW) : 0;
  uint64_t mask = IMS_TAG_DOMAIN_MASK & ~((1ull << (vmw <= 4 ? vmw : 0)) - 1);
  m->id |= vmid & mask;
  m->id_mask |= mask;
}

// TG and TTL: only what comes from a table of that granule, and a leaf of that level (4.4.1.1).
static const uint8_t page_shift[4] = {0, 12, 14, 16};

static void match_page(struct ims_cache_match *m, unsigned field, const struct smmu_tlbi *t) {
  if (t->tg) {
    m->aux |= (uint64_t)t->tg << field;
    m->aux_mask |= 3ull << field;
  }
}

static void match_leaf(struct ims_cache_match *m, unsigned field, const struct smmu_tlbi *t) {
  if (t->tg && t->ttl) {
    unsigned page = page_shift[t->tg], leaf = page + (3u - t->ttl) * (page - 3);
    m->aux |= (uint64_t)leaf << field;
    m->aux_mask |= 63ull << field;
  }
}

static void match_addresses(struct ims_cache_match *m, const struct smmu_tlbi *t) {
  m->any_addr = false;
  m->first = t->addr;
  m->last = t->last;
}

// Table descriptors above the leaf: with TTL those of levels above it, and no others.
static void drop_tables(struct smmuv3 *s, unsigned level2, const struct smmu_tlbi *t, const struct ims_cache_match *m) {
  unsigned first = t->tg && t->ttl ? 5u - t->ttl : 2u; // counted from the last level, 1
  for (unsigned level = first > 2 ? first : 2; level <= 5; level++)
    drop(s, level2 + level - 2, level2 + level - 2, m);
}

// Which ASIDs a command reaches.
enum asids { ANY_ASID, ONE_ASID, ONE_ASID_AND_GLOBAL };

// Leaves of one ASID in the IOTLB, or global ones. Where the whole tag is known, it is given whole: a cache finds that
// without looking at every item.
static void drop_leaves(struct smmuv3 *s, struct ims_cache_match m, bool global) {
  static const unsigned kinds[] = {IMS_TAG_S1, IMS_TAG_NESTED};
  bool one_vmid = !s->cfg.s2p || (m.id_mask & IMS_TAG_DOMAIN_MASK) == IMS_TAG_DOMAIN_MASK;
  bool one_world = (m.id_mask & SMMU_TAG_WORLD_MASK) == SMMU_TAG_WORLD_MASK;
  if (m.any_addr || !one_vmid || !one_world) {
    drop(s, IMS_CACHE_IOTLB, IMS_CACHE_IOTLB, &m);
    return;
  }
  m.id_mask = ~0ull;
  uint64_t id = m.id & ~STAGE1_KINDS;
  for (unsigned k = 0; k < 2; k++) {
    for (unsigned aset = 0; aset < (global ? 2 : 1); aset++) {
      m.id = id | SMMU_TAG_KIND(kinds[k]) | (aset ? SMMU_TAG_ASET : 0);
      drop(s, IMS_CACHE_IOTLB, IMS_CACHE_IOTLB, &m);
    }
  }
}

// Stage 1, alone and nested. `m`: world and VMID.
static void stage1(struct smmuv3 *s, struct ims_cache_match m, enum asids asids, bool by_address,
                   const struct smmu_tlbi *t) {
  m.id |= STAGE1_KINDS;
  m.id_mask |= STAGE1_KINDS;
  if (by_address) {
    match_addresses(&m, t);
    match_page(&m, IMS_ATTR_S1_PAGE, t);
  }
  struct ims_cache_match leaf = m, tables = m;
  if (by_address)
    match_leaf(&leaf, IMS_ATTR_S1_SHIFT, t);
  if (asids == ANY_ASID) {
    drop(s, IMS_CACHE_IOTLB, IMS_CACHE_IOTLB, &leaf);
  } else {
    struct ims_cache_match global = leaf;
    leaf.id |= SMMU_TAG_ASID(t->asid);
    leaf.id_mask |= SMMU_TAG_ASID_MASK | SMMU_TAG_GLOBAL;
    drop_leaves(s, leaf, false);
    if (asids == ONE_ASID_AND_GLOBAL) {
      global.id |= SMMU_TAG_GLOBAL;
      global.id_mask |= SMMU_TAG_GLOBAL;
      drop_leaves(s, global, true);
    }
    tables.id |= SMMU_TAG_ASID(t->asid); // tables have no nG: they go by their ASID (DDI 0487 D8.17)
    tables.id_mask |= SMMU_TAG_ASID_MASK;
  }
  static const struct smmu_tlbi any_level;
  if (!by_address || !t->leaf)
    drop_tables(s, IMS_CACHE_S1_L2, by_address ? t : &any_level, &tables);
}

// Stage 2 by IPA: stage-2-only translations and what nested walks keep of stage 2. Combined translations stay (4.4.3.1).
static void stage2(struct smmuv3 *s, struct ims_cache_match m, const struct smmu_tlbi *t) {
  // Neither ASID nor global mark is in such a tag, and of worlds only EL1: it is known whole but for wildcards.
  m.id |= SMMU_TAG_KIND(IMS_TAG_S2);
  m.id_mask |= s->cfg.s2p ? ~IMS_TAG_DOMAIN_MASK : ~0ull;
  match_addresses(&m, t);
  match_page(&m, IMS_ATTR_S2_PAGE, t);
  struct ims_cache_match leaf = m;
  match_leaf(&leaf, IMS_ATTR_S2_SHIFT, t);
  drop(s, IMS_CACHE_IOTLB, IMS_CACHE_NESTED, &leaf);
  if (!t->leaf)
    drop_tables(s, IMS_CACHE_S2_L2, t, &m);
}

void smmu_tlbi(struct smmuv3 *s, unsigned opcode, const struct smmu_tlbi *t) {
  struct ims_cache_match el1 = some(SMMU_TAG_WORLD(SMMU_EL1), SMMU_TAG_WORLD_MASK), el1_vmid = el1;
  bool e2h = SMMU_FIELD(s, CR2, E2H);
  struct ims_cache_match el2 = some(SMMU_TAG_WORLD(e2h ? SMMU_EL2_E2H : SMMU_EL2), SMMU_TAG_WORLD_MASK);
  match_vmid(s, t->vmid, &el1_vmid);
  bool asid = s->cfg.asid16 || !(t->asid >> 8); // with 8-bit ASIDs a larger one affects nothing, global or not (4.4)
  switch (opcode) {
  case IMS_SMMUV3_CMD_TLBI_NH_ALL: stage1(s, el1_vmid, ANY_ASID, false, t); break;
  case IMS_SMMUV3_CMD_TLBI_NH_ASID:
    if (asid)
      stage1(s, el1_vmid, ONE_ASID, false, t);
    break;
  case IMS_SMMUV3_CMD_TLBI_NH_VA:
    if (asid)
      stage1(s, el1_vmid, ONE_ASID_AND_GLOBAL, true, t);
    break;
  case IMS_SMMUV3_CMD_TLBI_NH_VAA: stage1(s, el1_vmid, ANY_ASID, true, t); break;
  case IMS_SMMUV3_CMD_TLBI_EL2_ALL: // of either world (4.4.2.7)
    stage1(s, some(SMMU_TAG_WORLD(SMMU_EL2), SMMU_TAG_WORLD_MASK), ANY_ASID, false, t);
    stage1(s, some(SMMU_TAG_WORLD(SMMU_EL2_E2H), SMMU_TAG_WORLD_MASK), ANY_ASID, false, t);
    break;
  case IMS_SMMUV3_CMD_TLBI_EL2_ASID: // whatever CR2.E2H says (4.4.2.10)
    if (asid)
      stage1(s, some(SMMU_TAG_WORLD(SMMU_EL2_E2H), SMMU_TAG_WORLD_MASK), ONE_ASID, false, t);
    break;
  case IMS_SMMUV3_CMD_TLBI_EL2_VA:
    if (!e2h)
      stage1(s, el2, ANY_ASID, true, t); // EL2 has no ASIDs
    else if (asid)
      stage1(s, el2, ONE_ASID_AND_GLOBAL, true, t);
    break;
  case IMS_SMMUV3_CMD_TLBI_EL2_VAA: stage1(s, el2, ANY_ASID, true, t); break;
  case IMS_SMMUV3_CMD_TLBI_S12_VMALL: drop(s, IMS_CACHE_IOTLB, IMS_CACHE_S2_L5, &el1_vmid); break;
  case IMS_SMMUV3_CMD_TLBI_S2_IPA: stage2(s, el1_vmid, t); break;
  case IMS_SMMUV3_CMD_TLBI_NSNH_ALL: drop(s, IMS_CACHE_IOTLB, IMS_CACHE_S2_L5, &el1); break;
  default: break;
  }
  ims_iommu_invalidated(&s->base);
}

void smmu_invalidate_all(struct smmuv3 *s) {
  static const struct ims_cache_match all = {.any_addr = true};
  drop(s, 0, IMS_CACHE_S2_L5, &all);
  ims_iommu_invalidated(&s->base);
}
