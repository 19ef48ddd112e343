// SPDX-License-Identifier: Apache-2.0
// Memory images in and out: raw files and ELF64 cores (QEMU's dump-guest-memory, kdump).
//
// A file is mapped, not read: it has to keep its length for as long as the memory lives.
#pragma once

#include "mem/mem.h"

#ifdef __cplusplus
extern "C" {
#endif

// What a failed load says about the file; filled only on error.
struct ims_image_error {
  uint64_t offset;  // offset in the file where the trouble is
  char detail[160]; // field, found, expected ("program header 17: p_offset 0x..., expected ..."); always terminated
};

// True when the file begins with the ELF magic. False also when it cannot be read.
bool ims_image_is_elf(const char *path);

// Maps a raw file at `hpa` (QEMU's pmemsave). Private: stores to the memory never reach the file. Files larger than the
// host's memory are fine. IO, RANGE, OVERLAP, NOMEM, FORMAT (empty file). `err` may be NULL. On error nothing was added.
int ims_image_load_raw(struct ims_mem *m, const char *path, uint64_t hpa, struct ims_image_error *err);

// Maps the PT_LOAD segments of an ELF64 little-endian core at their p_paddr; [p_filesz, p_memsz) is memory full of
// zeros. Section headers are not needed, except that e_phnum = PN_XNUM takes the count from section header 0 (gABI,
// "ELF Header", e_phnum). Where segments of one file overlap the first one counts. Segments that share bytes of the file
// are memory of their own each. A file without PT_LOAD adds nothing. IO; FORMAT (also for addresses beyond 52 bits);
// OVERLAP (with memory that was there before); NOMEM. `err` may be NULL. On error nothing was added.
int ims_image_load_elf(struct ims_mem *m, const char *path, struct ims_image_error *err);

// Writes all memory as an ELF64 core that ims_image_load_elf reads back. Zeros from 64 KiB on, and those at either end
// of a stretch of memory, become p_memsz beyond p_filesz; shorter ones are holes in the file, so that the core does not
// fall into ever so many segments. The file appears whole or not at all (temporary file beside it, then rename).
// IO, NOMEM.
int ims_image_save_elf(struct ims_mem *m, const char *path);

#ifdef __cplusplus
}
#endif
