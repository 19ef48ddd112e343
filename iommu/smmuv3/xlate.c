// SPDX-License-Identifier: Apache-2.0
// One request through an SMMUv3: Arm IHI 0070 3.3, 3.4, 3.9, 3.12, 7.3 and 13.4, step by step in their order. The numbers in
// the comments are those of docs/smmuv3.md, "the order of checks".
#include "iommu/xlate_impl.h" // first: what it says to the compiler holds for what it includes

#include "iommu/smmuv3/smmuv3_internal.h"
#include "pasid/smmu.h"

// What an event says of a fault beyond its number.
struct fault {
  uint8_t event;
  uint8_t class;
  bool s2, update; // update: hardware was to set a bit in a table
  bool configuration;
  uint64_t ipa, fetch;
};

static void put(struct ims_result *res, enum ims_smmuv3_event_field field, uint64_t value) {
  ims_smmuv3_event_set(res->record, field, value);
}

static bool is_instruction(unsigned access) { return (access & IMS_ACC_X) && !(access & IMS_ACC_W); }

// The record of 7.3; RnW, InD and PnU describe the request after the STE's overrides, but before them where the table of
// events says so (F_UUT, F_BAD_ATS_TREQ).
static void write_record(struct smmuv3 *s, const struct ims_request *req, struct ims_result *res, unsigned access,
                         const struct fault *fault) {
  const struct ims_smmuv3_event_info *info = ims_smmuv3_event_find(fault->event);
  memset(res->record, 0, sizeof res->record);
  res->record_words = 4;
  put(res, IMS_SMMUV3_EVENT_ID_FIELD, fault->event);
  put(res, IMS_SMMUV3_EVENT_SID_FIELD, req->source);
  uint32_t has = info->fields;
  bool write = access & IMS_ACC_W, read = access & IMS_ACC_R;
  // An atomic counts as a write; from v3.1 on as a read when its page may be written but not read (13.1.1).
  bool rnw = !write || (read && s->cfg.version >= 1 && fault->event == IMS_SMMUV3_F_PERMISSION &&
                        fault->class == SMMU_CLASS_IN && res->walk.cause == IMS_WALK_READ);
#define PUT(name, value)                                                                                               \
  do {                                                                                                                 \
    if (has >> IMS_SMMUV3_EVENT_##name##_FIELD & 1)                                                                    \
      put(res, IMS_SMMUV3_EVENT_##name##_FIELD, (value));                                                              \
  } while (0)
  PUT(SSV, req->has_pasid);
  PUT(SSID, req->has_pasid ? req->pasid : 0);
  if (fault->event == IMS_SMMUV3_F_BAD_ATS_TREQ) {
    PUT(ATS_R, 1);
    PUT(ATS_W, !req->no_write);
    PUT(ATS_X, req->has_pasid && (req->access & IMS_ACC_X));
    PUT(ATS_P, req->has_pasid && (req->access & IMS_ACC_PRIV));
    PUT(INPUT, req->iova);
    return;
  }
  PUT(PNU, (access & IMS_ACC_PRIV) != 0);
  PUT(IND, is_instruction(access));
  PUT(RNW, rnw);
  PUT(S2, fault->s2);
  PUT(CLASS, fault->class);
  PUT(TTRNW, fault->event == IMS_SMMUV3_F_PERMISSION && fault->class == SMMU_CLASS_TT && !fault->update);
  PUT(INPUT, req->iova);
  if (has >> IMS_SMMUV3_EVENT_FETCH_FIELD & 1)
    PUT(FETCH, (fault->fetch & IMS_REG_BITS(s->oas - 1, 0)) >> 3); // bits from the OAS on are zero
  else if (fault->s2)
    PUT(IPA, fault->ipa >> 12 & IMS_REG_BITS(43, 0));
#undef PUT
}

static enum ims_step_kind refuse(struct smmuv3 *s, const struct ims_request *req, struct ims_result *res,
                                 unsigned access, const struct fault *fault) {
  res->status = IMS_STATUS_FAULT;
  res->fault = fault->event;
  res->completion = IMS_CPL_UR;
  res->recorded = true;
  write_record(s, req, res, access, fault);
  return IMS_STEP_FAULT;
}

// A configuration error: always an abort (7.3). Of translation requests and translated traffic it is recorded only with
// CR2.REC_CFG_ATS (3.9.1.2, 3.9.1.3).
static enum ims_step_kind misconfigured(struct smmuv3 *s, const struct ims_request *req, struct ims_result *res,
                                        unsigned access, unsigned event, uint64_t fetch) {
  refuse(s, req, res, access, &(struct fault){.event = (uint8_t)event, .class = SMMU_CLASS_IN, .fetch = fetch});
  bool rec_ats = s->cfg.atsrecerr && SMMU_FIELD(s, CR2, REC_CFG_ATS);
  if (req->type == IMS_TRANSLATION_REQUEST) {
    res->completion = IMS_CPL_CA;
    res->recorded = rec_ats;
  } else if (req->type == IMS_TRANSLATED) {
    res->recorded = rec_ats;
    return IMS_STEP_FAULT;
  }
  if (event == IMS_SMMUV3_C_BAD_STREAMID && !SMMU_FIELD(s, CR2, RECINVSID))
    res->recorded = false;
  return IMS_STEP_FAULT;
}

// An input address that no stage takes (steps 7 and 10).
static enum ims_step_kind too_large(struct smmuv3 *s, const struct ims_request *req, struct ims_result *res,
                                    unsigned access) {
  refuse(s, req, res, access, &(struct fault){.event = IMS_SMMUV3_F_ADDR_SIZE, .class = SMMU_CLASS_IN});
  if (req->type == IMS_TRANSLATION_REQUEST) {
    res->completion = IMS_CPL_R0;
    res->recorded = false;
  }
  return IMS_STEP_FAULT;
}

static enum ims_step_kind abort_silently(struct ims_result *res) {
  res->status = IMS_STATUS_ABORT;
  res->completion = IMS_CPL_UR;
  return IMS_STEP_DONE;
}

enum { ALL_RIGHTS = IMS_PERM_R | IMS_PERM_W | IMS_PERM_X };

static enum ims_step_kind identity(const struct ims_request *req, struct ims_result *res, unsigned status,
                                   uint32_t attr) {
  res->status = (uint8_t)status;
  res->completion = IMS_CPL_SUCCESS;
  res->output = req->iova;
  res->rights = ALL_RIGHTS;
  res->shift = 12;
  res->attr = attr;
  return IMS_STEP_DONE;
}

// Attributes of an access that is not translated: as sent (Normal write-back, inner shareable in this model), unless
// overridden (13.1, 13.4).
static uint32_t bypass_attr(bool mtcfg, unsigned memattr, unsigned shcfg) {
  static const uint8_t cache[4] = {4, 4, 0xb, 0xf}; // MemAttr halves as MAIR nibbles: -, non-cacheable, WT, WB
  unsigned mem = 0xff, sh = shcfg == 1 ? 3 : shcfg;
  if (mtcfg)
    mem = memattr & 12 ? (unsigned)cache[memattr >> 2 & 3] << 4 | cache[memattr & 3] : (memattr & 3) << 2;
  if (!(mem & 0xf0) || mem == 0x44)
    sh = 2;
  return mem << IMS_ATTR_MEM | sh << IMS_ATTR_SH;
}

// Stage 2 alone is combined with what the request brings, after the STE's overrides (13.4); translated traffic has no
// overrides (table 13.5). What is cached are the tables' own attributes, since other streams of the VMID have overrides of
// their own.
static uint32_t combine_input(const struct smmu_ste *ste, bool translated, uint32_t attr) {
  uint32_t in = translated ? bypass_attr(false, 0, 1) : bypass_attr(ste->mtcfg, ste->memattr, ste->shcfg);
  in |= attr & ~(0xffu << IMS_ATTR_MEM | 3u << IMS_ATTR_SH);
  return ims_vmsa_combine(&ste->s2, true, in,
                          IMS_ATTR_GET(attr, IMS_ATTR_S2_MEM, 4) | IMS_ATTR_GET(attr, IMS_ATTR_SH, 2) << 4);
}

// Faults of the walk in the words of 7.3. `fetching`: the walk was for a CD or its table.
static struct fault fault_of(const struct ims_walk_fault *w, bool fetching) {
  struct fault f = {.s2 = w->stage == 2, .ipa = w->addr, .fetch = w->hpa, .update = w->during == IMS_FOR_UPDATE};
  f.class = w->during != IMS_FOR_PAGE ? SMMU_CLASS_TT : fetching ? SMMU_CLASS_CD : SMMU_CLASS_IN;
  switch (w->cause) {
  case IMS_WALK_RANGE:
  case IMS_WALK_NOT_PRESENT: f.event = IMS_SMMUV3_F_TRANSLATION; break;
  case IMS_WALK_SIZE:
  case IMS_WALK_RESERVED: f.event = IMS_SMMUV3_F_ADDR_SIZE; break;
  case IMS_WALK_FLAG: f.event = IMS_SMMUV3_F_ACCESS; break;
  case IMS_WALK_ACCESS:
  case IMS_WALK_AD_FAILED: f.event = IMS_SMMUV3_F_WALK_EABT; break;
  default: f.event = IMS_SMMUV3_F_PERMISSION; break;
  }
  // A stage-1 fault belongs to the input address, but for the descriptor that could not be read (7.3.11 and after).
  if (!f.s2)
    f.class = f.event == IMS_SMMUV3_F_WALK_EABT ? SMMU_CLASS_TT : SMMU_CLASS_IN;
  return f;
}

// A fault that CD.A/R/S or STE.S2R/S2S governs (3.12, 5.5).
static enum ims_step_kind translation_fault(struct smmuv3 *s, const struct ims_request *req, struct ims_result *res,
                                            struct smmu_flight *f, const struct fault *fault) {
  refuse(s, req, res, f->access, fault);
  bool external = fault->event == IMS_SMMUV3_F_WALK_EABT;
  if (req->type == IMS_TRANSLATION_REQUEST) {
    bool rec_ats = s->cfg.atsrecerr && SMMU_FIELD(s, CR2, REC_CFG_ATS);
    res->completion = external ? IMS_CPL_CA : IMS_CPL_R0;
    res->recorded = external && rec_ats;
    return IMS_STEP_FAULT;
  }
  if (external)
    return IMS_STEP_FAULT;
  bool stall = fault->s2 ? f->ste->s2s : f->cd->s;
  res->recorded = stall || (fault->s2 ? f->ste->s2r : f->cd->r);
  f->wants_stall = stall && req->type == IMS_UNTRANSLATED;
  if (!fault->s2 && !f->cd->a)
    res->completion = IMS_CPL_ZERO;
  return IMS_STEP_FAULT;
}

// Which side of the CD translates the address, and the address as that side sees it: bits above the input range equal to
// bit 55, or the top byte ignored (5.4, TBI; DDI 0487 D8.1). False: no side does.
static bool choose_side(const struct smmu_cd *cd, uint64_t va, unsigned *side, uint64_t *in) {
  *side = 0;
  *in = va;
  if (!cd->aarch64)
    return ims_vmsa32_side(cd->t0sz, cd->t1sz, !cd->two_sides, va, side, in);
  if (!cd->two_sides) {
    if (cd->tbi[0])
      *in = va & ~(0xffull << 56);
    return true;
  }
  *side = va >> 55 & 1;
  if (cd->tbi[*side])
    *in = (uint64_t)((int64_t)(va << 8) >> 8);
  return true;
}

static bool has_asids(const struct smmu_ste *ste) { return ste->world != SMMU_EL2; }

static uint64_t tag_of(const struct smmu_ste *ste, unsigned asid, unsigned kind) {
  return (ste->world == SMMU_EL1 ? ste->vmid : 0u) | (has_asids(ste) ? SMMU_TAG_ASID(asid) : 0) | SMMU_TAG_KIND(kind) |
         SMMU_TAG_WORLD(ste->world);
}

static uint64_t global_tag(uint64_t tag, bool aset) {
  return (tag & ~SMMU_TAG_ASID_MASK) | SMMU_TAG_GLOBAL | (aset ? SMMU_TAG_ASET : 0);
}

// 13.7.1: what a translation request is granted out of the rights of its translation. Execution must have been asked for,
// and implies reading; STE.INSTCFG makes reads instructions, or execution reading. Writing not asked for is not granted,
// so no dirty state was set for it.
static uint8_t granted(const struct ims_request *req, const struct smmu_flight *f, unsigned rights) {
  bool r = rights & IMS_PERM_R, x = rights & IMS_PERM_X;
  if (f->ste->instcfg == 3)
    r = x;
  else if (f->ste->instcfg == 2)
    x = r;
  bool exe = req->has_pasid && (req->access & IMS_ACC_X);
  return (uint8_t)((r ? IMS_PERM_R : 0u) | (f->access & IMS_ACC_W ? rights & IMS_PERM_W : 0u) |
                   (exe && r && x ? IMS_PERM_X : 0u));
}

IMS_INLINE enum ims_step_kind answer(struct smmuv3 *s, const struct ims_request *req, struct ims_result *res,
                                     const struct smmu_flight *f, uint64_t out, unsigned shift, unsigned perm1,
                                     unsigned perm2, uint32_t attr) {
  static const struct ims_pgt none = {0};
  const struct ims_pgt *s1 = f->bypass_s1 ? &none : &f->cd->side[f->side];
  const struct ims_pgt *s2 = f->ste->has_s2 ? &f->ste->s2 : &none;
  res->status = IMS_STATUS_OK;
  res->completion = IMS_CPL_SUCCESS;
  res->output = out;
  res->shift = (uint8_t)shift;
  res->attr = f->bypass_s1 && s2->fmt ? combine_input(f->ste, req->type == IMS_TRANSLATED, attr) : attr;
  res->rights = (uint8_t)ims_walk_rights(s1, s2, perm1, perm2, f->access & IMS_ACC_PRIV);
  if (__builtin_expect(req->type != IMS_TRANSLATION_REQUEST, 1))
    return IMS_STEP_DONE;
  res->rights = granted(req, f, res->rights);
  if (!(res->rights & (IMS_PERM_R | IMS_PERM_W))) {
    refuse(s, req, res, f->access,
           &(struct fault){.event = IMS_SMMUV3_F_PERMISSION, .class = SMMU_CLASS_IN, .s2 = s2->fmt != NULL});
    res->completion = IMS_CPL_R0;
    res->recorded = false;
    return IMS_STEP_FAULT;
  }
  return IMS_STEP_DONE;
}

#define READ_STRUCT(n, what, len)                                                                                      \
  IMS_READ_STRUCT(f->state, n, what, f->at, f->at_ipa, len, req->iova, !(f->at >> s->oas))
#define STE_KEY ims_tag_key(req->source)
#define CD_KEY  ims_tag_key(SMMU_CD_KEY((uint64_t)req->source, f->ssid))

IMS_INLINE enum ims_step_kind advance(struct smmuv3 *s, const struct ims_request *req, struct ims_result *res,
                                      struct smmu_flight *f, struct ims_walk *w, struct ims_port *port,
                                      const struct ims_xlate_hooks *now) {
  const struct ims_walk_hooks *h = now ? &now->walk : NULL;
  struct ims_iommu *ctx = &s->base;
  unsigned event;

  switch (f->state) {
  case 0:
    // 1. The SMMU is off: GBPA decides (3.11, 6.3.14).
    if (__builtin_expect(!SMMU_FIELD(s, CR0, SMMUEN), 0)) {
      if (req->type == IMS_TRANSLATION_REQUEST)
        return refuse(s, req, res, f->access, &(struct fault){.event = IMS_SMMUV3_F_BAD_ATS_TREQ});
      if (req->type == IMS_TRANSLATED)
        return refuse(s, req, res, f->access, &(struct fault){.event = IMS_SMMUV3_F_TRANSL_FORBIDDEN});
      if (SMMU_FIELD(s, GBPA, ABORT) || req->iova >> s->oas)
        return abort_silently(res);
      bool types = s->cfg.attr_types_ovr; // else attributes are as sent, whatever GBPA says (6.3.14)
      return identity(req, res, IMS_STATUS_BYPASS,
                      bypass_attr(types && SMMU_FIELD(s, GBPA, MTCFG), (unsigned)SMMU_FIELD(s, GBPA, MEMATTR),
                                  types ? (unsigned)SMMU_FIELD(s, GBPA, SHCFG) : 1));
    }

    // 2. Translated traffic that nobody checks (3.9.1.3).
    if (__builtin_expect(req->type == IMS_TRANSLATED, 0) && !SMMU_FIELD(s, CR0, ATSCHK)) {
      if (req->iova >> s->oas)
        return abort_silently(res);
      return identity(req, res, IMS_STATUS_OK, bypass_attr(false, 0, 1));
    }

    // 3. The StreamID, and the STE by way of the stream table (3.3.1, 5.1).
    unsigned sid_bits = (unsigned)SMMU_FIELD(s, STRTAB_BASE_CFG, LOG2SIZE);
    if (s->cfg.sidsize < sid_bits)
      sid_bits = s->cfg.sidsize;
    if (sid_bits < 32 && req->source >> sid_bits)
      return misconfigured(s, req, res, f->access, IMS_SMMUV3_C_BAD_STREAMID, 0);
    IMS_PROBE_STRUCT(f->state, 1, IMS_STRUCT_STE, IMS_CACHE_CONTEXT, STE_KEY, f->ste, f->ste_room);
    if (!f->ste) {
      // The base is aligned by the table's size as written, and reserved formats act as linear (6.3.24).
      bool two_levels = s->cfg.st_level && SMMU_FIELD(s, STRTAB_BASE_CFG, FMT) == 1;
      uint64_t base = SMMU_REG(s, STRTAB_BASE) & IMS_SMMUV3_BITS(STRTAB_BASE_ADDR);
      unsigned log2size = (unsigned)SMMU_FIELD(s, STRTAB_BASE_CFG, LOG2SIZE);
      unsigned split = (unsigned)SMMU_FIELD(s, STRTAB_BASE_CFG, SPLIT);
      f->at = two_levels ? ims_stream_l1_at(base, log2size, split, req->source)
                         : ims_stream_linear_at(base, log2size, req->source);
      f->at_ipa = f->at;
      if (two_levels) {
        READ_STRUCT(2, IMS_STRUCT_STREAM_L1, 8);
        if (!port->answer.ok)
          return misconfigured(s, req, res, f->access, IMS_SMMUV3_F_STE_FETCH, f->at);
        if (!ims_stream_l2_at(port->answer.data[0], (unsigned)SMMU_FIELD(s, STRTAB_BASE_CFG, SPLIT), req->source,
                              &f->at))
          return misconfigured(s, req, res, f->access, IMS_SMMUV3_C_BAD_STREAMID, 0);
        f->at_ipa = f->at;
      }
      READ_STRUCT(3, IMS_STRUCT_STE, 64);
      if (!port->answer.ok)
        return misconfigured(s, req, res, f->access, IMS_SMMUV3_F_STE_FETCH, f->at);
      event = smmu_decode_ste(s, port->answer.data, &f->ste_room);
      if (event)
        return misconfigured(s, req, res, f->access, event, 0);
      f->ste = &f->ste_room;
      IMS_FILL_STRUCT(f->state, 4, IMS_STRUCT_STE, IMS_CACHE_CONTEXT, STE_KEY, req->source, f->ste_room);
    }

    // 4. Streams that are aborted: without an event (5.2, Config).
    if (f->ste->config < SMMU_CONFIG_BYPASS)
      return abort_silently(res);
    if (req->type == IMS_PAGE_REQUEST)
      return identity(req, res, IMS_STATUS_OK, 0);

    // 5. ATS (3.9.1): EATS 0b1x needs ATSCHK.
    if (__builtin_expect(req->type != IMS_UNTRANSLATED, 0)) {
      unsigned eats = f->ste->eats == SMMU_EATS_SPLIT && !SMMU_FIELD(s, CR0, ATSCHK) ? 0 : f->ste->eats;
      if (f->ste->config == SMMU_CONFIG_BYPASS || eats == SMMU_EATS_NONE)
        return refuse(s, req, res, f->access,
                      &(struct fault){.event = req->type == IMS_TRANSLATION_REQUEST ? IMS_SMMUV3_F_BAD_ATS_TREQ
                                                                                    : IMS_SMMUV3_F_TRANSL_FORBIDDEN});
      f->split = eats == SMMU_EATS_SPLIT;
      if (req->type == IMS_TRANSLATED && !(s->cfg.pasidtt && req->has_pasid))
        f->access = req->access & (IMS_ACC_R | IMS_ACC_W);
    }

    // The STE's own view of privilege and instruction (5.2, PRIVCFG, INSTCFG; reads only).
    if (f->ste->privcfg >= 2)
      f->access = (uint8_t)((f->access & ~IMS_ACC_PRIV) | (f->ste->privcfg == 3 ? IMS_ACC_PRIV : 0));
    if (f->access & IMS_ACC_QUERY) {
      if (f->ste->instcfg == 3) // what it will read are instructions (13.7.1)
        f->access = (uint8_t)((f->access & ~IMS_ACC_R) | IMS_ACC_X);
    } else if (f->ste->instcfg >= 2 && !(f->access & IMS_ACC_W))
      f->access = (uint8_t)((f->access & ~IMS_ACC_X) | (f->ste->instcfg == 3 ? IMS_ACC_X : 0));

    // 6. The SubstreamID (5.2, S1CDMax, S1DSS); that of translated traffic counts with PASIDTT (3.9.1.3).
    f->bypass_s1 = !f->ste->has_s1 || req->type == IMS_TRANSLATED;
    if (req->type != IMS_TRANSLATED || (s->cfg.pasidtt && req->has_pasid)) {
      if (req->has_pasid) {
        if (!f->ste->has_s1 || !f->ste->s1cdmax || req->pasid >> f->ste->s1cdmax)
          return misconfigured(s, req, res, f->access, IMS_SMMUV3_C_BAD_SUBSTREAMID, 0);
        if (f->ste->s1dss == SMMU_S1DSS_SSID0 && !req->pasid)
          return misconfigured(s, req, res, f->access, IMS_SMMUV3_F_STREAM_DISABLED, 0);
        f->ssid = req->pasid;
      } else if (f->ste->has_s1 && f->ste->s1cdmax) {
        if (f->ste->s1dss == SMMU_S1DSS_TERMINATE)
          return misconfigured(s, req, res, f->access, IMS_SMMUV3_F_STREAM_DISABLED, 0);
        f->bypass_s1 = f->ste->s1dss == SMMU_S1DSS_BYPASS;
      }
    }
    res->pasid = f->ssid;

    if (__builtin_expect(req->type == IMS_TRANSLATED, 0) && !f->split) {
      if (req->iova >> s->oas)
        return abort_silently(res);
      return identity(req, res, IMS_STATUS_OK, bypass_attr(false, 0, 1));
    }

    // 7. Neither stage: out as it came in, if the system has such an address (3.4).
    if (f->bypass_s1 && !f->ste->has_s2) {
      if (req->iova >> s->oas)
        return too_large(s, req, res, f->access);
      uint32_t attr = bypass_attr(f->ste->mtcfg, f->ste->memattr, f->ste->shcfg);
      if (req->type == IMS_UNTRANSLATED)
        return identity(req, res, IMS_STATUS_BYPASS, attr);
      identity(req, res, IMS_STATUS_OK, attr);
      res->rights = IMS_PERM_R | IMS_PERM_W; // 13.6.4: there is no PASID that could ask for execution
      return IMS_STEP_DONE;
    }

    if (!f->bypass_s1) {
      // 8. The CD, by way of the CD table; under a second stage both are at IPAs (5.3, 5.4, 3.3.1).
      IMS_PROBE_STRUCT(f->state, 5, IMS_STRUCT_CD, IMS_CACHE_PASID, CD_KEY, f->cd, f->cd_room);
      if (!f->cd) {
        bool levels = f->ste->s1cdmax && f->ste->s1fmt;
        f->at_ipa = levels ? ims_cd_l1_at(f->ste->s1ctxptr, f->ste->s1fmt, f->ste->s1cdmax, f->ssid)
                           : ims_cd_linear_at(f->ste->s1ctxptr, f->ste->s1cdmax, f->ssid);
        f->fetching = levels ? IMS_STRUCT_CD_L1 : IMS_STRUCT_CD;
      fetch:
        f->at = f->at_ipa;
        if (f->ste->has_s2) {
          w->s1 = (struct ims_pgt){0};
          w->in = f->at_ipa;
          w->access = IMS_ACC_R;
          w->caches = s->base.caches;
          goto walk;
        }
      fetched:
        if (f->fetching == IMS_STRUCT_CD_L1) {
          READ_STRUCT(6, IMS_STRUCT_CD_L1, 8);
          if (!port->answer.ok)
            return misconfigured(s, req, res, f->access, IMS_SMMUV3_F_CD_FETCH, f->at);
          uint64_t l1 = port->answer.data[0];
          f->at_ipa = ims_cd_l2_at(l1, f->ste->s1fmt, f->ssid);
          if (!ims_cd_l1_valid(l1) || (!f->ste->has_s2 && f->at_ipa >> s->oas))
            return misconfigured(s, req, res, f->access, IMS_SMMUV3_C_BAD_SUBSTREAMID, 0);
          f->fetching = IMS_STRUCT_CD;
          goto fetch;
        }
        READ_STRUCT(7, IMS_STRUCT_CD, 64);
        if (!port->answer.ok)
          return misconfigured(s, req, res, f->access, IMS_SMMUV3_F_CD_FETCH, f->at);
        event = smmu_decode_cd(s, f->ste, port->answer.data, &f->cd_room);
        if (event)
          return misconfigured(s, req, res, f->access, event, 0);
        f->fetching = 0;
        f->cd = &f->cd_room;
        IMS_FILL_STRUCT(f->state, 8, IMS_STRUCT_CD, IMS_CACHE_PASID, CD_KEY,
                        SMMU_CD_KEY((uint64_t)req->source, f->ssid), f->cd_room);
      }

      // 9. The side of the address space (5.4, EPD, E0PD).
      unsigned side;
      bool none = !choose_side(f->cd, req->iova, &side, &f->iova);
      f->side = (uint8_t)side;
      bool user = !(f->access & IMS_ACC_PRIV);
      if (none || f->cd->epd[side] || (f->cd->e0pd[side] && user)) {
        res->walk =
            (struct ims_walk_fault){.cause = IMS_WALK_RANGE, .stage = 1, .during = IMS_FOR_PAGE, .addr = f->iova};
        return translation_fault(s, req, res, f,
                                 &(struct fault){.event = IMS_SMMUV3_F_TRANSLATION, .class = SMMU_CLASS_IN});
      }
      f->tlb_id = tag_of(f->ste, f->cd->asid, f->ste->has_s2 ? IMS_TAG_NESTED : IMS_TAG_S1);
    } else {
      // 10. Stage 2 alone: its input is what stage 1 could put out (3.4, IAS).
      if (req->iova >> f->ste->ias)
        return too_large(s, req, res, f->access);
      f->tlb_id = tag_of(f->ste, 0, IMS_TAG_S2);
    }

    // 11. The IOTLB: by ASID, then among the global entries of the same ASET (3.17.1).
    // A split-stage answer is an IPA, which a cached combined translation has not kept.
    if ((s->base.caches >> IMS_CACHE_IOTLB & 1) && !(f->split && req->type == IMS_TRANSLATION_REQUEST)) {
      f->probed_global = false;
    probe:
      IMS_PROBE_TLB(f->state, 9, ims_xlate_describe(port, IMS_STRUCT_DATA, 0, 0, 0, req->iova), IMS_CACHE_IOTLB,
                    f->iova, f->probed_global ? global_tag(f->tlb_id, f->cd->aset) : f->tlb_id);
      if (port->answer.hit) {
        const struct ims_tlb_value *t = &port->answer.value;
        const struct ims_pgt *s1 = f->bypass_s1 ? NULL : &f->cd->side[f->side];
        const struct ims_pgt *s2 = f->ste->has_s2 ? &f->ste->s2 : NULL;
        if (ims_tlb_serves(s1, s2, f->access, t))
          return answer(s, req, res, f, t->addr | (f->iova & ((1ull << t->shift) - 1)), t->shift, t->perm1, t->perm2,
                        t->attr);
        if (s->cfg.rights_from_cache && !(f->access & IMS_ACC_QUERY)) {
          bool first = s1 && ims_fs_judge(s1, t->perm1, f->access) != IMS_DENY_NOTHING;
          enum ims_deny second = s2 ? ims_ss_judge(s2, t->perm2, f->access) : IMS_DENY_NOTHING;
          // The IPA of a cached combined translation is not known: such a fault of stage 2 walks after all.
          if (first || (second != IMS_DENY_NOTHING && !s1)) {
            res->walk =
                (struct ims_walk_fault){.cause = second == IMS_DENY_READ && !first ? IMS_WALK_READ : IMS_WALK_WRITE,
                                        .stage = first ? 1 : 2,
                                        .during = IMS_FOR_PAGE,
                                        .addr = f->iova};
            struct fault fault = fault_of(&res->walk, false);
            return translation_fault(s, req, res, f, &fault);
          }
        }
      } else if (s->global_entries && !f->probed_global && !f->bypass_s1 && has_asids(f->ste)) {
        f->probed_global = true;
        goto probe;
      }
    }

    // 12. The walk.
    if (f->bypass_s1)
      w->s1 = (struct ims_pgt){0};
    else
      w->s1 = f->cd->side[f->side];
    w->in = f->iova;
    w->access = f->access;
    w->caches = s->base.caches;
    // An IPA cache entry of a stream without a first stage would be the IOTLB entry once more.
    if (f->bypass_s1)
      w->caches &= ~(1u << IMS_CACHE_NESTED);

  walk:
    w->id1 = f->tlb_id;
    w->id2 = tag_of(f->ste, 0, IMS_TAG_S2);
    w->psc_gpa = s->cfg.walk_ipa;
    w->deny_size = 0;
    w->s2 = f->ste->s2;
    ims_walk_begin(w);
    if (f->fetching)
      w->purpose = f->fetching;
    f->state = 10;
    __attribute__((fallthrough));
  case 10:;
    enum ims_step_kind kind = ims_walk_advance(w, port, h, ctx);
    if (kind == IMS_STEP_FAULT) {
      res->walk = w->fault;
      struct fault fault = fault_of(&res->walk, f->fetching);
      return translation_fault(s, req, res, f, &fault);
    }
    if (kind != IMS_STEP_DONE)
      return kind;
    if (f->fetching) {
      f->at = w->out;
      goto fetched;
    }
    f->access = (f->access & (uint8_t)~IMS_ACC_W) | (w->access & IMS_ACC_W);
    if ((f->access & IMS_ACC_QUERY) && !(w->perm2 & IMS_PERM_W))
      f->access &= (uint8_t)~IMS_ACC_W;

    // 13. The translation is cached; global ones for every ASID (3.17.1).
    if (s->base.caches >> IMS_CACHE_IOTLB & 1) {
      if (!f->bypass_s1 && has_asids(f->ste) && IMS_ATTR_GET(w->attr, IMS_ATTR_GLOBAL, 1)) {
        f->tlb_id = global_tag(f->tlb_id, f->cd->aset);
        s->global_entries = true;
      }
      IMS_FILL_TLB(f->state, 11, ims_xlate_describe(port, IMS_STRUCT_DATA, 0, 0, 0, req->iova), IMS_CACHE_IOTLB,
                   ims_tag_addr(f->iova, w->shift), f->tlb_id, .addr = w->out >> w->shift << w->shift,
                   .shift = w->shift, .perm1 = w->perm1, .perm2 = w->perm2, .flags = w->flags, .attr = w->attr);
    }
    if (f->split && req->type == IMS_TRANSLATION_REQUEST) {
      res->output_ipa = true;
      return answer(s, req, res, f, w->st2.in, w->shift, w->perm1, w->perm2, w->attr);
    }
    return answer(s, req, res, f, w->out, w->shift, w->perm1, w->perm2, w->attr);
  }
  return IMS_STEP_DONE;
}

IMS_INLINE void begin(const struct smmuv3 *s, const struct ims_request *req, struct ims_result *res,
                      struct smmu_flight *f) {
  *res = (struct ims_result){0};
  f->state = 0;
  f->fetching = 0;
  f->split = f->wants_stall = f->bypass_s1 = false;
  f->side = 0;
  f->ssid = 0;
  f->iova = req->iova;
  f->ste = NULL;
  f->cd = NULL;
  // What has no PASID is data and unprivileged on PCIe; other masters say themselves (3.9).
  f->access = req->access & (uint8_t)(IMS_ACC_R | IMS_ACC_W | IMS_ACC_X | IMS_ACC_PRIV);
  if (f->access & IMS_ACC_W)
    f->access &= (uint8_t)~IMS_ACC_X; // a write is never an instruction access
  if (!(f->access & (IMS_ACC_R | IMS_ACC_W | IMS_ACC_X)))
    f->access |= IMS_ACC_R;
  if (req->type == IMS_TRANSLATION_REQUEST) {
    // 13.7: reading always, writing unless NW; execution and privilege come with a PASID.
    unsigned pasid = req->has_pasid ? req->access & (IMS_ACC_X | IMS_ACC_PRIV) : 0u;
    f->access = (uint8_t)(IMS_ACC_QUERY | IMS_ACC_R | (req->no_write ? 0u : (unsigned)IMS_ACC_W) | pasid);
  }
  (void)s;
}

void smmu_begin(struct ims_xlate *x) { begin(smmu_of(x->iommu), x->req, x->res, smmu_flight_of(x)); }

static const struct ims_xlate_hooks asking = {.walk = {.vmsa = true}};

enum ims_step_kind smmu_step(struct ims_xlate *x) {
  enum ims_step_kind kind = advance(smmu_of(x->iommu), x->req, x->res, smmu_flight_of(x), &x->walk, &x->port, &asking);
  x->res->refs = x->port.refs;
  return kind;
}

static void finish(struct smmuv3 *s, const struct ims_request *req, struct ims_result *res,
                   const struct smmu_flight *f) {
  s->base.count.requests++;
  s->base.count.refs += res->refs;
  if (__builtin_expect(res->status != IMS_STATUS_FAULT, 1))
    return;
  s->base.count.faults++;
  if (f->wants_stall && smmu_stall(s, req->source, &res->stag)) {
    res->status = IMS_STATUS_STALL;
    res->completion = IMS_CPL_SUCCESS; // not completed yet
    put(res, IMS_SMMUV3_EVENT_STALL_FIELD, 1);
    put(res, IMS_SMMUV3_EVENT_STAG_FIELD, res->stag);
  }
  if (!res->recorded)
    return;
  s->base.count.faults_recorded++;
  smmu_event(s, res->record, f->ste && f->ste->mev);
}

void smmu_finish(struct ims_xlate *x) { finish(smmu_of(x->iommu), x->req, x->res, smmu_flight_of(x)); }

static void run(struct smmuv3 *s, const struct ims_request *req, struct ims_result *res, struct smmu_flight *f) {
  static const struct ims_xlate_hooks in_place = IMS_XLATE_IN_PLACE(true);
  struct ims_walk w;
  struct ims_port port;
  port.refs = 0;
  begin(s, req, res, f);
  w.state = 0;
  advance(s, req, res, f, &w, &port, &in_place);
  res->refs = port.refs;
}

void smmu_translate(struct ims_iommu *u, const struct ims_request *req, struct ims_result *res) {
  struct smmuv3 *s = smmu_of(u);
  struct smmu_flight f;
  run(s, req, res, &f);
  finish(s, req, res, &f);
}

unsigned smmu_find_ste(struct smmuv3 *s, uint32_t sid, struct smmu_ste *ste) {
  struct ims_request req = {.source = sid, .type = IMS_PAGE_REQUEST};
  struct ims_result res;
  struct smmu_flight f;
  ims_iommu_tenant(&s->base, sid);
  run(s, &req, &res, &f);
  if (res.status == IMS_STATUS_FAULT)
    return res.fault;
  *ste = f.ste ? *f.ste : (struct smmu_ste){.config = SMMU_CONFIG_ABORT};
  return 0;
}
