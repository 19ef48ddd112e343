// SPDX-License-Identifier: Apache-2.0
// Registers seen from software: access classes come from the field table, what a write sets off stands here.
// VT-d rev 4.1, chapter 11.
#include "iommu/vtd/vtd_internal.h"

const struct ims_reg_info ims_vtd_regs[IMS_VTD_REG_COUNT] = {IMS_VTD_REGS(IMS_REG_ROW)};

#define IMS_F(reg, ...) IMS_REG_FIELD_ROW(IMS_VTD_##reg, __VA_ARGS__)
const struct ims_reg_field ims_vtd_fields[] = {IMS_VTD_FIELDS(IMS_F)};
#undef IMS_F
const unsigned ims_vtd_field_count = sizeof ims_vtd_fields / sizeof ims_vtd_fields[0];

enum { FRCD_BYTES = 16 };

static uint64_t *frcd_word(struct vtd *v, uint32_t offset) {
  const uint32_t base = IMS_VTD_OFF_FRCD;
  if (offset < base || offset >= base + (v->cfg.nfr + 1) * FRCD_BYTES)
    return NULL;
  return &v->frcd[(offset - base) / FRCD_BYTES][(offset - base) / 8 % 2];
}

// 9.1: what TTM asks for must be supported.
void vtd_update_mode(struct vtd *v) {
  v->mode = v->ttm == VTD_TTM_LEGACY                    ? VTD_LEGACY
            : v->ttm == VTD_TTM_SCALABLE && v->cfg.smts ? VTD_SCALABLE
            : v->ttm == VTD_TTM_ABORT && v->cfg.adms    ? VTD_ABORT
                                                        : VTD_INVALID;
  if (!(v->reg[IMS_VTD_GSTS] & IMS_VTD_BITS(GSTS_TES)))
    v->mode = VTD_OFF;
}

// The root table takes effect here and nowhere else (11.4.4, SRTP).
static void set_root_table(struct vtd *v) {
  v->root = v->reg[IMS_VTD_RTADDR] & IMS_VTD_BITS(RTADDR_RTA);
  v->ttm = (uint8_t)IMS_VTD_GET(v->reg[IMS_VTD_RTADDR], RTADDR_TTM);
  v->reg[IMS_VTD_GSTS] |= IMS_VTD_BITS(GSTS_RTPS);
  if (v->cfg.esrtps)
    vtd_invalidate_all(v);
}

static void set_level(struct vtd *v, uint64_t gcmd, uint64_t cmd, uint64_t sts) {
  v->reg[IMS_VTD_GSTS] = gcmd & cmd ? v->reg[IMS_VTD_GSTS] | sts : v->reg[IMS_VTD_GSTS] & ~sts;
}

// When several bits change at once, they act in the order QIE, SIRTP, IRE, CFI, SRTP, TE.
static void global_command(struct vtd *v, uint64_t gcmd) {
  bool queue_was_on = v->reg[IMS_VTD_GSTS] & IMS_VTD_BITS(GSTS_QIES);
  if (v->cfg.qi) {
    bool on = gcmd & IMS_VTD_BITS(GCMD_QIE);
    set_level(v, gcmd, IMS_VTD_BITS(GCMD_QIE), IMS_VTD_BITS(GSTS_QIES));
    if (on != queue_was_on)
      v->reg[IMS_VTD_IQH] = 0;
  }
  if (v->cfg.ir) {
    if (gcmd & IMS_VTD_BITS(GCMD_SIRTP))
      v->reg[IMS_VTD_GSTS] |= IMS_VTD_BITS(GSTS_IRTPS);
    set_level(v, gcmd, IMS_VTD_BITS(GCMD_IRE), IMS_VTD_BITS(GSTS_IRES));
    set_level(v, gcmd, IMS_VTD_BITS(GCMD_CFI), IMS_VTD_BITS(GSTS_CFIS));
  }
  if (gcmd & IMS_VTD_BITS(GCMD_SRTP))
    set_root_table(v);
  set_level(v, gcmd, IMS_VTD_BITS(GCMD_TE), IMS_VTD_BITS(GSTS_TES)); // caches stay as they are
  vtd_update_mode(v);
  if (v->reg[IMS_VTD_GSTS] & IMS_VTD_BITS(GSTS_QIES))
    vtd_queue_run(v);
}

// Register-based invalidation (6.5.1): gone with major version 6, and not to be mixed with the queue.
static bool register_invalidation(const struct vtd *v) {
  return IMS_VTD_GET(v->reg[IMS_VTD_VER], VER_MAJOR) < 6 && !(v->reg[IMS_VTD_GSTS] & IMS_VTD_BITS(GSTS_QIES));
}

static void context_command(struct vtd *v) {
  uint64_t c = v->reg[IMS_VTD_CCMD];
  unsigned asked = (unsigned)IMS_VTD_GET(c, CCMD_CIRG), done = 0;
  if (register_invalidation(v) && v->ttm == VTD_TTM_LEGACY && asked) {
    vtd_invalidate_context(v, asked, (unsigned)IMS_VTD_GET(c, CCMD_DID), (unsigned)IMS_VTD_GET(c, CCMD_SID),
                           (unsigned)IMS_VTD_GET(c, CCMD_FM));
    done = asked;
  }
  v->reg[IMS_VTD_CCMD] = (c & ~(IMS_VTD_BITS(CCMD_ICC) | IMS_VTD_BITS(CCMD_CAIG))) | IMS_VTD_PUT(CCMD_CAIG, done);
}

