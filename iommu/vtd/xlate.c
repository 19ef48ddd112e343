// SPDX-License-Identifier: Apache-2.0
// One request through a VT-d unit: VT-d rev 4.1, 3.4 to 3.8 and 3.14, step by step in their order. The numbers in the
// comments are those of docs/vtd.md, "the order of checks".
#include "iommu/xlate_impl.h" // first: what it says to the compiler holds for what it includes

#include "iommu/vtd/vtd_internal.h"
#include "pasid/vtd.h"

static enum ims_step_kind refuse(const struct ims_request *req, struct ims_result *res, bool fpd, unsigned reason) {
  const struct ims_vtd_fault_info *info = ims_vtd_fault_find(reason);
  res->status = IMS_STATUS_FAULT;
  res->fault = (uint16_t)reason;
  res->completion = req->type == IMS_TRANSLATION_REQUEST ? info->ats : (uint8_t)IMS_CPL_UR;
  res->recorded = !(info->qualified && fpd) && res->completion != IMS_CPL_R0;
  res->record_words = 2;
  vtd_fault_words(res->record, req, reason);
  return IMS_STEP_FAULT;
}

static enum ims_step_kind block(struct ims_result *res) {
  res->status = IMS_STATUS_ABORT;
  res->completion = IMS_CPL_UR;
  return IMS_STEP_DONE;
}

static enum ims_step_kind identity(const struct ims_request *req, struct ims_result *res, unsigned status,
                                   unsigned rights, unsigned shift) {
  res->status = (uint8_t)status;
  res->completion = IMS_CPL_SUCCESS;
  res->output = req->iova;
  res->rights = (uint8_t)rights;
  res->shift = (uint8_t)shift;
  return IMS_STEP_DONE;
}

static bool in_interrupt_range(uint64_t addr) { return addr - VTD_INT_BASE < VTD_INT_SIZE; }

// VT-d 11.4.16: DMA must not reach the protected regions, whether translated or not.
static bool is_protected(const struct vtd *v, uint64_t hpa) {
  if (!(v->reg[IMS_VTD_PMEN] & IMS_VTD_BITS(PMEN_EPM)))
    return false;
  bool low = v->cfg.plmr && hpa >= v->reg[IMS_VTD_PLMBASE] && hpa <= (v->reg[IMS_VTD_PLMLIMIT] | 0xfffff);
  bool high = v->cfg.phmr && hpa >= v->reg[IMS_VTD_PHMBASE] && hpa <= (v->reg[IMS_VTD_PHMLIMIT] | 0xfffff);
  return low || high;
}

