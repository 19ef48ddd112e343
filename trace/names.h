// SPDX-License-Identifier: Apache-2.0
// Names of numbers in traces: errno, errors of the library, fault reasons, constants of VFIO, registers.
#pragma once

#include "trace/arch.h"
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ims {

// Linux' numbers, whatever the host's are. -1: no such name.
int errno_by_name(std::string_view name);
std::string errno_name(int number); // "EINVAL"; "errno 999" for one without a name; "OK" for 0
std::vector<std::string> errno_names();

// Errors of mem/error.h without prefix: "EXIST" is -7. False: no such name.
bool error_by_name(std::string_view name, int *number);
std::vector<std::string> error_names();

// Fault reasons: "SFS.2", "SFS_2" (VT-d), "F_TRANSLATION" (SMMU), in either case, or "none" (0, of no architecture).
// False: no such name.
bool fault_by_name(std::string_view name, const Arch **arch, unsigned *code);
std::vector<std::string> fault_names();

// Arguments of SET_IOMMU and CHECK_EXTENSION. False: no such name.
bool vfio_constant(std::string_view name, uint64_t *value);
std::vector<std::string> vfio_constants();

// A register: NAME, on VT-d also FRCDn, each with +OFFSET or without, or a plain offset. `reg`: row of arch.registers, or -1
// (fault recording registers, plain offsets). `frcd`: number of the fault recording register, or -1. A name with an offset
// has no fields.
struct RegisterName {
  int reg = -1, frcd = -1;
  unsigned index = 0;  // of registers with a number: SMR3, CB3_TCR
  uint32_t offset = 0; // beyond the register, or of a plain offset
};
bool register_by_name(const Arch &arch, std::string_view name, RegisterName *out);
std::vector<std::string> register_names(const Arch &arch);

} // namespace ims
