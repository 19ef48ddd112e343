// SPDX-License-Identifier: Apache-2.0
// What the drivers did, in words. Here VT-d's: registers by the rows of iommu/vtd/regs.h, PASID entries by those of
// pasid/vtd.h, descriptors and requests by their layouts (VT-d rev 4.1, 6.5.2, 7.7).
#include "iommu/vtd/faults.h"
#include "iommu/vtd/regs.h"
#include "pasid/vtd.h"
#include "uapi/note_internal.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void ims_say(struct text *t, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  size_t left = t->len < t->size ? t->size - t->len : 0;
  int n = vsnprintf(left ? t->buf + t->len : NULL, left, fmt, ap);
  va_end(ap);
  if (n > 0)
    t->len += (size_t)n;
}

void ims_say_field(struct text *t, bool *first, const char *name, unsigned width, uint64_t value,
                   unsigned address_shift) {
  if (!value)
    return;
  ims_say(t, *first ? ": " : ", ");
  *first = false;
  if (width == 1)
    ims_say(t, "%s", name);
  else if (address_shift || width > 32)
    ims_say(t, "%s 0x%llx", name, (unsigned long long)value << address_shift);
  else
    ims_say(t, "%s %llu", name, (unsigned long long)value);
}

static void say_source(struct text *t, uint32_t source) {
  ims_say(t, "%02x:%02x.%x", source >> 8 & 0xff, source >> 3 & 31, source & 7);
}

typedef unsigned long long ull;

static uint64_t bits(uint64_t w, unsigned high, unsigned low) { return w >> low & (~0ull >> (63 - (high - low))); }

static void mmio(struct text *t, const struct ims_note *n) {
  unsigned reg = 0;
  ims_say(t, "write %s (0x%llx) = 0x%llx", n->what, (ull)n->addr, (ull)n->word[0]);
  while (reg < IMS_VTD_REG_COUNT && ims_vtd_regs[reg].offset != n->addr)
    reg++;
  bool first = true;
  for (unsigned i = 0; i < ims_vtd_field_count; i++) {
    const struct ims_reg_field *f = &ims_vtd_fields[i];
    uint64_t v = bits(n->word[0], f->high, f->low);
    if (f->reg != reg || n->bytes * 8u <= f->high)
      continue;
    // Addresses with the low bits that the field leaves out.
    bool address = strstr(f->sentence, "address") || strstr(f->sentence, "base") || strstr(f->sentence, "offset");
    if (v && address && f->high != f->low) {
      ims_say(t, "%s%s 0x%llx", first ? ": " : ", ", f->name, (ull)v << f->low);
      first = false;
    } else {
      ims_say_field(t, &first, f->name, f->high - f->low + 1u, v, 0);
    }
  }
}

static void pasid_word(struct text *t, const struct ims_note *n) {
  unsigned w = (unsigned)(n->addr / 8 % IMS_VTD_PE_WORDS);
  bool any = false;
  for (unsigned i = 0; i < IMS_VTD_PE_FIELD_COUNT; i++) {
    const struct ims_vtd_field *f = ims_vtd_pe_field((enum ims_pasid_field)i);
    if (f->lsb / 64 != w)
      continue;
    unsigned low = f->lsb % 64;
    uint64_t v = bits(n->word[0], low + f->width - 1u, low);
    if (!v)
      continue;
    ims_say(t, any ? ", " : ": ");
    any = true;
    if (i == IMS_VTD_PE_PGTT)
      ims_say(t, "PGTT %s", ims_vtd_pgtt_name((unsigned)v));
    else if (f->width == 1)
      ims_say(t, "%s", f->name);
    else if (f->width > 32)
      ims_say(t, "%s 0x%llx", f->name, (ull)v << 12);
    else
      ims_say(t, "%s %llu", f->name, (ull)v);
  }
}

static void table(struct text *t, const struct ims_note *n) {
  ims_say(t, "store %s", n->what);
  if (n->source != ~0u) {
    ims_say(t, " of ");
    say_source(t, n->source);
  }
  ims_say(t, " at 0x%llx = 0x%llx", (ull)n->addr, (ull)n->word[0]);
  if (!strcmp(n->what, "PASID table entry"))
    pasid_word(t, n);
}

static void range(struct text *t, uint64_t q1) {
  unsigned am = (unsigned)(q1 & 63);
  ims_say(t, ", %llu page%s from 0x%llx%s", am < 63 ? 1ull << am : 0, am ? "s" : "", (ull)(q1 >> 12 << 12),
          q1 >> 6 & 1 ? ", leaves only" : "");
}

// The size of a device-TLB invalidation stands in its address: the lowest zero bit.
static void device_range(struct text *t, uint64_t q1, bool s) {
  uint64_t page = q1 >> 12;
  unsigned ones = 0;
  while (s && ones < 52 && (page >> ones & 1))
    ones++;
  if (s && ones >= 51)
    ims_say(t, ", all addresses");
  else
    ims_say(t, ", %llu page%s from 0x%llx", s ? 2ull << ones : 1ull, s ? "s" : "",
            (ull)((s ? page >> (ones + 1) << (ones + 1) : page) << 12));
}