// The walk's cause in the words of chapter 7. Legacy mode knows fewer.
static unsigned reason_of(const struct ims_walk_fault *w, bool write, unsigned s1_levels, bool scalable) {
  bool table = w->during != IMS_FOR_PAGE;
  if (w->stage == 1) {
    switch (w->cause) {
    case IMS_WALK_RANGE: return IMS_VTD_FR_SGN_1;
    case IMS_WALK_ACCESS: return w->top ? IMS_VTD_FR_SFS_4 : IMS_VTD_FR_SFS_1;
    case IMS_WALK_NOT_PRESENT: return IMS_VTD_FR_SFS_2;
    case IMS_WALK_RESERVED: return IMS_VTD_FR_SFS_3;
    case IMS_WALK_USER: return IMS_VTD_FR_SGN_2;
    case IMS_WALK_EXEC: return IMS_VTD_FR_SGN_3;
    case IMS_WALK_WRITE: return IMS_VTD_FR_SGN_6;
    case IMS_WALK_AD_NOSNOOP: return IMS_VTD_FR_SFS_9;
    case IMS_WALK_AD_FAILED: return IMS_VTD_FR_SFS_10;
    default: return IMS_VTD_FR_SGN_8;
    }
  }
  switch (w->cause) {
  case IMS_WALK_RANGE: return !scalable ? IMS_VTD_FR_LGN_1 : table ? IMS_VTD_FR_SFS_5 : IMS_VTD_FR_SGN_5;
  case IMS_WALK_ACCESS:
    if (!scalable)
      return w->top ? IMS_VTD_FR_LCT_4 : IMS_VTD_FR_LSS_1;
    return w->top ? IMS_VTD_FR_SSS_4 : IMS_VTD_FR_SSS_1;
  case IMS_WALK_NOT_PRESENT: return scalable ? IMS_VTD_FR_SSS_2 : write ? IMS_VTD_FR_LGN_2 : IMS_VTD_FR_LGN_3;
  case IMS_WALK_RESERVED: return scalable ? IMS_VTD_FR_SSS_3 : IMS_VTD_FR_LSS_2;
  case IMS_WALK_EXEC: return IMS_VTD_FR_SGN_3;
  case IMS_WALK_WRITE: return !scalable ? IMS_VTD_FR_LGN_2 : table ? IMS_VTD_FR_SFS_8 : IMS_VTD_FR_SGN_6;
  case IMS_WALK_READ:
    if (!scalable)
      return IMS_VTD_FR_LGN_3;
    if (!table)
      return IMS_VTD_FR_SGN_7;
    return w->s1_level == s1_levels ? IMS_VTD_FR_SFS_6 : IMS_VTD_FR_SFS_7;
  case IMS_WALK_AD_NOSNOOP: return IMS_VTD_FR_SSS_5;
  case IMS_WALK_AD_FAILED: return IMS_VTD_FR_SSS_6;
  default: return scalable ? IMS_VTD_FR_SGN_8 : IMS_VTD_FR_LGN_4;
  }
}

// Reads a structure at f->at. Beyond the host address width there is nothing to read: the structure's access error.
#define READ_STRUCT(n, what, len)                                                                                      \
  IMS_READ_STRUCT(f->state, n, what, f->at, f->at, len, req->iova, !(f->at >> v->cfg.haw))
#define PROBE_STRUCT(n, what, cache, key, var, room) IMS_PROBE_STRUCT(f->state, n, what, cache, key, var, room)
#define FILL_STRUCT(n, what, cache, key, aux, room)  IMS_FILL_STRUCT(f->state, n, what, cache, key, aux, room)

#define SOURCE      (uint64_t)(req->source & 0xffff)
#define CONTEXT_KEY ims_tag_key(SOURCE)
#define PASID_KEY   ims_tag_key(SOURCE << 20 | f->pasid)

// Does a cached translation serve this request? VT-d 3.6.2, 3.7.2 allow to walk again where a right is missing.
IMS_INLINE bool iotlb_serves(const struct vtd_flight *f, const struct vtd_stages *s, const struct ims_tlb_value *t) {
  const unsigned all = IMS_PERM_R | IMS_PERM_W | IMS_PERM_U;
  const unsigned dirty = IMS_TLB_S1_DIRTY | IMS_TLB_S2_DIRTY;
  if (__builtin_expect((t->perm1 & t->perm2 & all) == all && !(f->access & IMS_ACC_X) && (t->flags & dirty) == dirty,
                       1))
    return true; // nothing is denied to anybody
  return ims_tlb_serves(s->s1.fmt ? &s->s1 : NULL, s->s2.fmt ? &s->s2 : NULL, f->access, t);
}

// What a cached entry that does not serve is answered with when rights are judged from the cache.
static unsigned iotlb_denies(const struct vtd_flight *f, const struct vtd_stages *s, const struct ims_tlb_value *t) {
  enum ims_deny d = s->s1.fmt ? ims_fs_judge(&s->s1, t->perm1, f->access) : IMS_DENY_NOTHING;
  if (d == IMS_DENY_NOTHING && s->s2.fmt)
    d = ims_ss_judge(&s->s2, t->perm2, f->access);
  switch (d) {
  case IMS_DENY_NOTHING: return 0;
  case IMS_DENY_USER: return IMS_VTD_FR_SGN_2;
  case IMS_DENY_EXEC: return IMS_VTD_FR_SGN_3;
  case IMS_DENY_WRITE: return f->scalable ? IMS_VTD_FR_SGN_6 : IMS_VTD_FR_LGN_2;
  default: return f->scalable ? IMS_VTD_FR_SGN_7 : IMS_VTD_FR_LGN_3;
  }
}

