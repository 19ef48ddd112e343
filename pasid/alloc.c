// SPDX-License-Identifier: Apache-2.0
// The PASID space. Two structures over the same PASIDs:
//  - a bitmap of the free ones, four levels of 64 ways: the lowest free PASID from any point on in a few words;
//  - for each owner a treap of its PASIDs, threaded through the slots: ordered visits without a list of its own. The
//    priority of a PASID is a hash of it, so the shape of a treap depends on nothing but the set it holds.
#define _GNU_SOURCE
#include "pasid/alloc.h"
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM        1
#define uthash_nonfatal_oom(elt) (void)(elt)
#include <uthash.h>

#define NIL UINT32_MAX // no PASID: the end of a branch

struct ims_pasid_owner {
  uint64_t id;
  uint32_t count, root;
  uint32_t quota;
  bool own_quota;
  UT_hash_handle hh;
};

struct ims_pasid_slot {
  struct ims_pasid_owner *owner; // NULL: not allocated
  void *priv;
  uint32_t left, right;
};

// --- free PASIDs ------------------------------------------------------------------------------------------------------

static size_t words(const struct ims_pasid_space *s, unsigned level) {
  return (s->limit >> 6 * (level + 1)) + ((s->limit & ((1u << 6 * (level + 1)) - 1)) != 0);
}

static void mark_free(struct ims_pasid_space *s, uint32_t pasid) {
  for (unsigned level = 0; level < IMS_PASID_LEVELS; level++, pasid >>= 6) {
    uint64_t *word = &s->free[level][pasid >> 6], before = *word;
    *word |= 1ull << (pasid & 63);
    if (before)
      return;
  }
}

static void mark_used(struct ims_pasid_space *s, uint32_t pasid) {
  for (unsigned level = 0; level < IMS_PASID_LEVELS; level++, pasid >>= 6) {
    uint64_t *word = &s->free[level][pasid >> 6];
    *word &= ~(1ull << (pasid & 63));
    if (*word)
      return;
  }
}

// Sets the bits first to last and clears all others of `n` words.
static void fill(uint64_t *word, size_t n, uint32_t first, uint32_t last) {
  for (size_t i = 0; i < n; i++) {
    uint64_t from = i == first / 64 ? ~0ull << first % 64 : ~0ull,
             to = i == last / 64 ? ~0ull >> (63 - last % 64) : ~0ull;
    word[i] = i < first / 64 || i > last / 64 ? 0 : from & to;
  }
}

// Lowest free PASID from `from` on, or NIL. Up while the rest of the word is empty, then down along lowest bits.
static uint32_t first_free(const struct ims_pasid_space *s, uint32_t from) {
  uint32_t i = from;
  for (unsigned level = 0; level < IMS_PASID_LEVELS; level++) {
    if (i >> 6 >= words(s, level))
      return NIL;
    uint64_t rest = s->free[level][i >> 6] & (~0ull << (i & 63));
    if (rest) {
      i = (i & ~63u) | (uint32_t)__builtin_ctzll(rest);
      while (level-- > 0)
        i = i << 6 | (uint32_t)__builtin_ctzll(s->free[level][i]);
      return i;
    }
    i = (i >> 6) + 1;
  }
  return NIL;
}

// --- an owner's PASIDs ------------------------------------------------------------------------------------------------

static uint32_t priority(uint32_t pasid) { // a mixer without fixed points of note; ties go by PASID
  uint32_t h = pasid * 0x9e3779b1u;
  h ^= h >> 15;
  h *= 0x85ebca77u;
  return h ^ h >> 13;
}

static bool above(uint32_t a, uint32_t b) {
  uint32_t x = priority(a), y = priority(b);
  return x != y ? x > y : a < b;
}

// Puts `pasid` in: down to where its priority belongs, then the branch there is split into what is below and above it.
static void insert(struct ims_pasid_slot *slot, uint32_t *root, uint32_t pasid) {
  uint32_t *at = root;
  while (*at != NIL && above(*at, pasid))
    at = pasid < *at ? &slot[*at].left : &slot[*at].right;
  uint32_t rest = *at, *low = &slot[pasid].left, *high = &slot[pasid].right;
  *at = pasid;
  while (rest != NIL) {
    if (rest < pasid) {
      *low = rest;
      low = &slot[rest].right;
      rest = *low;
    } else {
      *high = rest;
      high = &slot[rest].left;
      rest = *high;
    }
  }
  *low = *high = NIL;
}

