// SPDX-License-Identifier: Apache-2.0
#include "model/prefetch.h"
#include "model/iommu.h"

namespace ims::model {

namespace {

uint64_t stream_of(const ims_request &r) { return uint64_t{r.source} << 21 | (r.has_pasid ? 1u << 20 | r.pasid : 0u); }

ims_request at(const ims_request &r, uint64_t iova) {
  ims_request next = r;
  next.iova = iova;
  return next;
}

} // namespace

void Prefetcher::suggest(const ims_request &r, unsigned shift, bool missed, std::vector<ims_request> *out) {
  switch (policy_) {
  case PREFETCH_NEXT:
    if (missed)
      for (unsigned i = 1; i <= degree_; i++)
        out->push_back(at(r, ((r.iova >> shift) + i) << shift));
    break;
  case PREFETCH_STRIDE:
    if (missed)
      stride(r, out);
    break;
  case PREFETCH_TENANT: tenant(r, out); break;
  default: break;
  }
}

// Two misses of a stream that lie as far apart as the two before.
void Prefetcher::stride(const ims_request &r, std::vector<ims_request> *out) {
  Last &l = last_[stream_of(r)];
  int64_t distance = static_cast<int64_t>(r.iova - l.iova);
  if (l.seen && distance != 0 && distance == l.stride)
    for (unsigned i = 1; i <= degree_; i++)
      out->push_back(at(r, r.iova + static_cast<uint64_t>(distance) * i));
  l.stride = l.seen ? distance : 0;
  l.iova = r.iova;
  l.seen = true;
}

// Who came behind this tenant the last time will come behind it again, and go on where it was.
void Prefetcher::tenant(const ims_request &r, std::vector<ims_request> *out) {
  uint64_t me = stream_of(r);
  if (any_ && before_ == me)
    return;
  if (any_) {
    Tenant &before = tenants_[before_];
    before.successor = me;
    before.known = true;
  }
  tenants_[me].last = r;
  before_ = me;
  any_ = true;
  uint64_t who = me;
  for (unsigned i = 0; i < degree_; i++) {
    auto found = tenants_.find(who);
    if (found == tenants_.end() || !found->second.known || found->second.successor == me)
      break;
    who = found->second.successor;
    out->push_back(tenants_[who].last);
  }
}

} // namespace ims::model
