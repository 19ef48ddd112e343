// SPDX-License-Identifier: Apache-2.0
// One request through an SMMUv2: Arm IHI 0062, stream identification, contexts, and nested translation, step by step in
// their order. The numbers in the comments are those of docs/smmuv2.md, "the order of checks".
#include "iommu/xlate_impl.h" // first: what it says to the compiler holds for what it includes

#include "iommu/smmuv2/smmuv2_internal.h"

static bool is_instruction(unsigned access) { return (access & IMS_ACC_X) && !(access & IMS_ACC_W); }

// A fault without a bank: the words of sGFSR, sGFAR and sGFSYNR.
static enum ims_step_kind global_fault(const struct ims_request *req, struct ims_result *res, struct smmu2_flight *f,
                                       unsigned fault, bool nested) {
  f->bank = SMMU2_NO_BANK;
  res->status = IMS_STATUS_FAULT;
  res->fault = (uint16_t)fault;
  res->completion = IMS_CPL_UR;
  res->recorded = true;
  res->record_words = 4;
  uint64_t syndrome = IMS_SMMUV2_PUT(sGFSYNR0_NESTED, nested) |
                      IMS_SMMUV2_PUT(sGFSYNR0_WNR, (f->access & IMS_ACC_W) != 0) |
                      IMS_SMMUV2_PUT(sGFSYNR0_PNU, (f->access & IMS_ACC_PRIV) != 0) |
                      IMS_SMMUV2_PUT(sGFSYNR0_IND, is_instruction(f->access)) |
                      IMS_SMMUV2_PUT(sGFSYNR0_ATS, req->type != IMS_UNTRANSLATED);
  res->record[0] = 1ull << (fault - IMS_SMMUV2_GLOBAL) | syndrome << 32;
  res->record[1] = req->iova;
  res->record[2] = 0;
  res->record[3] = IMS_SMMUV2_PUT(sGFSYNR1_STREAMID, req->source);
  return IMS_STEP_FAULT;
}

// A fault of f->bank, as res->walk describes it: the words of FSR, FAR, IPAFAR, FSYNR and CBFRSYNRA.
static enum ims_step_kind context_fault(const struct ims_request *req, struct ims_result *res,
                                        const struct smmu2_flight *f, unsigned fault) {
  const struct ims_walk_fault *w = &res->walk;
  res->status = IMS_STATUS_FAULT;
  res->fault = (uint16_t)fault;
  res->completion = IMS_CPL_UR;
  res->recorded = true;
  res->record_words = 4;
  uint64_t syndrome = IMS_SMMUV2_PUT(FSYNR0_PLVL, w->level ? ims_vmsa_level(w->level) : 0) |
                      IMS_SMMUV2_PUT(FSYNR0_WNR, (f->access & IMS_ACC_W) != 0) |
                      IMS_SMMUV2_PUT(FSYNR0_PNU, (f->access & IMS_ACC_PRIV) != 0) |
                      IMS_SMMUV2_PUT(FSYNR0_IND, is_instruction(f->access)) | IMS_SMMUV2_PUT(FSYNR0_PTWF, f->ptw) |
                      IMS_SMMUV2_PUT(FSYNR0_S1CBNDX, f->s1_bank == SMMU2_NO_BANK ? 0 : f->s1_bank);
  res->record[0] = 1ull << fault | IMS_SMMUV2_PUT(FSR_FORMAT, f->format) | syndrome << 32;
  res->record[1] = req->iova;
  res->record[2] = w->stage == 2 ? w->addr : 0;
  res->record[3] = IMS_SMMUV2_PUT(CBFRSYNRA_STREAMID, req->source) << 32;
  return IMS_STEP_FAULT;
}

