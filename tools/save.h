// SPDX-License-Identifier: Apache-2.0
// The final machine of a run as a snapshot (formats.md), in a folder:
//   memory.elf     all memory, an ELF64 core
//   NAME.regs      the registers of each IOMMU, those that are not what reset leaves there
//   queues.txt     what waits in the queues of the IOMMUs, and their fault recording registers
// `walk` and `translate` read memory.elf and one of the register files.
#pragma once

#include "trace/player.h"

#include <string>

namespace ims {

void save_machine(Player &player, const std::string &folder); // throws BadInput
void make_folder(const std::string &path);                    // or it is there already; throws BadInput

// The text of NAME.regs, and the lines of queues.txt for a unit.
std::string registers_text(const UnitView &unit);
std::string queues_text(const UnitView &unit, ims_mem *memory);

} // namespace ims
