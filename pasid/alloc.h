// SPDX-License-Identifier: Apache-2.0
// The PASID space: which of the system's PASIDs are in use, and whose they are. As the VFIO vSVA series need it
// (PASID_REQUEST: lowest free PASID of a range, quota per process, freeing by range) and Linux' ioasid before them.
//
// A PASID is 20 bits (PCIe, "PASID TLP Prefix"). An owner is any 64-bit number the caller picks: a process, a set. The
// cost of every call grows with the logarithm of the number of PASIDs; a PASID in use costs 24 bytes, a free one none.
#pragma once

#include "mem/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IMS_PASID_BITS   20
#define IMS_PASID_QUOTA  1000 // PASIDs an owner may hold unless said otherwise
#define IMS_PASID_LEVELS 4    // of the bitmap of free PASIDs: 64^4 covers 2^20

struct ims_pasid_space {
  uint32_t first, last;             // handed out are PASIDs within, both included
  uint32_t limit;                   // 2^bits
  uint32_t used;                    // PASIDs allocated
  uint32_t quota;                   // of owners that have none of their own
  uint64_t *free[IMS_PASID_LEVELS]; // [0]: a bit a PASID; above: a bit for each word below that is not zero
  struct ims_pasid_slot *slot;      // by PASID
  struct ims_pasid_owner *owners;   // those with PASIDs or with a quota of their own
};

// A space of 2^bits PASIDs, 1 <= bits <= 20, all free. PASID 0 is not handed out: in-kernel users and VT-d's RID_PASID
// have it; ims_pasid_space_set_range can change that. RANGE, NOMEM. Release with ims_pasid_space_fini, also after
// an error.
int ims_pasid_space_init(struct ims_pasid_space *s, unsigned bits);
void ims_pasid_space_fini(struct ims_pasid_space *s);

// From now on only PASIDs in [first, last] are handed out. Those in use outside stay until they are freed. INVAL: first
// above last; RANGE: last beyond the space.
int ims_pasid_space_set_range(struct ims_pasid_space *s, uint32_t first, uint32_t last);

// The quota of one owner, or of all that have none of their own. An owner that holds more already keeps what it has.
// NOMEM.
int ims_pasid_set_quota(struct ims_pasid_space *s, uint64_t owner, uint32_t quota);
void ims_pasid_set_default_quota(struct ims_pasid_space *s, uint32_t quota);
uint32_t ims_pasid_quota(const struct ims_pasid_space *s, uint64_t owner);

// Gives `owner` the lowest free PASID of [min, max], both included, and keeps `priv` with it. The part of the range
// outside the space does not count. INVAL: min above max; NOSPACE: none is free there, or the quota is used up; NOMEM.
int ims_pasid_alloc(struct ims_pasid_space *s, uint64_t owner, uint32_t min, uint32_t max, void *priv, uint32_t *pasid);

// Takes one PASID back. NOENT: it is not allocated (or no PASID); PERM: it is another owner's.
int ims_pasid_free(struct ims_pasid_space *s, uint64_t owner, uint32_t pasid);

// Takes all PASIDs of `owner` in [min, max] back. Returns how many there were.
uint32_t ims_pasid_free_range(struct ims_pasid_space *s, uint64_t owner, uint32_t min, uint32_t max);

// Whose a PASID is, and what is kept with it; either pointer may be NULL. NOENT: it is not allocated.
int ims_pasid_query(const struct ims_pasid_space *s, uint32_t pasid, uint64_t *owner, void **priv);

// Replaces what is kept with a PASID. NOENT, PERM.
int ims_pasid_set_private(struct ims_pasid_space *s, uint64_t owner, uint32_t pasid, void *priv);

// The owner's lowest PASID that is at least `from`. NOENT: there is none. To visit all, ascending: start at 0, go on at
// *pasid + 1; freeing on the way is fine.
int ims_pasid_next(const struct ims_pasid_space *s, uint64_t owner, uint32_t from, uint32_t *pasid);

// PASIDs that `owner` holds.
uint32_t ims_pasid_count(const struct ims_pasid_space *s, uint64_t owner);

#ifdef __cplusplus
}
#endif