// A fault found before any table was read: of the range, or of what the registers say.
static enum ims_step_kind early_fault(const struct ims_request *req, struct ims_result *res, struct smmu2_flight *f,
                                      unsigned fault, unsigned stage, uint64_t addr) {
  res->walk = (struct ims_walk_fault){.cause = fault == IMS_SMMUV2_ASF ? IMS_WALK_SIZE : IMS_WALK_RANGE,
                                      .stage = (uint8_t)stage,
                                      .during = f->ptw ? IMS_FOR_TABLE : IMS_FOR_PAGE,
                                      .addr = addr};
  return context_fault(req, res, f, fault);
}

static unsigned fault_of(const struct ims_walk_fault *w) {
  switch (w->cause) {
  case IMS_WALK_RANGE:
  case IMS_WALK_NOT_PRESENT: return IMS_SMMUV2_TF;
  case IMS_WALK_SIZE:
  case IMS_WALK_RESERVED: return IMS_SMMUV2_ASF;
  case IMS_WALK_FLAG: return IMS_SMMUV2_AFF;
  case IMS_WALK_ACCESS:
  case IMS_WALK_AD_FAILED: return IMS_SMMUV2_EF;
  default: return IMS_SMMUV2_PF;
  }
}

enum { ALL_RIGHTS = IMS_PERM_R | IMS_PERM_W | IMS_PERM_X };

// Out as it came in, with its own attributes (Normal write-back, inner shareable in this model) or those of the registers.
static enum ims_step_kind bypass(const struct smmuv2 *s, const struct ims_request *req, struct ims_result *res,
                                 bool mtcfg, unsigned memattr, unsigned shcfg) {
  static const uint8_t sh[4] = {3, 2, 3, 0}; // as sent, outer, inner, none
  const struct ims_pgt any = {.fmt = &s->formats.s2[0]};
  const uint32_t kept = 0xffu << IMS_ATTR_MEM | 3u << IMS_ATTR_SH;
  res->status = IMS_STATUS_BYPASS;
  res->completion = IMS_CPL_SUCCESS;
  res->output = req->iova;
  res->rights = ALL_RIGHTS;
  res->shift = 12;
  res->attr = ims_vmsa_s2_attr(&any, false, 0, (mtcfg ? memattr : 0xf) | (unsigned)sh[shcfg] << 4, 0) & kept;
  return IMS_STEP_DONE;
}

// A fault outstanding in a bank without HUPCF: others of the bank wait for its end, or are terminated (IHI 0062,
// SCTLR.HUPCF).
enum { SERVED, WAITS, TERMINATED };
static int in_the_way(const struct smmuv2 *s, int bank) {
  const struct smmu2_bank *b = &s->bank[bank];
  if (SMMU2_CB_FIELD(b, SCTLR, HUPCF))
    return SERVED;
  if (SMMU2_CB_FIELD(b, FSR, SS))
    return WAITS;
  bool stalls = SMMU2_CB_FIELD(b, SCTLR, CFCFG) && !SMMU2_FIELD(s, sCR0, STALLD);
  return (SMMU2_CB(b, FSR) & SMMU2_FSR_FAULTS) && !stalls ? TERMINATED : SERVED;
}

static enum ims_step_kind held_up(const struct smmuv2 *s, struct ims_result *res, struct smmu2_flight *f, int bank,
                                  int how) {
  f->bank = (int16_t)bank;
  f->waits = how == WAITS;
  res->status = IMS_STATUS_ABORT;
  res->completion = SMMU2_CB_FIELD(&s->bank[bank], SCTLR, CFRE) ? IMS_CPL_UR : IMS_CPL_ZERO;
  return IMS_STEP_DONE;
}

static uint64_t global_id(uint64_t id) { return (id & ~SMMU2_TAG_ASID_MASK) | SMMU2_TAG_GLOBAL; }

static uint8_t level_of(const struct ims_pgt *p, unsigned leaf) {
  uint8_t level = 1;
  while (level < p->levels && p->fmt->shift[level] != leaf)
    level++;
  return level;
}

