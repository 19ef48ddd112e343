// SPDX-License-Identifier: Apache-2.0
// Statistics of an untimed run: one row each with unit and sentence. What is counted, printed and documented comes from
// here. (Modules of the timed model have rows of their own: model/stats.h.)
#pragma once

#include "trace/player.h"
#include "trace/statistic.h"

namespace ims {

// X(scope, name, unit, sentence). Scopes: RUN once; KERNEL once, with a kernel; UNIT for each IOMMU; CACHE for each of its
// caches; DEVICE for each device; FAULT for each fault reason that came.
// clang-format off
#define IMS_STATISTICS(X)                                                                                          \
  X(RUN,    events,                "events",       "events of the trace that were carried out")                    \
  X(RUN,    expectations,          "expectations", "expectations that were checked")                               \
  X(RUN,    expectations_failed,   "expectations", "of these, those that did not hold")                            \
  X(RUN,    dmas,                  "DMAs",         "DMAs that devices issued")                                     \
  X(RUN,    translations,          "requests",     "requests that devices sent to IOMMUs")                         \
  X(RUN,    references,            "reads",        "memory reads made for them, configuration structures included") \
  X(RUN,    references_mean,       "reads",        "mean of a request")                                            \
  X(RUN,    references_max,        "reads",        "most of a request")                                            \
  X(RUN,    references_configuration, "reads",     "of root, context and PASID structures")                        \
  X(RUN,    references_first_stage,  "reads",      "of first-stage table entries")                                 \
  X(RUN,    references_second_stage, "reads",      "of second-stage table entries")                                \
  X(RUN,    faults,                "requests",     "requests that faulted")                                        \
  X(RUN,    descriptors,           "descriptors",  "put into invalidation queues by the trace itself")             \
  X(KERNEL, descriptors,           "descriptors",  "put into invalidation queues by the drivers")                  \
  X(KERNEL, waits,                 "descriptors",  "of these, waits")                                              \
  X(KERNEL, mmio_writes,           "writes",       "to registers, by the drivers")                                 \
  X(KERNEL, entries_written,       "words",        "stored to structures that hardware reads")                     \
  X(KERNEL, faults,                "records",      "fault records read")                                           \
  X(KERNEL, page_requests,         "requests",     "page requests read")                                           \
  X(KERNEL, page_responses,        "responses",    "page requests answered")                                       \
  X(KERNEL, queue_errors,          "errors",       "invalidation queue errors")                                    \
  X(UNIT,   requests,              "requests",     "requests that came in")                                        \
  X(UNIT,   references,            "reads",        "memory reads made for them")                                   \
  X(UNIT,   faults,                "requests",     "requests that faulted")                                        \
  X(UNIT,   faults_recorded,       "requests",     "of these, those for the fault log")                            \
  X(UNIT,   updates,               "updates",      "accessed and dirty bits set, attempts included")               \
  X(CACHE,  entries,               "entries",      "its size")                                                     \
  X(CACHE,  hits,                  "look-ups",     "that found what they looked for")                              \
  X(CACHE,  misses,                "look-ups",     "that did not")                                                 \
  X(CACHE,  fills,                 "entries",      "put in")                                                       \
  X(CACHE,  evictions,             "entries",      "that had to go for others")                                    \
  X(CACHE,  invalidated,           "entries",      "that invalidations removed")                                   \
  X(DEVICE, dmas,                  "DMAs",         "issued")                                                       \
  X(DEVICE, pieces,                "pieces",       "of them, cut at borders of 4 KB")                              \
  X(DEVICE, bytes,                 "bytes",        "that arrived")                                                 \
  X(DEVICE, untranslated,          "requests",     "untranslated requests sent")                                   \
  X(DEVICE, translation_requests,  "requests",     "translation requests sent")                                    \
  X(DEVICE, translated,            "requests",     "translated requests sent")                                     \
  X(DEVICE, atc_hits,              "look-ups",     "that the device TLB served")                                   \
  X(DEVICE, atc_misses,            "look-ups",     "that it did not")                                              \
  X(DEVICE, refused,               "pieces",       "that the unit refused")                                        \
  X(DEVICE, no_rights,             "pieces",       "for which the translation brought no right")                   \
  X(DEVICE, no_memory,             "pieces",       "whose output address holds no memory")                         \
  X(DEVICE, invalidations,         "messages",     "invalidations received")                                       \
  X(DEVICE, invalidated,           "entries",      "that they removed from the device TLB")                        \
  X(DEVICE, page_requests,         "requests",     "page requests sent")                                           \
  X(DEVICE, responses,             "messages",     "page responses received")                                      \
  X(DEVICE, unexpected_responses,  "messages",     "responses to no outstanding request")                          \
  X(FAULT,  requests,              "requests",     "requests that ended with this reason")
// clang-format on

// All of a run, in the order of the table, objects in the order of the trace.
std::vector<Statistic> collect_statistics(const Player &player);

// Short names of caches: "IOTLB", "S1_L2"; levels as the architecture counts.
std::string cache_short_name(const Arch &arch, unsigned cache);

} // namespace ims
