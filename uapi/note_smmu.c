// SPDX-License-Identifier: Apache-2.0
// What the SMMU drivers did, in words: registers by the rows of iommu/smmuv3/regs.h and iommu/smmuv2/regs.h, STEs and CDs by
// those of pasid/smmu.h, commands and events by those of iommu/smmuv3/commands.h and events.h.
#include "iommu/smmuv2/faults.h"
#include "iommu/smmuv2/regs.h"
#include "iommu/smmuv3/commands.h"
#include "iommu/smmuv3/events.h"
#include "iommu/smmuv3/regs.h"
#include "pasid/smmu.h"
#include "uapi/note_internal.h"
#include <string.h>

typedef unsigned long long ull;

static uint64_t bits(uint64_t w, unsigned high, unsigned low) { return w >> low & (~0ull >> (63 - (high - low))); }

static bool is_address(const char *sentence) { return strstr(sentence, "address") || strstr(sentence, "table"); }

static void registers(struct text *t, const struct ims_note *n, const struct ims_reg_info *info, unsigned count,
                      const struct ims_reg_field *fields, unsigned field_count, const char *name) {
  unsigned reg = 0;
  bool first = true;
  while (reg < count && strcmp(info[reg].name, name))
    reg++;
  for (unsigned i = 0; i < field_count; i++) {
    const struct ims_reg_field *f = &fields[i];
    if (f->reg == reg)
      ims_say_field(t, &first, f->name, f->high - f->low + 1u, bits(n->word[0], f->high, f->low),
                    f->high - f->low >= 32 && is_address(f->sentence) ? f->low : 0);
  }
}

static void mmio(struct text *t, const struct ims_note *n) {
  static const char bank[] = "CB_";
  ims_say(t, "write %s (0x%llx) = 0x%llx", n->what, (ull)n->addr, (ull)n->word[0]);
  if (n->arch == IMS_ARCH_SMMUV3) {
    registers(t, n, ims_smmuv3_regs, IMS_SMMUV3_REG_COUNT, ims_smmuv3_fields, ims_smmuv3_field_count, n->what);
  } else if (!strncmp(n->what, bank, sizeof bank - 1)) {
    registers(t, n, ims_smmuv2_cb_regs, IMS_SMMUV2_CB_COUNT, ims_smmuv2_cb_fields, ims_smmuv2_cb_field_count,
              n->what + sizeof bank - 1);
  } else { // names differ between the two global pages
    registers(t, n, ims_smmuv2_gr0_regs, IMS_SMMUV2_GR0_COUNT, ims_smmuv2_gr0_fields, ims_smmuv2_gr0_field_count,
              n->what);
    registers(t, n, ims_smmuv2_gr1_regs, IMS_SMMUV2_GR1_COUNT, ims_smmuv2_gr1_fields, ims_smmuv2_gr1_field_count,
              n->what);
  }
}

// One word of a structure by its rows. `from`: bit of the structure at which the word begins.
static void rows(struct text *t, uint64_t word, unsigned from, const struct ims_smmu_field *fields, unsigned count) {
  bool first = true;
  for (unsigned i = 0; i < count; i++) {
    const struct ims_smmu_field *f = &fields[i];
    if (f->lsb / 64 != from / 64)
      continue;
    unsigned low = f->lsb % 64;
    bool address = f->width >= 44 && is_address(f->sentence);
    // S2TTB, TTB0 and TTB1 are address bits from 4 on, in their place.
    ims_say_field(t, &first, f->name, f->width, bits(word, low + f->width - 1u, low), address ? low : 0);
  }
}

static void table(struct text *t, const struct ims_note *n) {
  unsigned from = (unsigned)(n->addr % 64) * 8;
  ims_say(t, "store %s", n->what);
  if (n->source != ~0u)
    ims_say(t, " of stream 0x%x", n->source);
  ims_say(t, " at 0x%llx = 0x%llx", (ull)n->addr, (ull)n->word[0]);
  if (!strcmp(n->what, "STE"))
    rows(t, n->word[0], from, ims_ste_fields, IMS_STE_FIELD_COUNT);
  else if (!strcmp(n->what, "CD"))
    rows(t, n->word[0], from, ims_cd_fields, IMS_CD_FIELD_COUNT);
  else if (!strcmp(n->what, "level-1 CD descriptor"))
    rows(t, n->word[0], 0, ims_cd_l1_fields, IMS_CD_L1_FIELD_COUNT);
  else if (!strcmp(n->what, "level-1 stream table descriptor"))
    rows(t, n->word[0], 0, ims_stream_l1_fields, IMS_STREAM_L1_FIELD_COUNT);
}

