// SPDX-License-Identifier: Apache-2.0
// A stream table entry changed while the hardware may be reading it, so that each transaction meets the old one, the new one,
// or an abort. Arm IHI 0070, 3.21.3 (updates of structures), 5.2 (which fields count when).
#pragma once

#include "pasid/smmu.h"

#ifdef __cplusplus
extern "C" {
#endif

// How the entry is reached. Both return 0 or a negative number.
struct ims_ste_editor {
  void *ctx;
  int (*store)(void *ctx, unsigned word, uint64_t value); // one 64-bit store
  int (*sync)(void *ctx); // CMD_CFGI_STE and CMD_SYNC: when it returns, the unit has forgotten what it had read before
};

// Which bits of an STE a unit looks at.
void ims_ste_used(const uint64_t ste[IMS_STE_WORDS], uint64_t used[IMS_STE_WORDS]);

// From what stands there to the target, in as few steps as that takes. 0, or what store or sync returned first; the edit
// goes on to its end then.
int ims_ste_edit(const uint64_t old[IMS_STE_WORDS], const uint64_t target[IMS_STE_WORDS],
                 const struct ims_ste_editor *e);

#ifdef __cplusplus
}
#endif