static void descriptor(struct text *t, const struct ims_note *n) {
  static const char *const pc[] = {"of a domain", "of a PASID", "reserved", "global"};
  uint64_t d = n->word[0], q1 = n->word[1];
  unsigned g = (unsigned)bits(d, 5, 4), did = (unsigned)bits(d, 31, 16), pasid = (unsigned)bits(d, 51, 32);
  ims_say(t, "queue ");
  switch ((d >> 9 & 7) << 4 | (d & 15)) {
  case 1:
    ims_say(t, "context-cache invalidation");
    if (g == 3) {
      ims_say(t, " of ");
      say_source(t, (uint32_t)bits(d, 47, 32));
    } else {
      ims_say(t, g == 2 ? " of domain %u" : ", global", did);
    }
    break;
  case 2:
    ims_say(t, "IOTLB invalidation");
    if (g == 1)
      ims_say(t, ", global");
    else
      ims_say(t, " of domain %u", did);
    if (g == 3)
      range(t, q1);
    break;
  case 3:
    ims_say(t, "device-TLB invalidation of ");
    say_source(t, (uint32_t)bits(d, 47, 32));
    device_range(t, q1, q1 & 1);
    break;
  case 4: ims_say(t, "interrupt entry cache invalidation"); break;
  case 5:
    ims_say(t, "invalidation wait");
    if (d & 1 << 6)
      ims_say(t, ", fence");
    if (d & 1 << 7)
      ims_say(t, ", page-request drain");
    if (d & 1 << 5)
      ims_say(t, ", status 0x%llx to 0x%llx", (ull)(d >> 32), (ull)q1);
    break;
  case 6:
    ims_say(t, "PASID-based IOTLB invalidation of domain %u, PASID %u", did, pasid);
    if (g == 3)
      range(t, q1);
    break;
  case 7:
    ims_say(t, "PASID-cache invalidation %s", pc[g]);
    if (g < 2)
      ims_say(t, ", domain %u", did);
    if (g == 1)
      ims_say(t, ", PASID %u", pasid);
    break;
  case 8:
    ims_say(t, "PASID-based device-TLB invalidation of ");
    say_source(t, did);
    ims_say(t, ", PASID %u", pasid);
    device_range(t, q1, q1 >> 11 & 1);
    break;
  case 9:
    ims_say(t, "page group response to ");
    say_source(t, did);
    if (d & 1 << 4)
      ims_say(t, ", PASID %u", pasid);
    ims_say(t, ", group %llu, %s", (ull)bits(q1, 11, 3),
            bits(d, 15, 12) == 0   ? "success"
            : bits(d, 15, 12) == 1 ? "invalid request"
                                   : "failure");
    break;
  default: ims_say(t, "descriptor of unknown type");
  }
}

static void fault(struct text *t, const struct ims_note *n) {
  static const char *const type[] = {"write", "page request", "read", "atomic operation"};
  uint64_t w1 = n->word[1];
  unsigned reason = (unsigned)bits(w1, 39, 32);
  const char *sentence = "unknown reason";
#define IMS_X(code, name, qualified, ats, text)                                                                        \
  if (reason == (code))                                                                                                \
    sentence = (text);
  IMS_VTD_FAULTS(IMS_X)
#undef IMS_X
  ims_say(t, "fault of ");
  say_source(t, (uint32_t)w1 & 0xffff);
  if (w1 >> 31 & 1)
    ims_say(t, ", PASID %u", (unsigned)bits(w1, 59, 40));
  ims_say(t, ": %s of 0x%llx, reason 0x%x: %s", type[(w1 >> 62 & 1) << 1 | (w1 >> 28 & 1)],
          (ull)(n->word[0] >> 12 << 12), reason, sentence);
}

static void page_request(struct text *t, const struct ims_note *n) {
  uint64_t w0 = n->word[0], w1 = n->word[1];
  ims_say(t, "page request of ");
  say_source(t, (uint32_t)bits(w0, 31, 16));
  if (w0 >> 8 & 1)
    ims_say(t, ", PASID %u", (unsigned)bits(w0, 51, 32));
  ims_say(t, ": 0x%llx,%s%s%s%s group %u%s", (ull)(w1 >> 12 << 12), w1 & 1 ? " read" : "", w1 & 2 ? " write" : "",
          w0 >> 52 & 1 ? " execute" : "", w1 & 3 ? "," : "", (unsigned)bits(w1, 11, 3), w1 & 4 ? ", last" : "");
}

size_t ims_note_text(const struct ims_note *n, char *buf, size_t size) {
  struct text t = {buf, size, 0};
  if (size)
    *buf = 0;
  if (n->arch != IMS_ARCH_VTD &&
      (n->kind <= IMS_NOTE_DESCRIPTOR || n->kind == IMS_NOTE_FAULT || n->kind == IMS_NOTE_PAGE_REQUEST)) {
    ims_note_smmu(&t, n);
    return t.len;
  }
  switch (n->kind) {
  case IMS_NOTE_MMIO_WRITE: mmio(&t, n); break;
  case IMS_NOTE_TABLE: table(&t, n); break;
  case IMS_NOTE_DESCRIPTOR: descriptor(&t, n); break;
  case IMS_NOTE_COMPLETE: ims_say(&t, "%s completed: status at 0x%llx", n->what, (ull)n->addr); break;
  case IMS_NOTE_INTERRUPT: ims_say(&t, "interrupt: %s", n->what); break;
  case IMS_NOTE_FAULT: fault(&t, n); break;
  case IMS_NOTE_PAGE_REQUEST: page_request(&t, n); break;
  case IMS_NOTE_LOG: ims_say(&t, "kernel: %s", n->text); break;
  default: ims_say(&t, "?");
  }
  return t.len;
}