// Requests come in runs. When the requester is the one seen last, nobody else has looked into the context and PASID
// caches since, and no item went into or out of them, then steps 4 to 7 would hit both and find the same again. Ages do
// not change: those items are the youngest. Whoever does look forgets the requester.
IMS_INLINE uint64_t changes(const struct vtd *v) {
  return v->base.epoch + v->base.cache[IMS_CACHE_CONTEXT].count.fills + v->base.cache[IMS_CACHE_PASID].count.fills;
}

#define REQUESTER (SOURCE << 32 | req->pasid)

IMS_INLINE bool seen_last(struct vtd *v, const struct ims_request *req, struct vtd_flight *f) {
  if (v->last.who != REQUESTER || v->last.when != changes(v) || !v->last.context || !req->has_pasid ||
      req->type != IMS_UNTRANSLATED) {
    v->last.context = NULL;
    return false;
  }
  v->base.cache[IMS_CACHE_CONTEXT].count.hits++;
  v->base.cache[IMS_CACHE_PASID].count.hits++;
  f->context = v->last.context;
  f->stages = v->last.stages;
  f->fpd = f->stages->fpd;
  f->pasid = req->pasid;
  return true;
}

IMS_INLINE void remember(struct vtd *v, const struct ims_request *req, const struct vtd_flight *f) {
  bool cached = f->context != &f->context_room && f->stages != &f->stages_room &&
                !v->base.cache[IMS_CACHE_CONTEXT].plugged && !v->base.cache[IMS_CACHE_PASID].plugged;
  if (!cached || !req->has_pasid || req->type != IMS_UNTRANSLATED)
    return;
  v->last.who = REQUESTER;
  v->last.when = changes(v);
  v->last.context = f->context;
  v->last.stages = f->stages;
}

IMS_INLINE enum ims_step_kind answer(const struct vtd *v, struct ims_result *res, const struct vtd_flight *f,
                                     uint64_t out, unsigned shift, unsigned perm1, unsigned perm2, unsigned flags) {
  const struct vtd_stages *s = f->stages;
  if (__builtin_expect(v->reg[IMS_VTD_PMEN] != 0, 0) && is_protected(v, out))
    return block(res);
  res->status = IMS_STATUS_OK;
  res->completion = IMS_CPL_SUCCESS;
  res->output = out;
  res->shift = (uint8_t)shift;
  res->snoop = s->snoop || (flags & IMS_TLB_SNOOP);
  res->rights = (uint8_t)ims_walk_rights(&s->s1, &s->s2, perm1, perm2, f->access & IMS_ACC_PRIV);
  if ((f->access & IMS_ACC_QUERY) && !(f->access & IMS_ACC_W))
    res->rights &= (uint8_t)~IMS_PERM_W; // not asked for, so no dirty bit was set
  return IMS_STEP_DONE;
}

