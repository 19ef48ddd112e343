// SPDX-License-Identifier: Apache-2.0
// What the program has to know of an architecture, once for each: how its units are configured, made and restored, its
// registers, its faults, and the words that its specification uses. Parsing, playing, explaining, snapshots and the
// configuration read these rows; none of them asks which architecture it is by name.
#pragma once

#include "iommu/iommu.h"
#include "iommu/option.h"
#include "iommu/smmuv2/smmuv2.h"
#include "iommu/smmuv3/smmuv3.h"
#include "iommu/vtd/vtd.h"
#include "trace/structure.h"
#include <string>
#include <string_view>
#include <vector>

namespace ims {

// The configuration of one unit, of whichever architecture.
struct Config {
  Config();
  ims_vtd_config vtd;
  ims_smmuv3_config smmuv3;
  ims_smmuv2_config smmuv2;
};

struct RegisterField {
  const char *name, *sentence;
  unsigned high, low, access; // access: enum ims_reg_access

  uint64_t mask() const { return ~0ull >> (63 - (high - low)); } // from bit 0 on
  bool is_address() const;                                       // holds the upper bits of one
};

struct RegisterInfo {
  enum Kind { PLAIN, ARRAY, BANK }; // NAME, NAMEn, CBn_NAME
  const char *name, *section, *sentence;
  uint32_t offset, bytes;
  uint64_t reset;
  bool identifies; // an identification register: what it says belongs into the configuration
  std::vector<RegisterField> fields;
  Kind kind = PLAIN;
  unsigned page = 0; // SMMUv2: 0 GR0, 1 GR1, 2 a bank's

  const RegisterField *field(std::string_view name) const;
};

// An attribute of a unit in traces, out of a register: iommu0.root.
struct UnitAttribute {
  const char *name, *reg;
  uint64_t mask;
};

struct FaultInfo {
  unsigned code;
  std::string name; // "SFS.2", "F_TRANSLATION"
  const char *sentence;
};

// Words of the specification.
struct Vocabulary {
  const char *first, *second;   // "first stage", "stage 1"
  const char *first_, *second_; // before a noun: "first-stage"
  const char *between;          // an address between the stages: "gpa", "ipa"
  const char *entry;            // of a page table: "entry", "descriptor"
  const char *substream;        // "PASID", "SubstreamID"
  const char *fault;            // "fault", "event"
};

struct Arch {
  const char *name, *title, *a_unit; // "vtd", "VT-d", "a VT-d unit"
  const char *identification;        // its identification registers, for people
  unsigned source_bits;              // width of a requester id
  Vocabulary say;
  bool vmsa;         // Arm's page tables
  bool event_fields; // faults leave event records with the fields of iommu/smmuv3/events.h
  bool plain_abort;  // a refused access is aborted, with no answer of PCIe's
  std::vector<std::pair<unsigned, const char *>> caches; // names of its own for enum ims_cache_id
  bool numbered_records; // has fault recording registers FRCDn, whose place depends on its capabilities
  std::vector<RegisterInfo> registers;
  std::vector<FaultInfo> faults;
  std::vector<UnitAttribute> attributes;
  // Names of a register file that are no registers but knobs: {"HAW", "haw"}.
  std::vector<std::pair<const char *, const char *>> facts;

  const ims_option *(*option)(unsigned i); // NULL behind the last
  void *(*config)(Config &c);              // this architecture's part
  const char *(*check)(const Config &c);   // NULL, or what is wrong
  // Takes what an identification register says into the configuration.
  void (*identify)(Config &c, const RegisterInfo &reg, uint64_t value);
  // Behind all of them: real units show features whose partners they lack, which then mean nothing. May be NULL.
  void (*settle)(Config &c);
  int (*make)(ims_iommu **out, const Config &c, ims_mem *mem, const ims_iommu_bus *bus);
  int (*restore)(ims_iommu *u, const char *name, uint64_t value);
  void (*restored)(ims_iommu *u);
  uint64_t (*peek)(const ims_iommu *u, unsigned reg); // by row of `registers`; NULL: there are no attributes
  unsigned (*register_bytes)(const char *name);       // NULL: all rows hold something
  void (*forget)(ims_iommu *u,
                 const ims_result &r); // behind a request that others are not to feel; NULL: nothing to do
  std::vector<std::string> (*preamble)(const ims_iommu *u,
                                       const ims_request &r); // what registers say of a stream; NULL
  int (*level)(unsigned level);                               // the architecture's number of a walk's level (1 = last)
  std::vector<Field> (*record)(const ims_result &r);          // fields of a fault's record

  // Row of a register by its name, and which of its kind (SMR3, CB3_TCR); -1: no such name. `holds`: write-only ones have
  // nothing to restore, and are then left out.
  int find_register(std::string_view name, unsigned *index = nullptr) const;
  bool holds(const std::string &which) const { return !register_bytes || register_bytes(which.c_str()); }
  uint32_t register_offset(const Config &c, unsigned row, unsigned index) const;
  std::vector<std::string> register_names() const; // SMR0 for those with a number
  const FaultInfo *find_fault(unsigned code) const;
  const ims_option *find_option(std::string_view name) const;
  std::string fault_text(unsigned code) const; // "SFS.2: first-stage entry not present"
};

// The words of a fault's record in hexadecimal, joined by ':': an event as it lies in memory, of a fault recording register
// the high word first, as people write registers.
void append_record_words(std::string *out, const ims_result &r);

const std::vector<const Arch *> &arches(); // in the order in which they are listed
const Arch *find_arch(std::string_view name);
const Arch &arch_of(const ims_iommu *u);
std::vector<std::string> arch_names();

} // namespace ims
