// SPDX-License-Identifier: Apache-2.0
// What hardware would have counted. Not here, because the module does not have it: clocks (iommu_clocks, cycles: there is
// no clock, times are statistics), what was blocked (ats_blocked, iommu_mem_blocked), interrupt remapping (int_cache_*),
// and hpt_*, of which no description was at hand.
#include "model/iommu_counters.h"
#include "model/iommu_impl.h"

#include <cstring>

namespace ims::model {

namespace {

const ims_cache_counters &cache(const IommuImpl &i, unsigned id) { return i.unit_->cache[id].count; }

uint64_t looks(const IommuImpl &i, unsigned id) { return cache(i, id).hits + cache(i, id).misses; }

// The paging-structure caches of a stage are looked up together, from level 2 upwards until one hits: all that are looked
// up look into the lowest that is there.
uint64_t stage_looks(const IommuImpl &i, unsigned lowest) {
  for (unsigned id = lowest; id < lowest + 4; id++)
    if (i.unit_->cache[id].entries)
      return looks(i, id);
  return 0;
}
uint64_t stage_hits(const IommuImpl &i, unsigned lowest) {
  uint64_t hits = 0;
  for (unsigned id = lowest; id < lowest + 4; id++)
    hits += cache(i, id).hits;
  return hits;
}

// A first-level IOTLB asks the one behind it for what it has not.
uint64_t iotlb_hits(const IommuImpl &i) { return cache(i, IMS_CACHE_UTLB).hits + cache(i, IMS_CACHE_IOTLB).hits; }
uint64_t iotlb_misses(const IommuImpl &i) { return cache(i, IMS_CACHE_IOTLB).misses; }

bool is_table(unsigned what) { return what == IMS_STRUCT_S1_TABLE || what == IMS_STRUCT_S2_TABLE; }
uint64_t reads(const IommuImpl &i, bool tables) {
  uint64_t sum = 0;
  for (unsigned what = 0; what < IMS_STRUCT_COUNT; what++)
    for (uint64_t n : i.reads_by_[what])
      sum += is_table(what) == tables ? n : 0;
  return sum;
}

using I = const IommuImpl &;

const HardwareCounters perfmon = {
    "vtd",
    "perfmon",
    {
        {"iommu_requests", "requests", "that arrived: DMAs, translation requests, translated requests", "requests",
         [](I i) { return i.count_.requests; }},
        {"pw_occupancy", "ps", "of page walks under way, summed; hardware counts clocks", "busy_ps",
         [](I i) { return i.count_.busy_ps; }},
        {"iommu_mrds", "reads", "of memory by the unit", "walk_reads, and reads of the queue",
         [](I i) { return i.count_.walk_reads + i.queue_reads_; }},
        {"pg_req_posted", "requests", "for pages that were put into the page request queue",
         "page_requests that the unit took", [](I i) { return i.pages_taken_; }},
        {"ctxt_cache_lookup", "look-ups", "of the context cache", "hits + misses of the context cache",
         [](I i) { return looks(i, IMS_CACHE_CONTEXT); }},
        {"ctxt_cache_hit", "look-ups", "of the context cache that hit", "its hits",
         [](I i) { return cache(i, IMS_CACHE_CONTEXT).hits; }},
        {"pasid_cache_lookup", "look-ups", "of the PASID cache", "hits + misses of the PASID cache",
         [](I i) { return looks(i, IMS_CACHE_PASID); }},
        {"pasid_cache_hit", "look-ups", "of the PASID cache that hit", "its hits",
         [](I i) { return cache(i, IMS_CACHE_PASID).hits; }},
        {"ss_nonleaf_lookup", "look-ups", "of second-stage paging structures",
         "hits + misses of the lowest second-stage paging-structure cache",
         [](I i) { return stage_looks(i, IMS_CACHE_S2_L2); }},
        {"ss_nonleaf_hit", "look-ups", "of second-stage paging structures that hit at any level",
         "hits of all second-stage paging-structure caches", [](I i) { return stage_hits(i, IMS_CACHE_S2_L2); }},
        {"fs_nonleaf_lookup", "look-ups", "of first-stage paging structures",
         "hits + misses of the lowest first-stage paging-structure cache",
         [](I i) { return stage_looks(i, IMS_CACHE_S1_L2); }},
        {"fs_nonleaf_hit", "look-ups", "of first-stage paging structures that hit at any level",
         "hits of all first-stage paging-structure caches", [](I i) { return stage_hits(i, IMS_CACHE_S1_L2); }},
        {"iotlb_lookup", "look-ups", "of the IOTLB", "hits + misses of the IOTLB, hits of its first level",
         [](I i) { return iotlb_hits(i) + iotlb_misses(i); }},
        {"iotlb_hit", "look-ups", "of the IOTLB that hit", "hits of the IOTLB and of its first level", iotlb_hits},
    }};

const HardwareCounters pmcg = {
    "smmuv3",
    "pmcg",
    {
        {"transaction", "requests", "that arrived: DMAs, translation requests, translated requests", "requests",
         [](I i) { return i.count_.requests; }},
        {"tlb_miss", "look-ups", "of the TLB that missed", "misses of the IOTLB behind its first level", iotlb_misses},
        {"config_cache_miss", "look-ups", "of the configuration cache that missed",
         "misses of the caches of STEs and CDs",
         [](I i) { return cache(i, IMS_CACHE_CONTEXT).misses + cache(i, IMS_CACHE_PASID).misses; }},
        {"trans_table_walk_access", "reads", "of translation tables, those for the address of a CD included",
         "walk_reads of first-stage and second-stage tables", [](I i) { return reads(i, true); }},
        {"config_struct_access", "reads", "of stream tables and CDs", "the other walk_reads",
         [](I i) { return reads(i, false); }},
        {"pcie_ats_trans_rq", "requests", "for translations that were answered", "requests of this type",
         [](I i) { return i.ats_requests_; }},
        {"pcie_ats_trans_passed", "requests", "with a translated address that passed", "requests of this type",
         [](I i) { return i.ats_passed_; }},
    }};

} // namespace

const std::vector<HardwareCounters> &hardware_counters() {
  static const std::vector<HardwareCounters> all = {perfmon, pmcg};
  return all;
}

void IommuImpl::collect_hardware(StatisticSink &s) const {
  for (const HardwareCounters &h : hardware_counters()) {
    if (!unit_ || std::strcmp(unit_->ops->arch, h.arch) != 0)
      continue;
    const std::string object = std::string(module_.name()) + "." + h.object;
    for (const HardwareCounter &c : h.rows)
      s.count(object, c.name, c.unit, c.sentence, c.value(*this));
  }
}

} // namespace ims::model