// Everything by pointer, so that the untimed run can keep it all in registers.
IMS_INLINE enum ims_step_kind advance(struct vtd *v, const struct ims_request *req, struct ims_result *res,
                                      struct vtd_flight *f, struct ims_walk *w, struct ims_port *port,
                                      const struct ims_xlate_hooks *now) {
  const struct ims_walk_hooks *h = now ? &now->walk : NULL;
  struct ims_iommu *ctx = &v->base;
  unsigned reason;

  switch (f->state) {
  case 0:
    // 1. Translation off: requests pass, translation requests do not.
    if (__builtin_expect(v->mode == VTD_OFF, 0)) {
      if (req->type == IMS_TRANSLATION_REQUEST || req->type == IMS_PAGE_REQUEST || is_protected(v, req->iova))
        return block(res);
      return identity(req, res, IMS_STATUS_BYPASS, IMS_PERM_R | IMS_PERM_W, 12);
    }

    // 2. The interrupt range on input (3.14): without PASID it is no DMA address.
    if (__builtin_expect(in_interrupt_range(req->iova), 0) && !req->has_pasid) {
      if (req->type == IMS_TRANSLATION_REQUEST) {
        res->untranslated_only = true;
        return identity(req, res, IMS_STATUS_OK, IMS_PERM_W, 20);
      }
      if (req->type == IMS_UNTRANSLATED) {
        if (!(req->access & IMS_ACC_W) || (req->access & IMS_ACC_R))
          return refuse(req, res, f->fpd, IMS_VTD_FR_IRT_9);
        return identity(req, res, IMS_STATUS_BYPASS, IMS_PERM_W, 20); // an interrupt message
      }
    }

    // 3. The mode (9.1).
    f->scalable = v->mode == VTD_SCALABLE;
    if (__builtin_expect(!f->scalable, 0)) {
      if (v->mode == VTD_ABORT)
        return block(res);
      if (v->mode == VTD_INVALID)
        return refuse(req, res, f->fpd, IMS_VTD_FR_RTA_1);
      if (req->type == IMS_PAGE_REQUEST)
        return refuse(req, res, f->fpd, IMS_VTD_FR_RTA_3);
      if (req->has_pasid)
        return refuse(req, res, f->fpd, IMS_VTD_FR_RTA_2);
    }

    if (IMS_NOW && __builtin_expect(seen_last(v, req, f), 1)) // with PASID, so in scalable mode
      goto found;

    // 4. The context entry, by way of the root entry.
    PROBE_STRUCT(1, IMS_STRUCT_CONTEXT_ENTRY, IMS_CACHE_CONTEXT, CONTEXT_KEY, f->context, f->context_room);
    if (!f->context) {
      f->at = v->root + (req->source >> 8 & 255) * 16;
      READ_STRUCT(2, IMS_STRUCT_ROOT_ENTRY, 16);
      if (!port->answer.ok)
        return refuse(req, res, f->fpd, f->scalable ? IMS_VTD_FR_SRT_1 : IMS_VTD_FR_LRT_1);
      unsigned devfn = req->source & 255;
      reason = vtd_decode_root(v, f->scalable, port->answer.data, devfn, &f->at);
      if (reason)
        return refuse(req, res, f->fpd, reason);
      f->at += f->scalable ? (devfn & 127) * 32 : devfn * 16;
      READ_STRUCT(3, IMS_STRUCT_CONTEXT_ENTRY, f->scalable ? 32 : 16);
      if (!port->answer.ok)
        return refuse(req, res, f->fpd, f->scalable ? IMS_VTD_FR_SCT_1 : IMS_VTD_FR_LCT_1);
      struct vtd_context *c = &f->context_room;
      reason = f->scalable ? vtd_decode_context(v, port->answer.data, c)
                           : vtd_decode_legacy_context(v, port->answer.data, req->type, c);
      f->fpd |= c->fpd;
      c->fault = (uint8_t)reason;
      // With CM=1 what faults may be cached too (6.1), but not what depends on the kind of request: that TT blocks it, and
      // an unsupported AW, which only those see that TT does not block.
      if (reason && (!v->cfg.cm || reason == IMS_VTD_FR_LCT_5 || reason == IMS_VTD_FR_LCT_4))
        return refuse(req, res, f->fpd, reason);
      f->context = c;
      FILL_STRUCT(4, IMS_STRUCT_CONTEXT_ENTRY, IMS_CACHE_CONTEXT, CONTEXT_KEY, SOURCE << 16 | f->context->stages.did,
                  f->context_room);
    }
    f->fpd |= f->context->fpd;
    if (__builtin_expect(f->context->fault != 0, 0))
      return refuse(req, res, f->fpd, f->context->fault);

    // 5. The kind of request.
    if (__builtin_expect(req->type != IMS_UNTRANSLATED, 0)) {
      if (req->type == IMS_PAGE_REQUEST && !f->context->pre)
        return refuse(req, res, f->fpd, IMS_VTD_FR_SCT_8);
      if (req->type != IMS_PAGE_REQUEST && !f->context->dte)
        return refuse(req, res, f->fpd, f->scalable ? IMS_VTD_FR_SCT_5 : IMS_VTD_FR_LCT_5);
      if (req->type == IMS_TRANSLATED) {
        if (req->iova >> v->cfg.haw)
          return refuse(req, res, f->fpd, f->scalable ? IMS_VTD_FR_SGN_4 : IMS_VTD_FR_LGN_1);
        if (in_interrupt_range(req->iova))
          return refuse(req, res, f->fpd, f->scalable ? IMS_VTD_FR_SGN_8 : IMS_VTD_FR_LGN_4);
        if (is_protected(v, req->iova))
          return block(res);
        return identity(req, res, IMS_STATUS_OK, IMS_PERM_R | IMS_PERM_W, 12);
      }
    }

    if (f->scalable) {
      // 6. The PASID: the request's own, or RID_PASID with the context entry's privilege.
      if (req->has_pasid) {
        if (!f->context->paside)
          return refuse(req, res, f->fpd, IMS_VTD_FR_SCT_6);
        if (req->pasid >= f->context->pasid_limit)
          return refuse(req, res, f->fpd, IMS_VTD_FR_SCT_7);
        f->pasid = req->pasid;
      } else {
        f->pasid = f->context->rid_pasid;
        f->access &= (uint8_t) ~(IMS_ACC_PRIV | IMS_ACC_X);
        f->access |= f->context->rid_priv ? IMS_ACC_PRIV : 0;
      }
      res->pasid = f->pasid;
      if (req->type == IMS_PAGE_REQUEST)
        return identity(req, res, IMS_STATUS_OK, 0, 12);

      // 7. The PASID entry, by way of the directory.
      PROBE_STRUCT(5, IMS_STRUCT_PASID_ENTRY, IMS_CACHE_PASID, PASID_KEY, f->stages, f->stages_room);
      if (!f->stages) {
        f->at = f->context->pasid_dir + ims_vtd_pasid_dir_index(f->pasid) * 8ull;
        READ_STRUCT(6, IMS_STRUCT_PASID_DIR, 8);
        if (!port->answer.ok)
          return refuse(req, res, f->fpd, IMS_VTD_FR_SPD_1);
        uint64_t dir = port->answer.data[0];
        f->fpd |= dir >> 1 & 1;
        if (!(dir & 1))
          return refuse(req, res, f->fpd, IMS_VTD_FR_SPD_2);
        if ((dir & 0xffc) || (dir >> 12 << 12) >> v->cfg.haw)
          return refuse(req, res, f->fpd, IMS_VTD_FR_SPD_3);
        f->at = (dir >> 12 << 12) + ims_vtd_pasid_table_index(f->pasid) * 64ull;
        READ_STRUCT(7, IMS_STRUCT_PASID_ENTRY, 64);
        if (!port->answer.ok)
          return refuse(req, res, f->fpd, IMS_VTD_FR_SPT_1);
        struct vtd_stages *s = &f->stages_room;
        reason = vtd_decode_pasid(v, port->answer.data, s);
        f->fpd |= s->fpd;
        s->fpd = f->fpd;
        // Second-stage translations belong to the domain alone, whichever PASID uses them (6.2.4).
        s->iotlb_id = IMS_TAG_ID(s->did, s->pgtt == VTD_PGTT_SECOND ? 0 : f->pasid, s->pgtt);
        s->fault = (uint8_t)reason;
        if (reason && !v->cfg.cm)
          return refuse(req, res, f->fpd, reason);
        f->stages = s;
        FILL_STRUCT(8, IMS_STRUCT_PASID_ENTRY, IMS_CACHE_PASID, PASID_KEY, IMS_TAG_ID(f->stages->did, f->pasid, 0),
                    f->stages_room);
      }
      f->fpd |= f->stages->fpd;
      if (__builtin_expect(f->stages->fault != 0, 0))
        return refuse(req, res, f->fpd, f->stages->fault);

      if (IMS_NOW)
        remember(v, req, f);

    found:
      res->pasid = f->pasid;
      // 8. Privileged and execute requests.
      if (f->stages->s1.fmt && __builtin_expect(f->access & (IMS_ACC_PRIV | IMS_ACC_X), 0)) {
        if ((f->access & IMS_ACC_X) && v->cfg.revision < 4 && !f->stages->ere)
          return refuse(req, res, f->fpd, IMS_VTD_FR_SPT_5);
        if ((f->access & IMS_ACC_PRIV) && !f->stages->sre)
          return refuse(req, res, f->fpd, IMS_VTD_FR_SPT_6);
      }
    } else {
      f->stages = &f->context->stages;
    }

    // 9. Pass-through.
    if (f->stages->pgtt == VTD_PGTT_PASSTHROUGH) {
      if (req->iova >> v->cfg.haw)
        return refuse(req, res, f->fpd, f->scalable ? IMS_VTD_FR_SGN_4 : IMS_VTD_FR_LGN_1);
      if (in_interrupt_range(req->iova))
        return refuse(req, res, f->fpd, f->scalable ? IMS_VTD_FR_SGN_8 : IMS_VTD_FR_LGN_4);
      res->snoop = f->stages->snoop;
      if (is_protected(v, req->iova))
        return block(res);
      return identity(req, res, IMS_STATUS_OK, IMS_PERM_R | IMS_PERM_W, 12);
    }

    // 10. The IOTLB.
    if (v->base.caches >> IMS_CACHE_IOTLB & 1) {
      IMS_PROBE_TLB(f->state, 9, ims_xlate_describe(port, IMS_STRUCT_DATA, 0, 0, 0, req->iova), IMS_CACHE_IOTLB,
                    req->iova, f->stages->iotlb_id);
      if (port->answer.hit) {
        const struct ims_tlb_value *t = &port->answer.value;
        uint64_t out = t->addr | (req->iova & ((1ull << t->shift) - 1));
        if (iotlb_serves(f, f->stages, t)) {
          if (in_interrupt_range(out))
            return refuse(req, res, f->fpd, f->scalable ? IMS_VTD_FR_SGN_8 : IMS_VTD_FR_LGN_4);
          return answer(v, res, f, out, t->shift, t->perm1, t->perm2, t->flags);
        }
        if (v->cfg.rights_from_cache && !(f->access & IMS_ACC_QUERY)) {
          reason = iotlb_denies(f, f->stages, t);
          if (reason)
            return refuse(req, res, f->fpd, reason);
        }
      }
    }

    // 11. The walk.
    w->s1 = f->stages->s1;
    w->s2 = f->stages->s2;
    w->in = req->iova;
    w->access = f->access;
    w->caches = v->base.caches;
    // A nested TLB entry of a domain without a first stage would be the IOTLB entry once more.
    if (!w->s1.fmt)
      w->caches &= ~(1u << IMS_CACHE_NESTED);
    w->psc_gpa = v->cfg.psc_gpa;
    w->id1 = f->stages->iotlb_id;
    w->id2 = IMS_TAG_ID(f->stages->did, 0, IMS_TAG_S2);
    w->deny_base = VTD_INT_BASE;
    w->deny_size = VTD_INT_SIZE;
    ims_walk_begin(w);
    f->state = 10;
    __attribute__((fallthrough));
  case 10:;
    enum ims_step_kind kind = ims_walk_advance(w, port, h, ctx);
    if (kind == IMS_STEP_FAULT) {
      res->walk = w->fault;
      return refuse(req, res, f->fpd, reason_of(&res->walk, req->access & IMS_ACC_W, w->s1.levels, f->scalable));
    }
    if (kind != IMS_STEP_DONE)
      return kind;
    f->access = (f->access & (uint8_t)~IMS_ACC_W) | (w->access & IMS_ACC_W);
    if ((f->access & IMS_ACC_QUERY) && !(w->perm2 & IMS_PERM_W))
      f->access &= (uint8_t)~IMS_ACC_W;

    // 12. The translation is cached, whatever the request was.
    if (v->base.caches >> IMS_CACHE_IOTLB & 1)
      IMS_FILL_TLB(f->state, 11, ims_xlate_describe(port, IMS_STRUCT_DATA, 0, 0, 0, req->iova), IMS_CACHE_IOTLB,
                   ims_tag_addr(req->iova, w->shift), f->stages->iotlb_id, .addr = w->out >> w->shift << w->shift,
                   .shift = w->shift, .perm1 = w->perm1, .perm2 = w->perm2, .flags = w->flags);
    return answer(v, res, f, w->out, w->shift, w->perm1, w->perm2, w->flags);
  }
  return IMS_STEP_DONE;
}