// Takes `pasid` out and joins its two branches in its place.
static void take(struct ims_pasid_slot *slot, uint32_t *root, uint32_t pasid) {
  uint32_t *at = root;
  while (*at != pasid)
    at = pasid < *at ? &slot[*at].left : &slot[*at].right;
  uint32_t low = slot[pasid].left, high = slot[pasid].right;
  while (low != NIL && high != NIL) {
    if (above(low, high)) {
      *at = low;
      at = &slot[low].right;
      low = *at;
    } else {
      *at = high;
      at = &slot[high].left;
      high = *at;
    }
  }
  *at = low != NIL ? low : high;
}

static uint32_t lower_bound(const struct ims_pasid_slot *slot, uint32_t root, uint32_t from) {
  uint32_t best = NIL;
  while (root != NIL) {
    if (root >= from) {
      best = root;
      root = slot[root].left;
    } else {
      root = slot[root].right;
    }
  }
  return best;
}

// --- owners -----------------------------------------------------------------------------------------------------------

static struct ims_pasid_owner *find(const struct ims_pasid_space *s, uint64_t id) {
  struct ims_pasid_owner *o;
  HASH_FIND(hh, s->owners, &id, sizeof id, o);
  return o;
}

static struct ims_pasid_owner *find_or_add(struct ims_pasid_space *s, uint64_t id) {
  struct ims_pasid_owner *o = find(s, id);
  if (o || !(o = calloc(1, sizeof *o)))
    return o;
  o->id = id;
  o->root = NIL;
  HASH_ADD(hh, s->owners, id, sizeof o->id, o);
  if (!o->hh.tbl) { // the hash table found no memory
    free(o);
    return NULL;
  }
  return o;
}

static uint32_t quota_of(const struct ims_pasid_space *s, const struct ims_pasid_owner *o) { // o may be NULL
  return o && o->own_quota ? o->quota : s->quota;
}

// An owner with nothing to its name is forgotten.
static void forget(struct ims_pasid_space *s, struct ims_pasid_owner *o) {
  if (o->count == 0 && !o->own_quota) {
    HASH_DEL(s->owners, o);
    free(o);
  }
}

// --- entry points -----------------------------------------------------------------------------------------------------

int ims_pasid_space_init(struct ims_pasid_space *s, unsigned bits) {
  memset(s, 0, sizeof *s);
  if (bits < 1 || bits > IMS_PASID_BITS)
    return IMS_ERR_RANGE;
  s->limit = 1u << bits;
  s->quota = IMS_PASID_QUOTA;
  s->slot = calloc(s->limit, sizeof *s->slot); // zero pages of the host until used
  bool ok = s->slot != NULL;
  for (unsigned level = 0; level < IMS_PASID_LEVELS; level++) {
    s->free[level] = calloc(words(s, level), sizeof(uint64_t));
    ok = ok && s->free[level];
  }
  return ok ? ims_pasid_space_set_range(s, 1, s->limit - 1) : IMS_ERR_NOMEM;
}

void ims_pasid_space_fini(struct ims_pasid_space *s) {
  struct ims_pasid_owner *o = s->owners, *next;
  HASH_CLEAR(hh, s->owners); // leaves the list through the elements alone
  for (; o; o = next) {
    next = (struct ims_pasid_owner *)o->hh.next;
    free(o);
  }
  for (unsigned level = 0; level < IMS_PASID_LEVELS; level++)
    free(s->free[level]);
  free(s->slot);
  memset(s, 0, sizeof *s);
}

int ims_pasid_space_set_range(struct ims_pasid_space *s, uint32_t first, uint32_t last) {
  if (first > last)
    return IMS_ERR_INVAL;
  if (last >= s->limit)
    return IMS_ERR_RANGE;
  s->first = first;
  s->last = last;
  for (unsigned level = 0; level < IMS_PASID_LEVELS; level++)
    fill(s->free[level], words(s, level), first >> 6 * level, last >> 6 * level);
  for (uint32_t pasid = first; s->used > 0 && pasid <= last; pasid++)
    if (s->slot[pasid].owner)
      mark_used(s, pasid);
  return IMS_ERR_OK;
}