IMS_INLINE enum ims_step_kind answer(struct ims_result *res, const struct smmu2_flight *f, const struct ims_walk *w,
                                     uint64_t out, unsigned shift, unsigned perm1, unsigned perm2, uint32_t attr) {
  res->status = IMS_STATUS_OK;
  res->completion = IMS_CPL_SUCCESS;
  res->output = out;
  res->shift = (uint8_t)shift;
  res->attr = attr;
  res->rights = (uint8_t)ims_walk_rights(&w->s1, &w->s2, perm1, perm2, f->access & IMS_ACC_PRIV);
  return IMS_STEP_DONE;
}

// Requests come in runs of one stream.
IMS_INLINE int match(struct smmuv2 *s, uint32_t sid) {
  if (__builtin_expect(!s->last.valid || s->last.source != sid, 0)) {
    s->last.match = smmu2_match(s, sid);
    s->last.source = sid;
    s->last.valid = true;
  }
  return s->last.match;
}

IMS_INLINE enum ims_step_kind advance(struct smmuv2 *s, const struct ims_request *req, struct ims_result *res,
                                      struct smmu2_flight *f, struct ims_walk *w, struct ims_port *port,
                                      const struct ims_xlate_hooks *now) {
  const struct ims_walk_hooks *h = now ? &now->walk : NULL;
  struct ims_iommu *ctx = &s->base;

  switch (f->state) {
  case 0:
    // 1. What the unit's interface does not know: PASIDs and ATS.
    if (__builtin_expect(req->has_pasid || req->type != IMS_UNTRANSLATED, 0))
      return global_fault(req, res, f, IMS_SMMUV2_UUT, false);

    // 2. The unit is off.
    uint64_t cr0 = SMMU2_REG(s, sCR0);
    if (__builtin_expect(cr0 & IMS_SMMUV2_BITS(sCR0_CLIENTPD), 0))
      return bypass(s, req, res, IMS_SMMUV2_GET(cr0, sCR0_MTCFG), (unsigned)IMS_SMMUV2_GET(cr0, sCR0_MEMATTR),
                    (unsigned)IMS_SMMUV2_GET(cr0, sCR0_SHCFG));

    // 3. The stream's group.
    int group = match(s, req->source);
    if (__builtin_expect(group < 0, 0)) {
      if (group == SMMU2_CONFLICT)
        return global_fault(req, res, f, IMS_SMMUV2_SMCF, false);
      if (cr0 & IMS_SMMUV2_BITS(sCR0_USFCFG))
        return global_fault(req, res, f, IMS_SMMUV2_USF, false);
      return bypass(s, req, res, IMS_SMMUV2_GET(cr0, sCR0_MTCFG), (unsigned)IMS_SMMUV2_GET(cr0, sCR0_MEMATTR),
                    (unsigned)IMS_SMMUV2_GET(cr0, sCR0_SHCFG));
    }

    // 4. What S2CR makes of it: privilege and instruction too.
    uint32_t s2cr = s->s2cr[group];
    unsigned privcfg = IMS_SMMUV2_GET(s2cr, S2CR_PRIVCFG), instcfg = IMS_SMMUV2_GET(s2cr, S2CR_INSTCFG);
    if (privcfg >= 2)
      f->access = (uint8_t)((f->access & ~IMS_ACC_PRIV) | (privcfg == 3 ? IMS_ACC_PRIV : 0));
    if (instcfg >= 2 && !(f->access & IMS_ACC_W))
      f->access = (uint8_t)((f->access & ~IMS_ACC_X) | (instcfg == 3 ? IMS_ACC_X : IMS_ACC_R));
    switch (IMS_SMMUV2_GET(s2cr, S2CR_TYPE)) {
    case IMS_SMMUV2_S2CR_TRANSLATE: break;
    case IMS_SMMUV2_S2CR_BYPASS:
      return bypass(s, req, res, IMS_SMMUV2_GET(s2cr, S2CR_MTCFG), (unsigned)IMS_SMMUV2_GET(s2cr, S2CR_MEMATTR),
                    (unsigned)IMS_SMMUV2_GET(s2cr, S2CR_SHCFG));
    default: return global_fault(req, res, f, IMS_SMMUV2_ICF, false);
    }

    // 5. The context bank, and what CBAR makes of it.
    unsigned bank = (unsigned)IMS_SMMUV2_GET(s2cr, S2CR_CBNDX), bank2 = bank;
    if (bank >= s->cfg.numcb)
      return global_fault(req, res, f, IMS_SMMUV2_UCBF, false);
    const struct smmu2_context *c1 = smmu2_context(s, bank), *c2 = NULL;
    unsigned type = c1->type;
    bool has_s1 = type != IMS_SMMUV2_CBAR_S2, has_s2 = type != IMS_SMMUV2_CBAR_S1;
    if (type == IMS_SMMUV2_CBAR_S1_FAULT || (has_s1 && (!s->cfg.s1ts || bank < s->cfg.nums2cb)) ||
        (has_s2 && !s->cfg.s2ts) || (has_s1 && has_s2 && !s->cfg.nts))
      return global_fault(req, res, f, IMS_SMMUV2_ICF, false);
    if (type == IMS_SMMUV2_CBAR_NESTED) {
      bank2 = (unsigned)SMMU2_CBAR_FIELD(&s->bank[bank], CBNDX);
      if (bank2 >= s->cfg.numcb)
        return global_fault(req, res, f, IMS_SMMUV2_UCBF, true);
    }
    if (has_s2) {
      c2 = smmu2_context(s, bank2);
      if (c2->type != IMS_SMMUV2_CBAR_S2)
        return global_fault(req, res, f, IMS_SMMUV2_ICF, true);
      f->mismatch = has_s1 && c2->vmid != c1->vmid;
    }

    // 6. A fault outstanding in a bank.
    int wait = in_the_way(s, (int)bank);
    if (__builtin_expect(wait != SERVED, 0))
      return held_up(s, res, f, (int)bank, wait);
    wait = in_the_way(s, (int)bank2);
    if (__builtin_expect(wait != SERVED, 0))
      return held_up(s, res, f, (int)bank2, wait);

    // 7. Stages that are off: addresses stay as they are.
    bool on1 = has_s1 && c1->on, on2 = has_s2 && c2->on;
    f->s1_bank = has_s1 ? (int16_t)bank : SMMU2_NO_BANK;
    if (!on1 && !on2) {
      if (req->iova >> s->oas) {
        f->bank = (int16_t)bank;
        f->format = c1->format;
        return early_fault(req, res, f, IMS_SMMUV2_ASF, has_s1 ? 1 : 2, req->iova);
      }
      const struct smmu2_bank *b = &s->bank[bank];
      return bypass(s, req, res, SMMU2_CB_FIELD(b, SCTLR, MTCFG), (unsigned)SMMU2_CB_FIELD(b, SCTLR, MEMATTR),
                    (unsigned)SMMU2_CB_FIELD(b, SCTLR, SHCFG));
    }

    // 8. Stage 1: the side of the address, and whether the registers hold together.
    f->va = req->iova;
    f->bank = (int16_t)bank;
    f->format = c1->format;
    w->s1 = (struct ims_pgt){0};
    w->s2 = (struct ims_pgt){0};
    if (on1) {
      unsigned side;
      if (!smmu2_choose_side(s, c1, req->iova, &side, &f->va) || c1->epd[side])
        return early_fault(req, res, f, IMS_SMMUV2_TF, 1, req->iova);
      if (c1->bad[side] == IMS_SMMUV2_TF)
        return early_fault(req, res, f, IMS_SMMUV2_TF, 1, f->va);
      w->s1 = c1->side[side];
      if (!ims_pgt_in_range(&w->s1, f->va))
        return early_fault(req, res, f, IMS_SMMUV2_TF, 1, f->va);
      if (c1->bad[side])
        return early_fault(req, res, f, c1->bad[side], 1, f->va);
      f->tlb_id = c1->id;
      f->has_asid = !c1->hyp;
    }

    // 9. Stage 2 likewise: what it translates first is the address of a stage-1 table, or the address itself.
    if (on2) {
      if (c2->bad[0]) {
        f->bank = (int16_t)bank2;
        f->format = c2->format;
        f->ptw = on1;
        uint64_t ipa = on1 ? ims_pgt_entry_addr(&w->s1, w->s1.levels, w->s1.root, f->va) : f->va;
        return early_fault(req, res, f, c2->bad[0], 2, ipa);
      }
      w->s2 = c2->side[0];
      f->s2_id = c2->id;
      if (!on1)
        f->tlb_id = c2->id;
      f->bank2 = (int16_t)bank2;
      f->format2 = c2->format;
    }

    // 10. The IOTLB: by ASID, then among the global entries.
    if (s->base.caches >> IMS_CACHE_IOTLB & 1) {
    probe:
      IMS_PROBE_TLB(f->state, 1, ims_xlate_describe(port, IMS_STRUCT_DATA, 0, 0, 0, req->iova), IMS_CACHE_IOTLB, f->va,
                    f->probed_global ? global_id(f->tlb_id) : f->tlb_id);
      if (port->answer.hit) {
        const struct ims_tlb_value *t = &port->answer.value;
        const struct ims_pgt *s1 = w->s1.fmt ? &w->s1 : NULL, *s2 = w->s2.fmt ? &w->s2 : NULL;
        if (ims_tlb_serves(s1, s2, f->access, t))
          return answer(res, f, w, t->addr | (f->va & ((1ull << t->shift) - 1)), t->shift, t->perm1, t->perm2, t->attr);
        // The IPA of a cached combined translation is not known: such a fault of stage 2 walks after all.
        bool first = s1 && ims_fs_judge(s1, t->perm1, f->access) != IMS_DENY_NOTHING;
        if (s->cfg.rights_from_cache && (first || !s1)) {
          if (!first) {
            f->bank = f->bank2;
            f->format = f->format2;
          }
          unsigned leaf =
              first ? IMS_ATTR_GET(t->attr, IMS_ATTR_S1_SHIFT, 6) : IMS_ATTR_GET(t->attr, IMS_ATTR_S2_SHIFT, 6);
          res->walk = (struct ims_walk_fault){.cause = f->access & IMS_ACC_W ? IMS_WALK_WRITE : IMS_WALK_READ,
                                              .stage = first ? 1 : 2,
                                              .level = level_of(first ? &w->s1 : &w->s2, leaf),
                                              .during = IMS_FOR_PAGE,
                                              .addr = f->va};
          return context_fault(req, res, f, IMS_SMMUV2_PF);
        }
      } else if (s->global_entries && !f->probed_global && f->has_asid) {
        f->probed_global = true;
        goto probe;
      }
    }

    // 11. The walk.
    w->in = f->va;
    w->access = f->access;
    w->caches = s->base.caches;
    // An IPA cache entry of a request without a stage 1 would be the IOTLB entry once more.
    if (!w->s1.fmt)
      w->caches &= ~(1u << IMS_CACHE_NESTED);
    w->psc_gpa = s->cfg.walk_ipa;
    w->id1 = f->tlb_id;
    w->id2 = f->s2_id;
    w->deny_size = 0;
    ims_walk_begin(w);
    f->state = 2;
    __attribute__((fallthrough));
  case 2:;
    enum ims_step_kind kind = ims_walk_advance(w, port, h, ctx);
    if (kind == IMS_STEP_FAULT) {
      res->walk = w->fault;
      if (w->fault.stage == 2) {
        f->bank = f->bank2;
        f->format = f->format2;
        f->ptw = w->fault.during != IMS_FOR_PAGE;
      }
      return context_fault(req, res, f, fault_of(&res->walk));
    }
    if (kind != IMS_STEP_DONE)
      return kind;

    // 12. The translation is cached; global ones for every ASID of the VMID.
    if (s->base.caches >> IMS_CACHE_IOTLB & 1) {
      if (f->has_asid && IMS_ATTR_GET(w->attr, IMS_ATTR_GLOBAL, 1)) {
        f->tlb_id = global_id(f->tlb_id);
        s->global_entries = true;
      }
      IMS_FILL_TLB(f->state, 3, ims_xlate_describe(port, IMS_STRUCT_DATA, 0, 0, 0, req->iova), IMS_CACHE_IOTLB,
                   ims_tag_addr(f->va, w->shift), f->tlb_id, .addr = w->out >> w->shift << w->shift, .shift = w->shift,
                   .perm1 = w->perm1, .perm2 = w->perm2, .flags = w->flags, .attr = w->attr);
    }
    return answer(res, f, w, w->out, w->shift, w->perm1, w->perm2, w->attr);
  }
  return IMS_STEP_DONE;
}

