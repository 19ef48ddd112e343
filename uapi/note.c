// SPDX-License-Identifier: Apache-2.0
// What the driver did, in words: registers by the rows of iommu/vtd/regs.h, PASID entries by those of pasid/vtd.h,
// descriptors and requests by their layouts (VT-d rev 4.1, 6.5.2, 7.7).
#include "iommu/vtd/faults.h"
#include "iommu/vtd/regs.h"
#include "pasid/vtd.h"
#include "uapi/kernel.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text {
  char *buf;
  size_t size, len;
};

static void say(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct text *t, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  size_t left = t->len < t->size ? t->size - t->len : 0;
  int n = vsnprintf(left ? t->buf + t->len : NULL, left, fmt, ap);
  va_end(ap);
  if (n > 0)
    t->len += (size_t)n;
}

static void say_source(struct text *t, uint32_t source) {
  say(t, "%02x:%02x.%x", source >> 8 & 0xff, source >> 3 & 31, source & 7);
}

typedef unsigned long long ull;

static uint64_t bits(uint64_t w, unsigned high, unsigned low) { return w >> low & (~0ull >> (63 - (high - low))); }

static void mmio(struct text *t, const struct ims_note *n) {
  unsigned reg = 0;
  say(t, "write %s (0x%llx) = 0x%llx", n->what, (ull)n->addr, (ull)n->word[0]);
  while (reg < IMS_VTD_REG_COUNT && ims_vtd_regs[reg].offset != n->addr)
    reg++;
  bool any = false;
  for (unsigned i = 0; i < ims_vtd_field_count; i++) {
    const struct ims_reg_field *f = &ims_vtd_fields[i];
    uint64_t v = bits(n->word[0], f->high, f->low);
    if (f->reg != reg || !v || n->bytes * 8u <= f->high)
      continue;
    say(t, any ? ", " : ": ");
    any = true;
    if (f->high == f->low)
      say(t, "%s", f->name);
    else if (strstr(f->sentence, "address") || strstr(f->sentence, "base") || strstr(f->sentence, "offset"))
      say(t, "%s 0x%llx", f->name, (ull)v << f->low); // with the low bits that the field leaves out
    else
      say(t, "%s %llu", f->name, (ull)v);
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
    say(t, any ? ", " : ": ");
    any = true;
    if (i == IMS_VTD_PE_PGTT)
      say(t, "PGTT %s", ims_vtd_pgtt_name((unsigned)v));
    else if (f->width == 1)
      say(t, "%s", f->name);
    else if (f->width > 32)
      say(t, "%s 0x%llx", f->name, (ull)v << 12);
    else
      say(t, "%s %llu", f->name, (ull)v);
  }
}

static void table(struct text *t, const struct ims_note *n) {
  say(t, "store %s", n->what);
  if (n->source != ~0u) {
    say(t, " of ");
    say_source(t, n->source);
  }
  say(t, " at 0x%llx = 0x%llx", (ull)n->addr, (ull)n->word[0]);
  if (!strcmp(n->what, "PASID table entry"))
    pasid_word(t, n);
}

static void range(struct text *t, uint64_t q1) {
  unsigned am = (unsigned)(q1 & 63);
  say(t, ", %llu page%s from 0x%llx%s", am < 63 ? 1ull << am : 0, am ? "s" : "", (ull)(q1 >> 12 << 12),
      q1 >> 6 & 1 ? ", leaves only" : "");
}

// The size of a device-TLB invalidation stands in its address: the lowest zero bit.
static void device_range(struct text *t, uint64_t q1, bool s) {
  uint64_t page = q1 >> 12;
  unsigned ones = 0;
  while (s && ones < 52 && (page >> ones & 1))
    ones++;
  if (s && ones >= 51)
    say(t, ", all addresses");
  else
    say(t, ", %llu page%s from 0x%llx", s ? 2ull << ones : 1ull, s ? "s" : "",
        (ull)((s ? page >> (ones + 1) << (ones + 1) : page) << 12));
}