int ims_pasid_set_quota(struct ims_pasid_space *s, uint64_t owner, uint32_t quota) {
  struct ims_pasid_owner *o = find_or_add(s, owner);
  if (!o)
    return IMS_ERR_NOMEM;
  o->quota = quota;
  o->own_quota = true;
  return IMS_ERR_OK;
}

void ims_pasid_set_default_quota(struct ims_pasid_space *s, uint32_t quota) { s->quota = quota; }

uint32_t ims_pasid_quota(const struct ims_pasid_space *s, uint64_t owner) { return quota_of(s, find(s, owner)); }

int ims_pasid_alloc(struct ims_pasid_space *s, uint64_t owner, uint32_t min, uint32_t max, void *priv,
                    uint32_t *pasid) {
  if (min > max)
    return IMS_ERR_INVAL;
  struct ims_pasid_owner *o = find(s, owner);
  if ((o ? o->count : 0) >= quota_of(s, o))
    return IMS_ERR_NOSPACE;
  uint32_t found = first_free(s, min);
  if (found == NIL || found > max)
    return IMS_ERR_NOSPACE;
  if (!o && !(o = find_or_add(s, owner)))
    return IMS_ERR_NOMEM;
  mark_used(s, found);
  s->slot[found].owner = o;
  s->slot[found].priv = priv;
  insert(s->slot, &o->root, found);
  o->count++;
  s->used++;
  *pasid = found;
  return IMS_ERR_OK;
}

// OK when `pasid` is allocated and `owner`'s.
static int belongs(const struct ims_pasid_space *s, uint64_t owner, uint32_t pasid) {
  if (pasid >= s->limit || !s->slot[pasid].owner)
    return IMS_ERR_NOENT;
  return s->slot[pasid].owner->id == owner ? IMS_ERR_OK : IMS_ERR_PERM;
}

static void release(struct ims_pasid_space *s, struct ims_pasid_owner *o, uint32_t pasid) {
  take(s->slot, &o->root, pasid);
  memset(&s->slot[pasid], 0, sizeof s->slot[pasid]);
  o->count--;
  s->used--;
  if (pasid >= s->first && pasid <= s->last)
    mark_free(s, pasid);
}

int ims_pasid_free(struct ims_pasid_space *s, uint64_t owner, uint32_t pasid) {
  int rc = belongs(s, owner, pasid);
  if (rc)
    return rc;
  struct ims_pasid_owner *o = s->slot[pasid].owner;
  release(s, o, pasid);
  forget(s, o);
  return IMS_ERR_OK;
}

uint32_t ims_pasid_free_range(struct ims_pasid_space *s, uint64_t owner, uint32_t min, uint32_t max) {
  struct ims_pasid_owner *o = find(s, owner);
  if (!o)
    return 0;
  uint32_t n = 0, pasid;
  while ((pasid = lower_bound(s->slot, o->root, min)) != NIL && pasid <= max) {
    release(s, o, pasid);
    n++;
  }
  forget(s, o);
  return n;
}

int ims_pasid_query(const struct ims_pasid_space *s, uint32_t pasid, uint64_t *owner, void **priv) {
  if (pasid >= s->limit || !s->slot[pasid].owner)
    return IMS_ERR_NOENT;
  if (owner)
    *owner = s->slot[pasid].owner->id;
  if (priv)
    *priv = s->slot[pasid].priv;
  return IMS_ERR_OK;
}

int ims_pasid_set_private(struct ims_pasid_space *s, uint64_t owner, uint32_t pasid, void *priv) {
  int rc = belongs(s, owner, pasid);
  if (rc == IMS_ERR_OK)
    s->slot[pasid].priv = priv;
  return rc;
}

int ims_pasid_next(const struct ims_pasid_space *s, uint64_t owner, uint32_t from, uint32_t *pasid) {
  const struct ims_pasid_owner *o = find(s, owner);
  uint32_t found = o ? lower_bound(s->slot, o->root, from) : NIL;
  if (found == NIL)
    return IMS_ERR_NOENT;
  *pasid = found;
  return IMS_ERR_OK;
}

uint32_t ims_pasid_count(const struct ims_pasid_space *s, uint64_t owner) {
  const struct ims_pasid_owner *o = find(s, owner);
  return o ? o->count : 0;
}
