// SPDX-License-Identifier: Apache-2.0
// The walk for callers that answer each question themselves, and the names of what it can say.
#include "pgtable/walk.h"
#include "pgtable/walk_impl.h"

enum ims_step_kind ims_walk_step(struct ims_walk *w, struct ims_port *port) {
  return ims_walk_advance(w, port, NULL, NULL);
}

static const char *pick(const char *const *names, unsigned count, unsigned i) { return i < count ? names[i] : "?"; }
#define PICK(names, i) pick(names, sizeof(names) / sizeof((names)[0]), i)

const char *ims_structure_name(unsigned structure) {
#define IMS_X(name, sentence) sentence,
  static const char *const names[] = {IMS_STRUCTURES(IMS_X)};
#undef IMS_X
  return PICK(names, structure);
}

const char *ims_cache_name(unsigned cache) {
#define IMS_X(name, sentence) sentence,
  static const char *const names[] = {IMS_CACHES(IMS_X)};
#undef IMS_X
  return PICK(names, cache);
}

const char *ims_step_kind_name(unsigned kind) {
  static const char *const names[] = {"read", "update", "probe", "fill", "done", "fault"};
  return PICK(names, kind);
}

const char *ims_walk_cause_name(unsigned cause) {
  static const char *const names[] = {
      "none",
      "address out of range",
      "access error",
      "not present",
      "reserved bit",
      "user access denied",
      "execution denied",
      "write denied",
      "read denied",
      "update needs snooping",
      "update failed",
      "result in the forbidden range",
      "address too large",
      "accessed flag clear",
      "walk through Device memory",
  };
  return PICK(names, cause);
}