static void iotlb_command(struct vtd *v) {
  enum { DOMAIN = 2, PAGE = 3 };
  uint64_t c = v->reg[IMS_VTD_IOTLB], iva = v->reg[IMS_VTD_IVA];
  unsigned asked = (unsigned)IMS_VTD_GET(c, IOTLB_IIRG), am = (unsigned)IMS_VTD_GET(iva, IVA_AM), done = 0;
  if (register_invalidation(v) && asked) {
    done = asked == PAGE && (!v->cfg.psi || am > v->cfg.mamv) ? DOMAIN : asked;
    vtd_invalidate_iotlb(v, done, (unsigned)IMS_VTD_GET(c, IOTLB_DID), iva & IMS_VTD_BITS(IVA_ADDR), am,
                         IMS_VTD_GET(iva, IVA_IH));
  }
  v->reg[IMS_VTD_IOTLB] = (c & ~(IMS_VTD_BITS(IOTLB_IVT) | IMS_VTD_BITS(IOTLB_IAIG))) | IMS_VTD_PUT(IOTLB_IAIG, done);
}

// 11.4, virtual command register: PASIDs for a guest, from the space of this unit.
static void virtual_command(struct vtd *v) {
  enum { VCMD_ALLOC = 1, VCMD_FREE = 2, SC_NONE_LEFT = 16, SC_INVALID = 16 };
  unsigned cmd = (unsigned)IMS_VTD_GET(v->reg[IMS_VTD_VCMD], VCMD_CMD), sc = 0;
  uint32_t pasid = (uint32_t)IMS_VTD_GET(v->reg[IMS_VTD_VCMD], VCMD_OP) & 0xfffff;
  if (cmd == VCMD_ALLOC) {
    if (ims_pasid_alloc(&v->vcmd_pasids, 0, 1, v->vcmd_pasids.limit - 1, NULL, &pasid))
      sc = SC_NONE_LEFT;
  } else if (cmd != VCMD_FREE || ims_pasid_free(&v->vcmd_pasids, 0, pasid)) {
    sc = SC_INVALID;
  }
  v->reg[IMS_VTD_VCRSP] = IMS_VTD_PUT(VCRSP_SC, sc) | (sc || cmd != VCMD_ALLOC ? 0 : IMS_VTD_PUT(VCRSP_RSLT, pasid));
}

static void after_write(struct vtd *v, enum ims_vtd_reg r, uint64_t value) {
  switch (r) {
  case IMS_VTD_GCMD: global_command(v, value); break;
  case IMS_VTD_CCMD:
    if (value & IMS_VTD_BITS(CCMD_ICC))
      context_command(v);
    break;
  case IMS_VTD_IOTLB:
    if (value & IMS_VTD_BITS(IOTLB_IVT))
      iotlb_command(v);
    break;
  case IMS_VTD_FSTS:
    vtd_fault_acknowledged(v);
    vtd_queue_run(v);
    break;
  case IMS_VTD_FECTL:
  case IMS_VTD_IECTL:
  case IMS_VTD_PECTL: vtd_event_unmasked(v, r); break;
  case IMS_VTD_ICS:
    if (!v->reg[r])
      v->reg[IMS_VTD_IECTL] &= ~IMS_VTD_BITS(IECTL_IP);
    break;
  case IMS_VTD_PRS:
    if (!v->reg[r])
      v->reg[IMS_VTD_PECTL] &= ~IMS_VTD_BITS(PECTL_IP);
    break;
  case IMS_VTD_PMEN:
    v->reg[r] = (v->reg[r] & ~IMS_VTD_BITS(PMEN_PRS)) | IMS_VTD_PUT(PMEN_PRS, IMS_VTD_GET(v->reg[r], PMEN_EPM));
    break;
  case IMS_VTD_IQT:
    if ((v->reg[IMS_VTD_IQA] & IMS_VTD_BITS(IQA_DW)) && (v->reg[r] & 16)) {
      v->reg[r] &= ~16ull; // with 256-bit descriptors bit 4 is reserved
      v->reg[IMS_VTD_IQERCD] = (v->reg[IMS_VTD_IQERCD] & ~IMS_VTD_BITS(IQERCD_IQEI)) | 6;
      vtd_fault_status(v, IMS_VTD_BITS(FSTS_IQE));
    }
    vtd_queue_run(v);
    break;
  case IMS_VTD_VCMD: virtual_command(v); break;
  default: break;
  }
}

// One register, or the half of one that `lanes` covers.
static void store(void *ctx, unsigned r, uint64_t lanes, uint64_t value) {
  struct vtd *v = ctx;
  if (r == IMS_VTD_IQA && (v->reg[IMS_VTD_GSTS] & IMS_VTD_BITS(GSTS_QIES)))
    return; // a queue must not move while it runs (11.4.23)
  if (ims_regfile_store(&v->regs, r, lanes, value))
    after_write(v, (enum ims_vtd_reg)r, value);
}

void vtd_mmio_write(struct ims_iommu *u, uint32_t offset, unsigned size, uint64_t value) {
  struct vtd *v = vtd_of(u);
  uint64_t *record = frcd_word(v, offset);
  if (record) { // F is all that software can write: a one clears it
    uint64_t bits = size == 8 ? value : offset % 8 ? value << 32 : value & 0xffffffff;
    if ((offset - IMS_VTD_OFF_FRCD) / 8 % 2 && bits >> 63) {
      *record &= ~(1ull << 63);
      vtd_fault_acknowledged(v);
    }
    return;
  }
  ims_regfile_write(&v->regs, offset, size, value, store, v);
}

uint64_t vtd_mmio_read(struct ims_iommu *u, uint32_t offset, unsigned size) {
  struct vtd *v = vtd_of(u);
  const uint64_t *record = frcd_word(v, offset);
  if (!record)
    return ims_regfile_read(&v->regs, offset, size);
  return size == 8 ? *record : offset % 8 ? *record >> 32 : *record & 0xffffffff;
}
