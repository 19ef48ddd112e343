// SPDX-License-Identifier: Apache-2.0
// Several observers of one IOMMU: what it says is passed on to each, in the order in which they were added.
#pragma once

#include "model/iommu.h"

#include <vector>

namespace ims::model {

class Observers : public IommuObserver {
public:
  void add(IommuObserver *observer) { all_.push_back(observer); } // which has to live as long
  bool empty() const { return all_.empty(); }

  void arrived(Ticks t, uint64_t number, const ims_request &r) override {
    for (IommuObserver *o : all_)
      o->arrived(t, number, r);
  }
  void step(Ticks begin, Ticks end, uint64_t number, unsigned walker, ims_step_kind kind, const ims_step &s,
            bool hit) override {
    for (IommuObserver *o : all_)
      o->step(begin, end, number, walker, kind, s, hit);
  }
  void finished(Ticks t, uint64_t number, const ims_request &r, const ims_result &result) override {
    for (IommuObserver *o : all_)
      o->finished(t, number, r, result);
  }
  void left(Ticks t, uint64_t number) override {
    for (IommuObserver *o : all_)
      o->left(t, number);
  }
  void descriptor(Ticks begin, Ticks end, const ims_queue_item &item) override {
    for (IommuObserver *o : all_)
      o->descriptor(begin, end, item);
  }
  void state(Ticks t, unsigned walkers, unsigned pending, uint64_t hits, uint64_t misses) override {
    for (IommuObserver *o : all_)
      o->state(t, walkers, pending, hits, misses);
  }

private:
  std::vector<IommuObserver *> all_;
};

} // namespace ims::model