static void command(struct text *t, const struct ims_note *n) {
  const struct ims_smmuv3_command_info *info = ims_smmuv3_command_find((unsigned)n->word[0] & 0xff);
  bool first = true;
  if (!info) {
    ims_say(t, "queue command 0x%llx", (ull)n->word[0] & 0xff);
    return;
  }
  ims_say(t, "queue CMD_%s", info->name);
  for (unsigned i = 1; i < IMS_SMMUV3_COMMAND_FIELD_COUNT; i++) {
    const struct ims_smmuv3_command_place *p = &ims_smmuv3_command_places[i];
    if (info->fields >> i & 1)
      ims_say_field(t, &first, p->name, p->bits, ims_smmuv3_command_get(n->word, (enum ims_smmuv3_command_field)i),
                    p->bits >= 52 ? (p->low == 66 ? 2 : 12) : 0);
  }
}

static void event(struct text *t, const struct ims_note *n) {
  const struct ims_smmuv3_event_info *info = ims_smmuv3_event_find((unsigned)n->word[0] & 0xff);
  bool first = true;
  if (!info) {
    ims_say(t, "event 0x%llx", (ull)n->word[0] & 0xff);
    return;
  }
  ims_say(t, "event of stream 0x%x: %s, %s", n->source, info->name, info->sentence);
  for (unsigned i = 0; i < IMS_SMMUV3_EVENT_FIELD_COUNT; i++) {
    const struct ims_smmuv3_event_place *p = &ims_smmuv3_event_places[i];
    if (i == IMS_SMMUV3_EVENT_ID_FIELD || i == IMS_SMMUV3_EVENT_SID_FIELD || !(info->fields >> i & 1))
      continue;
    unsigned shift = i == IMS_SMMUV3_EVENT_IPA_FIELD ? 12 : i == IMS_SMMUV3_EVENT_FETCH_FIELD ? 3 : 0;
    uint64_t value = ims_smmuv3_event_get(n->word, (enum ims_smmuv3_event_field)i);
    if (i == IMS_SMMUV3_EVENT_INPUT_FIELD) {
      ims_say(t, "%sINPUT 0x%llx", first ? ": " : ", ", (ull)value);
      first = false;
    } else {
      ims_say_field(t, &first, p->name, p->bits, value, shift);
    }
  }
}

static void bank_fault(struct text *t, const struct ims_note *n) {
  uint32_t fsr = (uint32_t)n->word[0];
  bool global = !strcmp(n->what, "global fault"), any = false;
  ims_say(t, "%s of stream 0x%x:", n->what, n->source);
  for (unsigned bit = 0; bit < 9; bit++) {
    const struct ims_smmuv2_fault_info *f =
        fsr >> bit & 1 ? ims_smmuv2_fault_find(bit + (global ? IMS_SMMUV2_GLOBAL : 0)) : NULL;
    if (f)
      ims_say(t, "%s %s, %s", any ? ";" : "", f->name, f->sentence);
    any |= f != NULL;
  }
  ims_say(t, ": address 0x%llx, syndrome 0x%llx", (ull)n->word[1], (ull)n->word[2]);
  if (n->word[3])
    ims_say(t, ", IPA 0x%llx", (ull)n->word[3]);
  if (fsr >> 30 & 1)
    ims_say(t, ", stalled");
}

static void page_request(struct text *t, const struct ims_note *n) {
  uint64_t w0 = n->word[0], w1 = n->word[1];
  ims_say(t, "page request of stream 0x%x", n->source);
  if (w0 >> 63)
    ims_say(t, ", substream %u", (unsigned)bits(w0, 51, 32));
  ims_say(t, ": 0x%llx,%s%s%s%s group %u%s", (ull)(w1 >> 12 << 12), w0 >> 60 & 1 ? " read" : "",
          w0 >> 61 & 1 ? " write" : "", w0 >> 59 & 1 ? " execute" : "", w0 >> 59 & 7 ? "," : "", (unsigned)(w1 & 0x1ff),
          w0 >> 62 & 1 ? ", last" : "");
}

void ims_note_smmu(struct text *t, const struct ims_note *n) {
  switch (n->kind) {
  case IMS_NOTE_MMIO_WRITE: mmio(t, n); break;
  case IMS_NOTE_TABLE: table(t, n); break;
  case IMS_NOTE_DESCRIPTOR: command(t, n); break;
  case IMS_NOTE_FAULT:
    if (n->arch == IMS_ARCH_SMMUV3)
      event(t, n);
    else
      bank_fault(t, n);
    break;
  case IMS_NOTE_PAGE_REQUEST: page_request(t, n); break;
  default: break;
  }
}