static void descriptor(struct text *t, const struct ims_note *n) {
  static const char *const pc[] = {"of a domain", "of a PASID", "reserved", "global"};
  uint64_t d = n->word[0], q1 = n->word[1];
  unsigned g = (unsigned)bits(d, 5, 4), did = (unsigned)bits(d, 31, 16), pasid = (unsigned)bits(d, 51, 32);
  say(t, "queue ");
  switch ((d >> 9 & 7) << 4 | (d & 15)) {
  case 1:
    say(t, "context-cache invalidation");
    if (g == 3) {
      say(t, " of ");
      say_source(t, (uint32_t)bits(d, 47, 32));
    } else {
      say(t, g == 2 ? " of domain %u" : ", global", did);
    }
    break;
  case 2:
    say(t, "IOTLB invalidation");
    if (g == 1)
      say(t, ", global");
    else
      say(t, " of domain %u", did);
    if (g == 3)
      range(t, q1);
    break;
  case 3:
    say(t, "device-TLB invalidation of ");
    say_source(t, (uint32_t)bits(d, 47, 32));
    device_range(t, q1, q1 & 1);
    break;
  case 4: say(t, "interrupt entry cache invalidation"); break;
  case 5:
    say(t, "invalidation wait");
    if (d & 1 << 6)
      say(t, ", fence");
    if (d & 1 << 7)
      say(t, ", page-request drain");
    if (d & 1 << 5)
      say(t, ", status 0x%llx to 0x%llx", (ull)(d >> 32), (ull)q1);
    break;
  case 6:
    say(t, "PASID-based IOTLB invalidation of domain %u, PASID %u", did, pasid);
    if (g == 3)
      range(t, q1);
    break;
  case 7:
    say(t, "PASID-cache invalidation %s", pc[g]);
    if (g < 2)
      say(t, ", domain %u", did);
    if (g == 1)
      say(t, ", PASID %u", pasid);
    break;
  case 8:
    say(t, "PASID-based device-TLB invalidation of ");
    say_source(t, did);
    say(t, ", PASID %u", pasid);
    device_range(t, q1, q1 >> 11 & 1);
    break;
  case 9:
    say(t, "page group response to ");
    say_source(t, did);
    if (d & 1 << 4)
      say(t, ", PASID %u", pasid);
    say(t, ", group %llu, %s", (ull)bits(q1, 11, 3),
        bits(d, 15, 12) == 0   ? "success"
        : bits(d, 15, 12) == 1 ? "invalid request"
                               : "failure");
    break;
  default: say(t, "descriptor of unknown type");
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
  say(t, "fault of ");
  say_source(t, (uint32_t)w1 & 0xffff);
  if (w1 >> 31 & 1)
    say(t, ", PASID %u", (unsigned)bits(w1, 59, 40));
  say(t, ": %s of 0x%llx, reason 0x%x: %s", type[(w1 >> 62 & 1) << 1 | (w1 >> 28 & 1)], (ull)(n->word[0] >> 12 << 12),
      reason, sentence);
}

static void page_request(struct text *t, const struct ims_note *n) {
  uint64_t w0 = n->word[0], w1 = n->word[1];
  say(t, "page request of ");
  say_source(t, (uint32_t)bits(w0, 31, 16));
  if (w0 >> 8 & 1)
    say(t, ", PASID %u", (unsigned)bits(w0, 51, 32));
  say(t, ": 0x%llx,%s%s%s%s group %u%s", (ull)(w1 >> 12 << 12), w1 & 1 ? " read" : "", w1 & 2 ? " write" : "",
      w0 >> 52 & 1 ? " execute" : "", w1 & 3 ? "," : "", (unsigned)bits(w1, 11, 3), w1 & 4 ? ", last" : "");
}

size_t ims_note_text(const struct ims_note *n, char *buf, size_t size) {
  struct text t = {buf, size, 0};
  if (size)
    *buf = 0;
  switch (n->kind) {
  case IMS_NOTE_MMIO_WRITE: mmio(&t, n); break;
  case IMS_NOTE_TABLE: table(&t, n); break;
  case IMS_NOTE_DESCRIPTOR: descriptor(&t, n); break;
  case IMS_NOTE_COMPLETE: say(&t, "%s completed: status at 0x%llx", n->what, (ull)n->addr); break;
  case IMS_NOTE_INTERRUPT: say(&t, "interrupt: %s", n->what); break;
  case IMS_NOTE_FAULT: fault(&t, n); break;
  case IMS_NOTE_PAGE_REQUEST: page_request(&t, n); break;
  case IMS_NOTE_LOG: say(&t, "kernel: %s", n->text); break;
  default: say(&t, "?");
  }
  return t.len;
}
