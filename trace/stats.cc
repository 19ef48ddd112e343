// SPDX-License-Identifier: Apache-2.0
// Statistics: where the counts of the table come from.
#include "trace/stats.h"
#include "trace/names.h"
#include "trace/text.h"

namespace ims {

namespace {

const char *const cache_names[] = {
#define IMS_X(name, sentence) #name,
    IMS_CACHES(IMS_X)
#undef IMS_X
};

// The counts of one scope, named as the rows of the table.
struct Counts {
  PlayCounters run;
  ims_kernel_counters kernel = {};
  const ims_iommu_counters *unit = nullptr;
  const ims_cache *cache = nullptr;
  const ims_endpoint_counters *device = nullptr;
  uint64_t fault = 0;
};

uint64_t sum(const std::map<std::pair<const Arch *, unsigned>, uint64_t> &m) {
  uint64_t n = 0;
  for (const auto &[code, count] : m)
    n += count;
  return n;
}

#define RUN_events                   c.run.events
#define RUN_expectations             c.run.expectations
#define RUN_expectations_failed      c.run.failed
#define RUN_dmas                     c.run.dmas
#define RUN_translations             c.run.translations
#define RUN_references               c.run.references
#define RUN_references_mean          c.run.references // divided by the requests
#define RUN_references_max           c.run.references_max
#define RUN_references_configuration c.run.configuration
#define RUN_references_first_stage   c.run.first_stage
#define RUN_references_second_stage  c.run.second_stage
#define RUN_faults                   sum(c.run.faults)
#define RUN_descriptors              c.run.descriptors
#define KERNEL_descriptors           c.kernel.descriptors
#define KERNEL_waits                 c.kernel.waits
#define KERNEL_mmio_writes           c.kernel.mmio_writes
#define KERNEL_entries_written       c.kernel.entries_written
#define KERNEL_faults                c.kernel.faults
#define KERNEL_page_requests         c.kernel.page_requests
#define KERNEL_page_responses        c.kernel.page_responses
#define KERNEL_queue_errors          c.kernel.queue_errors
#define UNIT_requests                c.unit->requests
#define UNIT_references              c.unit->refs
#define UNIT_faults                  c.unit->faults
#define UNIT_faults_recorded         c.unit->faults_recorded
#define UNIT_updates                 c.unit->updates
#define CACHE_entries                c.cache->entries
#define CACHE_hits                   c.cache->count.hits
#define CACHE_misses                 c.cache->count.misses
#define CACHE_fills                  c.cache->count.fills
#define CACHE_evictions              c.cache->count.evictions
#define CACHE_invalidated            c.cache->count.invalidated
#define DEVICE_dmas                  c.device->dmas
#define DEVICE_pieces                c.device->pieces
#define DEVICE_bytes                 c.device->bytes
#define DEVICE_untranslated          c.device->untranslated
#define DEVICE_translation_requests  c.device->translation_requests
#define DEVICE_translated            c.device->translated
#define DEVICE_atc_hits              c.device->atc_hits
#define DEVICE_atc_misses            c.device->atc_misses
#define DEVICE_refused               c.device->refused
#define DEVICE_no_rights             c.device->no_rights
#define DEVICE_no_memory             c.device->no_memory
#define DEVICE_invalidations         c.device->invalidations
#define DEVICE_invalidated           c.device->invalidated
#define DEVICE_page_requests         c.device->page_requests
#define DEVICE_responses             c.device->responses
#define DEVICE_unexpected_responses  c.device->unexpected_responses
#define FAULT_requests               c.fault

enum Scope { RUN, KERNEL, UNIT, CACHE, DEVICE, FAULT };

void add(std::vector<Statistic> *all, Scope scope, const std::string &object, const Counts &c) {
  auto row = [&](Scope s, const char *name, const char *unit, const char *sentence, auto value) {
    if (s == scope)
      all->push_back({object, name, unit, sentence, Statistic::COUNT, static_cast<uint64_t>(value())});
  };
#define IMS_X(s, name, unit, sentence) row(s, #name, unit, sentence, [&] { return s##_##name; });
  IMS_STATISTICS(IMS_X)
#undef IMS_X
}

} // namespace

std::string cache_short_name(const Arch &arch, unsigned cache) {
  for (const auto &[id, name] : arch.caches)
    if (cache == id)
      return std::string(name).substr(0, std::string_view(name).find(' '));
  if (cache < IMS_CACHE_S1_L2 || cache > IMS_CACHE_S2_L5)
    return cache_names[cache];
  bool second = cache >= IMS_CACHE_S2_L2;
  return format("S%d_L%d", second ? 2 : 1, arch.level(cache - (second ? IMS_CACHE_S2_L2 : IMS_CACHE_S1_L2) + 2u));
}

std::vector<Statistic> collect_statistics(const Player &player) {
  std::vector<Statistic> all;
  Counts c;
  c.run = player.counters();
  add(&all, RUN, "", c);
  for (Statistic &s : all)
    if (std::string_view(s.name) == "references_mean") {
      s.kind = Statistic::MEAN;
      s.of = c.run.translations;
    }
  if (player.kernel()) {
    ims_kernel_count(player.kernel(), &c.kernel);
    add(&all, KERNEL, "kernel", c);
  }
  for (const UnitView &u : player.units()) {
    c.unit = &u.unit->count;
    add(&all, UNIT, u.name, c);
    for (unsigned i = 0; i < IMS_CACHE_COUNT; i++) {
      c.cache = &u.unit->cache[i];
      if (c.cache->entries)
        add(&all, CACHE, u.name + "." + cache_short_name(*u.arch, i), c);
    }
  }
  for (const DeviceView &d : player.devices()) {
    c.device = &d.endpoint->count;
    add(&all, DEVICE, d.name, c);
  }
  for (const auto &[fault, count] : c.run.faults) {
    c.fault = count;
    const FaultInfo *info = fault.first->find_fault(fault.second);
    add(&all, FAULT, "fault." + (info ? info->name : hex(fault.second)), c);
  }
  return all;
}

} // namespace ims