IMS_INLINE void begin(const struct ims_request *req, struct ims_result *res, struct smmu2_flight *f) {
  *res = (struct ims_result){0};
  *f = (struct smmu2_flight){.bank = SMMU2_NO_BANK, .bank2 = SMMU2_NO_BANK, .s1_bank = SMMU2_NO_BANK};
  f->access = req->access & (uint8_t)(IMS_ACC_R | IMS_ACC_W | IMS_ACC_X | IMS_ACC_PRIV);
  if (f->access & IMS_ACC_W)
    f->access &= (uint8_t)~IMS_ACC_X; // a write is never an instruction access
  if (!(f->access & (IMS_ACC_R | IMS_ACC_W | IMS_ACC_X)))
    f->access |= IMS_ACC_R;
}

void smmu2_begin(struct ims_xlate *x) { begin(x->req, x->res, smmu2_flight_of(x)); }

static const struct ims_xlate_hooks asking = {.walk = {.vmsa = true}};

enum ims_step_kind smmu2_step(struct ims_xlate *x) {
  enum ims_step_kind kind =
      advance(smmu2_of(x->iommu), x->req, x->res, smmu2_flight_of(x), &x->walk, &x->port, &asking);
  x->res->refs = x->port.refs;
  return kind;
}

static void finish(struct smmuv2 *s, const struct ims_request *req, struct ims_result *res,
                   const struct smmu2_flight *f) {
  s->base.count.requests++;
  s->base.count.refs += res->refs;
  s->mismatches += f->mismatch;
  if (__builtin_expect(f->waits, 0) && smmu2_wait(s, (unsigned)f->bank, req->source, false, &res->stag)) {
    res->status = IMS_STATUS_STALL;
    res->completion = IMS_CPL_SUCCESS; // not completed yet
  }
  if (__builtin_expect(res->status != IMS_STATUS_FAULT, 1))
    return;
  s->base.count.faults++;
  smmu2_fault(s, req, res, f);
  s->base.count.faults_recorded += res->recorded;
}

void smmu2_finish(struct ims_xlate *x) { finish(smmu2_of(x->iommu), x->req, x->res, smmu2_flight_of(x)); }

void smmu2_translate(struct ims_iommu *u, const struct ims_request *req, struct ims_result *res) {
  static const struct ims_xlate_hooks in_place = IMS_XLATE_IN_PLACE(true);
  struct smmuv2 *s = smmu2_of(u);
  struct smmu2_flight f;
  struct ims_walk w;
  struct ims_port port;
  port.refs = 0;
  begin(req, res, &f);
  w.state = 0;
  advance(s, req, res, &f, &w, &port, &in_place);
  res->refs = port.refs;
  finish(s, req, res, &f);
}