IMS_INLINE void begin(const struct vtd *v, const struct ims_request *req, struct ims_result *res,
                      struct vtd_flight *f) {
  *res = (struct ims_result){0};
  f->state = 0;
  f->fpd = 0;
  f->access = req->access;
  if ((req->access & IMS_ACC_X) && v->cfg.revision >= 4) // rev 4 knows no execute requests: a read
    f->access = (uint8_t)((req->access & ~IMS_ACC_X) | IMS_ACC_R);
  if (req->type == IMS_TRANSLATION_REQUEST) {
    f->access |= IMS_ACC_QUERY | IMS_ACC_R | IMS_ACC_W;
    if (req->no_write && v->cfg.nwfs)
      f->access &= (uint8_t)~IMS_ACC_W;
  }
}

void vtd_begin(struct ims_xlate *x) { begin(vtd_of(x->iommu), x->req, x->res, vtd_flight_of(x)); }

static const struct ims_xlate_hooks asking = {.walk = {.vmsa = false}};

enum ims_step_kind vtd_step(struct ims_xlate *x) {
  vtd_of(x->iommu)->last.context = NULL; // its probes are answered elsewhere
  enum ims_step_kind kind = advance(vtd_of(x->iommu), x->req, x->res, vtd_flight_of(x), &x->walk, &x->port, &asking);
  x->res->refs = x->port.refs;
  return kind;
}

static void finish(struct vtd *v, const struct ims_result *res) {
  v->base.count.requests++;
  v->base.count.refs += res->refs;
  if (__builtin_expect(res->status != IMS_STATUS_FAULT, 1))
    return;
  v->base.count.faults++;
  if (!res->recorded)
    return;
  v->base.count.faults_recorded++;
  vtd_fault_log(v, res->record);
}

void vtd_finish(struct ims_xlate *x) { finish(vtd_of(x->iommu), x->res); }

void vtd_translate(struct ims_iommu *u, const struct ims_request *req, struct ims_result *res) {
  static const struct ims_xlate_hooks in_place = IMS_XLATE_IN_PLACE(false);
  struct vtd *v = vtd_of(u);
  struct vtd_flight f;
  struct ims_walk w;
  struct ims_port port;
  port.refs = 0;
  begin(v, req, res, &f);
  w.state = 0;
  advance(v, req, res, &f, &w, &port, &in_place);
  res->refs = port.refs;
  finish(v, res);
}
