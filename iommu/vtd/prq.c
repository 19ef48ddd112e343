// SPDX-License-Identifier: Apache-2.0
// Page requests into the page request queue. VT-d rev 4.1, 7.4 to 7.11, 11.4.31 to 11.4.38.
#include "iommu/vtd/vtd_internal.h"

enum { RESPONSE_SUCCESS = 0, RESPONSE_FAILURE = 15 };

static void respond(const struct vtd *v, const struct ims_page_request *r, uint8_t code) {
  struct ims_page_response resp = {
      .source = r->source, .pasid = r->pasid, .has_pasid = r->has_pasid, .group = r->group, .code = code};
  if (r->last && v->base.bus.page_response)
    v->base.bus.page_response(v->base.bus.ctx, &resp);
}

// A page request means that the device found the page missing, so what is cached of it goes first (5.4, "implicit").
// Which domain it belongs to, only the PASID cache can say; without it the PASID alone must do.
static void forget_page(struct vtd *v, const struct ims_page_request *r, uint32_t pasid) {
  struct ims_tag key = {ims_tag_key((uint64_t)(r->source & 0xffff) << 20 | pasid), 1};
  struct ims_cache *pasids = &v->base.cache[IMS_CACHE_PASID];
  int64_t way = pasids->entries ? ims_cache_find(pasids, key.addr, key.id) : -1;
  struct ims_cache_match m = {
      .id = IMS_TAG_ID(0, pasid, 0),
      .id_mask = IMS_TAG_PASID_MASK,
      .first = r->addr >> 12 << 12,
      .last = r->addr | 0xfff,
  };
  if (way >= 0) {
    const struct vtd_stages *s = (const void *)(pasids->value + (size_t)way * pasids->value_size);
    m.id |= s->did;
    m.id_mask |= IMS_TAG_DOMAIN_MASK;
  }
  vtd_invalidate_first_stage(v, &m, true);
}

bool vtd_page_request(struct ims_iommu *u, const struct ims_page_request *r) {
  struct vtd *v = vtd_of(u);
  bool stop_marker = !r->read && !r->write && r->last;
  struct ims_request req = {
      .iova = r->addr,
      .source = r->source,
      .pasid = r->pasid,
      .has_pasid = r->has_pasid,
      .access = (uint8_t)((r->read ? IMS_ACC_R : 0) | (r->write ? IMS_ACC_W : 0) | (r->exec ? IMS_ACC_X : 0) |
                          (r->priv ? IMS_ACC_PRIV : 0)),
      .type = IMS_PAGE_REQUEST,
  };
  struct ims_result res;
  ims_translate(u, &req, &res);
  if (res.status != IMS_STATUS_OK) {
    if (!stop_marker)
      respond(v, r, RESPONSE_FAILURE);
    return false;
  }

  uint64_t size = 4096ull << IMS_VTD_GET(v->reg[IMS_VTD_PQA], PQA_PQS);
  uint64_t tail = v->reg[IMS_VTD_PQT] & (size - 1), next = (tail + 32) & (size - 1);
  bool pending = v->reg[IMS_VTD_PRS] & (IMS_VTD_BITS(PRS_PPR) | IMS_VTD_BITS(PRS_PRO));
  bool full = (v->reg[IMS_VTD_PRS] & IMS_VTD_BITS(PRS_PRO)) || next == (v->reg[IMS_VTD_PQH] & (size - 1));
  uint64_t entry[4] = {
      1 | (uint64_t)r->has_pasid << 8 | (uint64_t)(r->source & 0xffff) << 16 |
          (r->has_pasid ? (uint64_t)(r->pasid & 0xfffff) << 32 | (uint64_t)r->exec << 52 | (uint64_t)r->priv << 53 : 0),
      (uint64_t)r->read | (uint64_t)r->write << 1 | (uint64_t)r->last << 2 | (uint64_t)(r->group & 0x1ff) << 3 |
          r->addr >> 12 << 12,
      0,
      0,
  };
  if (v->cfg.revision < 4 && (r->private_data[0] || r->private_data[1])) {
    entry[0] |= 1 << 9;
    entry[2] = r->private_data[0];
    entry[3] = r->private_data[1];
  }
  if (!full) {
    forget_page(v, r, res.pasid);
    full = ims_mem_write(v->base.mem, IMS_VTD_GET(v->reg[IMS_VTD_PQA], PQA_PQA) * 4096 + tail, entry, sizeof entry) !=
           IMS_ERR_OK;
  }
  if (full) { // overflow: the device repeats what it is answered with success
    v->reg[IMS_VTD_PRS] |= IMS_VTD_BITS(PRS_PRO);
    if (!pending)
      vtd_event(v, IMS_VTD_PECTL);
    if (!stop_marker)
      respond(v, r, RESPONSE_SUCCESS);
    return false;
  }
  v->reg[IMS_VTD_PQT] = next;
  v->reg[IMS_VTD_PRS] |= IMS_VTD_BITS(PRS_PPR);
  if (!pending)
    vtd_event(v, IMS_VTD_PECTL);
  return true;
}
