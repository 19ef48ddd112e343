// SPDX-License-Identifier: Apache-2.0
// Changing a stream table entry that the hardware is reading. An SMMU reads the 64 bytes in any order, and only 8 of them at
// once; it may keep what it read until CMD_CFGI_STE. So bits that the present configuration does not look at are changed
// first; then one word, if no other has a bit in use that differs; else the entry is made invalid in between, which aborts.
// Arm IHI 0070, 3.21.3 (updates of structures), 5.2 (which fields count when), 13.5 (attributes); Facts 4.2, step 7.
#include "uapi/smmuv3_ste.h"
#include <string.h>

enum { CONFIG_BYPASS = 4, CONFIG_S1_BIT = 1, CONFIG_S2_BIT = 2, CONFIG_ON_BIT = 4, S1DSS_BYPASS = 1 };

static void use(uint64_t used[IMS_STE_WORDS], enum ims_ste_field field) { ims_ste_set(used, field, ~0ull); }

static void use_all(uint64_t used[IMS_STE_WORDS], const uint8_t *fields, unsigned n) {
  for (unsigned i = 0; i < n; i++)
    use(used, (enum ims_ste_field)fields[i]);
}
#define USE(list) use_all(used, list, sizeof(list))

void ims_ste_used(const uint64_t ste[IMS_STE_WORDS], uint64_t used[IMS_STE_WORDS]) {
  // Of every stream that is not aborted.
  static const uint8_t any[] = {IMS_STE_DRE,    IMS_STE_CONT,    IMS_STE_DCP,     IMS_STE_MEV,
                                IMS_STE_NSCFG,  IMS_STE_PRIVCFG, IMS_STE_INSTCFG, IMS_STE_PMG,
                                IMS_STE_PARTID, IMS_STE_MPAM_NS, IMS_STE_MECID};
  // Of what passes stage 1 by.
  static const uint8_t incoming[] = {IMS_STE_MEMATTR, IMS_STE_MTCFG, IMS_STE_ALLOCCFG, IMS_STE_SHCFG};
  static const uint8_t stages[] = {IMS_STE_EATS, IMS_STE_PPAR, IMS_STE_S2VMID, IMS_STE_DPT_VMATCH};
  static const uint8_t s1[] = {IMS_STE_S1FMT,  IMS_STE_S1CONTEXTPTR, IMS_STE_S1CDMAX, IMS_STE_S1DSS,
                               IMS_STE_S1CIR,  IMS_STE_S1COR,        IMS_STE_S1CSH,   IMS_STE_S1PIE,
                               IMS_STE_S1MPAM, IMS_STE_S1STALLD,     IMS_STE_STRW};
  static const uint8_t s2[] = {
      IMS_STE_S2HWU59, IMS_STE_S2HWU60, IMS_STE_S2HWU61,   IMS_STE_S2HWU62,  IMS_STE_S2FWB,   IMS_STE_S2T0SZ,
      IMS_STE_S2SL0,   IMS_STE_S2IR0,   IMS_STE_S2OR0,     IMS_STE_S2SH0,    IMS_STE_S2TG,    IMS_STE_S2PS,
      IMS_STE_S2AA64,  IMS_STE_S2ENDI,  IMS_STE_S2AFFD,    IMS_STE_S2PTW,    IMS_STE_S2HD,    IMS_STE_S2HA,
      IMS_STE_S2S,     IMS_STE_S2R,     IMS_STE_S2HAFT,    IMS_STE_S2PIE,    IMS_STE_S2POE,   IMS_STE_S2NSW,
      IMS_STE_S2NSA,   IMS_STE_S2SL0_2, IMS_STE_S2DS,      IMS_STE_S2TTB,    IMS_STE_S2SKL,   IMS_STE_ASSUREDONLY,
      IMS_STE_TL0,     IMS_STE_TL1,     IMS_STE_VMSPTR,    IMS_STE_S_S2T0SZ, IMS_STE_S_S2SL0, IMS_STE_S_S2TG,
      IMS_STE_S2SW,    IMS_STE_S2SA,    IMS_STE_S_S2SL0_2, IMS_STE_S_S2TTB,  IMS_STE_S_S2SKL, IMS_STE_S2POI};
  unsigned config = (unsigned)IMS_STE_GET(ste, CONFIG);
  memset(used, 0, IMS_STE_BYTES);
  use(used, IMS_STE_V);
  if (!IMS_STE_GET(ste, V))
    return;
  use(used, IMS_STE_CONFIG);
  if (!(config & CONFIG_ON_BIT))
    return;
  USE(any);
  if (config != CONFIG_BYPASS)
    USE(stages);
  if (config & CONFIG_S1_BIT)
    USE(s1);
  if (config & CONFIG_S2_BIT)
    USE(s2);
  if (config != (CONFIG_ON_BIT | CONFIG_S1_BIT) || IMS_STE_GET(ste, S1DSS) == S1DSS_BYPASS)
    USE(incoming);
}

struct edit {
  uint64_t now[IMS_STE_WORDS];
  const struct ims_ste_editor *e;
  int err;
};

static void note(struct edit *s, int err) {
  if (err && !s->err)
    s->err = err;
}

// Words first to last, those that change; then the hardware is made to look, unless nothing did.
static void step(struct edit *s, const uint64_t to[IMS_STE_WORDS], unsigned first, unsigned last) {
  bool changed = false;
  for (unsigned i = first; i <= last; i++) {
    if (s->now[i] == to[i])
      continue;
    note(s, s->e->store(s->e->ctx, i, to[i]));
    s->now[i] = to[i];
    changed = true;
  }
  if (changed)
    note(s, s->e->sync(s->e->ctx));
}

int ims_ste_edit(const uint64_t old[IMS_STE_WORDS], const uint64_t target[IMS_STE_WORDS],
                 const struct ims_ste_editor *e) {
  struct edit s = {.e = e};
  uint64_t used_now[IMS_STE_WORDS], used_then[IMS_STE_WORDS], first[IMS_STE_WORDS];
  unsigned differ = 0, word = 0;
  memcpy(s.now, old, sizeof s.now);
  ims_ste_used(old, used_now);
  ims_ste_used(target, used_then);
  for (unsigned i = 0; i < IMS_STE_WORDS; i++) {
    first[i] = (old[i] & used_now[i]) | (target[i] & ~used_now[i]);
    if ((first[i] ^ target[i]) & used_then[i]) {
      differ++;
      word = i;
    }
  }
  if (differ > 1) {
    const uint64_t invalid[IMS_STE_WORDS] = {0};
    step(&s, invalid, 0, 0);
    step(&s, target, 1, IMS_STE_WORDS - 1);
    step(&s, target, 0, 0);
    return s.err;
  }
  if (differ) {
    first[word] = old[word]; // it is written whole in the next step
    step(&s, first, 0, IMS_STE_WORDS - 1);
    step(&s, target, word, word);
  }
  step(&s, target, 0, IMS_STE_WORDS - 1); // what nobody looks at any more
  return s.err;
}
