// SPDX-License-Identifier: Apache-2.0
// What a fault of an SMMU comes to, in a sentence: which table is at fault, and whose it is. Arm IHI 0070 3.12, 7.3.
#include "iommu/smmuv3/events.h"
#include "trace/explain.h"
#include "trace/text.h"

#include <cinttypes>

namespace ims {

namespace {

// What lies at the IPA that stage 2 could not translate.
std::string what_lies_there(const Explain &told) {
  const ims_walk_fault &w = told.result.walk;
  const char *entry = told.arch->say.entry;
  for (auto s = told.steps.rbegin(); s != told.steps.rend(); ++s) {
    if (s->step.what != IMS_STRUCT_S2_TABLE)
      continue;
    if (s->step.for_what == IMS_STRUCT_CD)
      return "the guest's CD";
    if (s->step.for_what == IMS_STRUCT_CD_L1)
      return "the guest's level-1 CD descriptor";
    break;
  }
  if (w.s1_level)
    return format("the guest's %s level %d %s", told.arch->say.first_, told.arch->level(w.s1_level), entry);
  return told.nested() ? "the page" : "";
}

// A fault of the tables of stage 2.
std::string second_stage(const Explain &told, const ims_walk_fault &w) {
  std::string there = what_lies_there(told);
  std::string ipa = format("%s 0x%" PRIx64, told.arch->say.between, w.addr);
  if (!there.empty())
    ipa += ", where " + there + " lies,";
  switch (w.cause) {
  case IMS_WALK_RANGE: return ipa + " is beyond the input size of stage 2: the hypervisor cannot have mapped it.";
  case IMS_WALK_NOT_PRESENT: return "The hypervisor has not mapped " + ipa + " in stage 2.";
  case IMS_WALK_SIZE: return "The stage-2 descriptor for " + ipa + " holds an address beyond the output size.";
  case IMS_WALK_FLAG: return "The stage-2 leaf for " + ipa + " has AF clear, and hardware is not to set it.";
  case IMS_WALK_ACCESS: return "A stage-2 table that " + ipa + " needs lies where no memory is.";
  case IMS_WALK_DEVICE: return ipa + " is Device memory in stage 2, and S2PTW refuses walks through such.";
  case IMS_WALK_WRITE:
    return w.during == IMS_FOR_UPDATE ? "Hardware was to update " + there + ", but stage 2 does not let it be written."
                                      : "Stage 2 does not let " + ipa + " be written.";
  case IMS_WALK_READ: return "Stage 2 does not let " + ipa + " be read.";
  case IMS_WALK_EXEC: return "Stage 2 does not let " + ipa + " be executed.";
  default: return "";
  }
}

std::string first_stage(const Explain &told, const ims_walk_fault &w) {
  std::string owner =
      told.nested() ? "The guest" : (told.arch->event_fields ? "The owner of the CD" : "The owner of the bank");
  std::string address = format("0x%" PRIx64, w.addr);
  switch (w.cause) {
  case IMS_WALK_RANGE:
    return address + " is no input of stage 1: outside TTB0 and TTB1, or their side is off (EPD, E0PD).";
  case IMS_WALK_NOT_PRESENT: return owner + " has not mapped " + address + " in stage 1.";
  case IMS_WALK_SIZE: return "A stage-1 descriptor for " + address + " holds an address beyond the output size (IPS).";
  case IMS_WALK_FLAG:
    return "The stage-1 leaf for " + address + " has AF clear, and hardware is not to set it (HA 0, AFFD 0).";
  case IMS_WALK_ACCESS: return "A stage-1 table that " + address + " needs lies where no memory is.";
  case IMS_WALK_USER: return "Stage 1 keeps " + address + " from this privilege (AP[1], PAN).";
  case IMS_WALK_EXEC: return "Stage 1 does not let " + address + " be executed at this privilege (XN, PXN, WXN).";
  case IMS_WALK_WRITE:
    return "Stage 1 has " + address + " read-only (AP[2], APTable[1], or a dirty state that hardware is not to set).";
  default: return "";
  }
}

std::string of_event(unsigned event) {
  switch (event) {
  case IMS_SMMUV3_C_BAD_STREAMID:
    return "The stream table has no STE for this stream: beyond LOG2SIZE, or beyond the Span of its level-1 "
           "descriptor.";
  case IMS_SMMUV3_C_BAD_STE: return "The STE has V=0, or says something that this unit does not have.";
  case IMS_SMMUV3_C_BAD_CD: return "The CD has V=0, or says something that this unit does not have.";
  case IMS_SMMUV3_C_BAD_SUBSTREAMID:
    return "Stage 1 is off, or the SubstreamID is beyond S1CDMax, or its level-1 CD descriptor is not valid.";
  case IMS_SMMUV3_F_STREAM_DISABLED:
    return "S1DSS does not let transactions of this kind pass: without SubstreamID (0), or with SubstreamID 0 (2).";
  case IMS_SMMUV3_F_STE_FETCH: return "The stream table lies where no memory is.";
  case IMS_SMMUV3_F_CD_FETCH: return "The CD table lies where no memory is.";
  case IMS_SMMUV3_F_BAD_ATS_TREQ: return "Translation requests are off for this stream (SMMUEN, Config, EATS).";
  case IMS_SMMUV3_F_TRANSL_FORBIDDEN: return "Translated traffic is off for this stream (SMMUEN, Config, EATS).";
  default: return "";
  }
}

} // namespace

std::string verdict(const Explain &told) {
  const ims_result &r = told.result;
  if (!told.arch->plain_abort) // VT-d's reasons say it
    return "";
  std::string text;
  if (r.walk.cause != IMS_WALK_OK)
    text = r.walk.stage == 2 ? second_stage(told, r.walk) : first_stage(told, r.walk);
  else if (told.arch->event_fields)
    text = of_event(r.fault);
  if (told.arch->event_fields && !r.recorded && r.status == IMS_STATUS_FAULT && r.walk.cause != IMS_WALK_OK &&
      told.request.type == IMS_UNTRANSLATED)
    text += r.walk.stage == 2 ? " STE.S2R is 0: no event." : " CD.R is 0: no event.";
  return text;
}

} // namespace ims
