// SPDX-License-Identifier: Apache-2.0
// Domains, what is attached to them, and the tags that say which caches hold their translations. The manner is that of
// Linux' VT-d driver (7.x): a domain id for each domain and unit, an IOTLB tag for each (domain id, PASID), a device-TLB
// tag for each attached device with ATS; a nested domain leaves tags on its parent too, since a change of the second
// stage concerns what is cached for it. Facts 4.1, steps B3, B4, T7 and I. On SMMUs the id is a VMID or an ASID.
#include "uapi/kernel_internal.h"
#include <stdlib.h>

// ---- Ids of a unit: the lowest free one -----------------------------------------------------------------------------

static int id_alloc(struct host_unit *u, const struct hdomain *d, uint16_t *id) {
  enum host_id kind = u->ops->id_of(d);
  if (kind == ID_PARENT) {
    int err = ims_hdomain_hold(d->parent, u);
    if (!err)
      *id = ims_domain_unit(d->parent, u)->did;
    return err;
  }
  if (kind == ID_SHARED) { // entries differ by PASID, and PASIDs are the system's
    *id = DID_FIRST_LEVEL;
    return 0;
  }
  struct id_space *s = &u->id[kind];
  for (unsigned full = 0; full < ID_WORDS / 64; full++) {
    if (s->full[full] == ~0ull)
      continue;
    unsigned w = full * 64 + (unsigned)__builtin_ctzll(~s->full[full]);
    unsigned bit = (unsigned)__builtin_ctzll(~s->used[w]);
    if (w * 64 + bit >= s->limit)
      break;
    s->used[w] |= 1ull << bit;
    if (s->used[w] == ~0ull)
      s->full[full] |= 1ull << w % 64;
    *id = (uint16_t)(w * 64 + bit);
    return 0;
  }
  return -ENOSPC;
}

static void id_free(struct host_unit *u, const struct hdomain *d, uint16_t id) {
  enum host_id kind = u->ops->id_of(d);
  if (kind == ID_PARENT)
    ims_hdomain_release(d->parent, u);
  if (kind == ID_PARENT || kind == ID_SHARED)
    return;
  if (u->ops->id_free)
    u->ops->id_free(u, d, id);
  u->id[kind].used[id / 64] &= ~(1ull << id % 64);
  u->id[kind].full[id / 4096] &= ~(1ull << id / 64 % 64);
}

// ---- A domain on a unit ---------------------------------------------------------------------------------------------

struct domain_unit *ims_domain_unit(const struct hdomain *d, const struct host_unit *u) {
  struct domain_unit *du = d->units;
  while (du && du->unit != u)
    du = du->next;
  return du;
}

static struct domain_unit *du_get(struct hdomain *d, struct host_unit *u) {
  struct domain_unit *du = ims_domain_unit(d, u), **end = &d->units;
  if (du)
    return du;
  du = calloc(1, sizeof *du);
  if (!du)
    return NULL;
  du->unit = u;
  while (*end)
    end = &(*end)->next;
  return *end = du;
}

static void du_put(struct hdomain *d, struct domain_unit *du) {
  if (du->users || du->tags)
    return;
  for (struct domain_unit **at = &d->units; *at; at = &(*at)->next)
    if (*at == du) {
      *at = du->next;
      free(du);
      return;
    }
}

int ims_hdomain_hold(struct hdomain *d, struct host_unit *u) {
  struct domain_unit *du = du_get(d, u);
  if (!du)
    return -ENOMEM;
  int err = du->users ? 0 : id_alloc(u, d, &du->did);
  if (!err)
    du->users++;
  du_put(d, du);
  return err;
}

void ims_hdomain_release(struct hdomain *d, struct host_unit *u) {
  struct domain_unit *du = ims_domain_unit(d, u);
  if (!--du->users)
    id_free(u, d, du->did);
  du_put(d, du);
}

// ---- Tags -----------------------------------------------------------------------------------------------------------

static struct cache_tag *tag_add(struct domain_unit *du, enum cache_tag_type type, uint16_t did, uint32_t pasid,
                                 struct ims_device *dev) {
  struct cache_tag *t = calloc(1, sizeof *t);
  if (!t)
    return NULL;
  *t = (struct cache_tag){.prev = du->last, .dev = dev, .pasid = pasid, .users = 1, .did = did, .type = (uint8_t)type};
  if (du->last)
    du->last->next = t;
  else
    du->tags = t;
  return du->last = t;
}

static void tag_put(struct domain_unit *du, struct cache_tag *t) {
  if (!t || --t->users)
    return;
  if (t->prev)
    t->prev->next = t->next;
  else
    du->tags = t->next;
  if (t->next)
    t->next->prev = t->prev;
  else
    du->last = t->prev;
  free(t);
}

// The domain's own IOTLB tag for this PASID. Own tags come first in the list but for the device-TLB ones, and a domain
// is attached under few PASIDs; the tags that nested domains leave here carry a domain id of their own.
static struct cache_tag *iotlb_tag(const struct domain_unit *du, uint32_t pasid) {
  for (struct cache_tag *t = du->tags; t; t = t->next)
    if (t->type == TAG_IOTLB && t->pasid == pasid)
      return t;
  return NULL;
}

static bool assign_tags(struct attachment *a, struct domain_unit *du) {
  struct hdomain *d = a->domain;
  struct cache_tag *t = iotlb_tag(du, a->key.pasid);
  if (t)
    t->users++;
  else if (!tag_add(du, TAG_IOTLB, du->did, a->key.pasid, NULL))
    return false;
  if (a->dev->ats_works && !(a->devtlb = tag_add(du, TAG_DEVTLB, du->did, a->key.pasid, a->dev)))
    return false;
  if (d->type != HDOMAIN_NESTED)
    return true;
  struct domain_unit *parent = du_get(d->parent, du->unit);
  if (!parent)
    return false;
  if (du->nesting)
    du->nesting->users++;
  else if (!(du->nesting = tag_add(parent, TAG_NESTING_IOTLB, du->did, a->key.pasid, NULL)))
    return false;
  return !a->dev->ats_works ||
         (a->nesting_devtlb = tag_add(parent, TAG_NESTING_DEVTLB, du->did, a->key.pasid, a->dev)) != NULL;
}

static void remove_tags(struct attachment *a, struct domain_unit *du) {
  struct hdomain *d = a->domain;
  struct cache_tag *t = iotlb_tag(du, a->key.pasid);
  tag_put(du, t);
  tag_put(du, a->devtlb);
  if (d->type == HDOMAIN_NESTED) {
    struct domain_unit *parent = ims_domain_unit(d->parent, du->unit);
    if (parent) {
      tag_put(parent, a->nesting_devtlb);
      if (du->nesting && du->nesting->users == 1) {
        tag_put(parent, du->nesting);
        du->nesting = NULL;
      } else if (du->nesting) {
        du->nesting->users--;
      }
      du_put(d->parent, parent);
    }
  }
  a->devtlb = a->nesting_devtlb = NULL;
}

// ---- Domains --------------------------------------------------------------------------------------------------------

int ims_hdomain_new_paging(struct ims_kernel *k, const struct host_unit *u, unsigned want, struct hdomain **out) {
  struct hdomain *d = calloc(1, sizeof *d + sizeof *d->paging);
  if (!d)
    return -ENOMEM;
  d->k = k;
  d->type = HDOMAIN_PAGING;
  d->ops = u->ops;
  d->made_for = u;
  int err = u->ops->paging_format(u, want, d->paging);
  if (!err) {
    d->paging->pgt.fmt = &d->paging->fmt;
    err = d->paging->soft ? 0 : ims_errno(ims_pgt_create(&d->paging->pgt, &k->tables));
  }
  if (err) {
    free(d);
    return err;
  }
  *out = d;
  return 0;
}

struct hdomain *ims_hdomain_new(struct ims_kernel *k, enum hdomain_type type) {
  struct hdomain *d = calloc(1, sizeof *d);
  if (d) {
    d->k = k;
    d->type = (uint8_t)type;
  }
  return d;
}

void ims_hdomain_free(struct hdomain *d) {
  if (d->type == HDOMAIN_PAGING && d->paging->soft)
    d->paging->soft->free(d->paging);
  else if (d->type == HDOMAIN_PAGING)
    ims_pgt_destroy(&d->paging->pgt, &d->k->tables);
  if (d->driver_free)
    d->driver_free(d);
  if (d->parent)
    d->parent->users--;
  free(d);
}

// ---- Attachments ----------------------------------------------------------------------------------------------------

struct attachment *ims_attachment(const struct ims_device *dev, uint32_t pasid) {
  struct attachment key = {.key = {dev->id, pasid, 0}}, *a;
  HASH_FIND(hh, dev->k->attachments, &key.key, sizeof key.key, a);
  return a;
}

// Nothing has been changed yet.
static int check(const struct ims_device *dev, uint32_t pasid, const struct hdomain *d) {
  const struct host_unit *u = dev->unit;
  const struct hdomain *tables = d->type == HDOMAIN_NESTED ? d->parent : d;
  if (d->ops && d->ops != u->ops)
    return -EINVAL; // another driver's
  int err = tables && tables->type == HDOMAIN_PAGING ? u->ops->compatible(dev->unit, tables) : 0;
  if (!err && d->sink && d->sink->required && u->ops->iopf_check)
    err = u->ops->iopf_check(dev); // Facts 4.1, B5
  return !err && u->ops->check ? u->ops->check(dev, pasid, d) : err;
}

// The domain gets an id on the unit, and the tags of this attachment. a->domain and a->devtlb, nesting_devtlb are set.
static int join(struct attachment *a, struct hdomain *d, struct domain_unit **out) {
  struct host_unit *u = a->dev->unit;
  struct domain_unit *du = du_get(d, u);
  if (!du)
    return -ENOMEM;
  int err = du->users ? 0 : id_alloc(u, d, &du->did);
  if (!err) {
    du->users++;
    a->domain = d;
    if (assign_tags(a, du)) {
      d->users++;
      *out = du;
      return 0;
    }
    remove_tags(a, du);
    if (!--du->users)
      id_free(u, d, du->did);
    err = -ENOMEM;
  }
  du_put(d, du);
  return err;
}

static void leave(struct attachment *a, struct domain_unit *du) {
  struct hdomain *d = a->domain;
  remove_tags(a, du);
  if (!--du->users)
    id_free(du->unit, d, du->did);
  du_put(d, du);
  d->users--;
}

int ims_attach(struct ims_device *dev, uint32_t pasid, struct hdomain *d, struct attachment **out) {
  struct domain_unit *du;
  if (ims_attachment(dev, pasid))
    return -EBUSY;
  int err = check(dev, pasid, d);
  if (err)
    return err;
  struct attachment *a = calloc(1, sizeof *a);
  if (!a)
    return -ENOMEM;
  a->key.device = dev->id;
  a->key.pasid = pasid;
  a->dev = dev;
  err = join(a, d, &du);
  if (!err && (err = dev->unit->ops->attach(dev, pasid, d, du->did)) != 0)
    leave(a, du);
  if (err) {
    free(a);
    return err;
  }
  dev->attachments++;
  HASH_ADD(hh, dev->k->attachments, key, sizeof a->key, a);
  if (out)
    *out = a;
  return 0;
}

void ims_detach(struct attachment *a, bool gone) {
  struct domain_unit *du = ims_domain_unit(a->domain, a->dev->unit);
  a->dev->unit->ops->detach(a->dev, a->key.pasid, a->domain, du->did, gone);
  ims_iopf_drop(a->dev, a->key.pasid); // where the driver had nothing to drain
  leave(a, du);
  a->dev->attachments--;
  HASH_DEL(a->dev->k->attachments, a);
  free(a);
}

static void back(struct ims_device *dev, uint32_t pasid, const struct hdomain *old, uint16_t id, int err) {
  int again = dev->unit->ops->attach(dev, pasid, old, id);
  if (again)
    ims_log(dev->k, IMS_LOG_ERROR, dev->unit, "a device is left without a domain: error %d after error %d", again, err);
}

// What can be refused is refused before anything changes. Then in place, where the driver can: the device's requests meet
// the old domain or the new one. Else there is a moment without (facts 4.1, B1): a PASID's entry is torn down when the new
// domain has its id and its tags; for requests without PASID the old domain gives its own up first.
int ims_replace(struct ims_device *dev, uint32_t pasid, struct hdomain *d, struct attachment **out) {
  const struct host_ops *ops = dev->unit->ops;
  struct attachment *a = ims_attachment(dev, pasid);
  if (!a)
    return ims_attach(dev, pasid, d, out);
  *out = a;
  struct hdomain *old = a->domain;
  if (old == d)
    return 0;
  int err = check(dev, pasid, d);
  if (err)
    return err;
  struct domain_unit *was = ims_domain_unit(old, dev->unit), *du = NULL;
  struct attachment fresh = {.key = a->key, .dev = dev};
  if (pasid || ops->replace) {
    err = join(&fresh, d, &du);
    if (err)
      return err;
    err = ops->replace ? ops->replace(dev, pasid, old, was->did, d, du->did) : -EAGAIN;
    if (err == -EAGAIN) {
      ops->detach(dev, pasid, old, was->did, false);
      err = ops->attach(dev, pasid, d, du->did);
      if (err)
        back(dev, pasid, old, was->did, err);
    }
    if (!err)
      ims_iopf_drop(dev, pasid);
    leave(err ? &fresh : a, err ? du : was);
    if (err)
      return err;
  } else {
    ops->detach(dev, pasid, old, was->did, false);
    ims_iopf_drop(dev, pasid);
    leave(a, was);
    err = join(&fresh, d, &du);
    if (!err && (err = ops->attach(dev, pasid, d, du->did)) != 0)
      leave(&fresh, du);
    if (err) { // the old one again; it may have got another id
      int again = join(&fresh, old, &was);
      if (again) {
        ims_log(dev->k, IMS_LOG_ERROR, dev->unit, "a device is left without a domain: error %d after error %d", again,
                err);
        dev->attachments--; // leave() has counted the domain's
        HASH_DEL(dev->k->attachments, a);
        free(a);
        *out = NULL;
        return err;
      }
      back(dev, pasid, old, was->did, err);
      d = old;
    }
  }
  a->domain = d;
  a->devtlb = fresh.devtlb;
  a->nesting_devtlb = fresh.nesting_devtlb;
  return err;
}

// Attachments of the domain, then those of domains nested on it; stops at the first error.
static int switch_dirty(struct hdomain *d, bool on) {
  struct attachment *a, *next;
  for (unsigned nested = 0; nested < 2; nested++)
    HASH_ITER(hh, d->k->attachments, a, next) {
      const struct host_ops *ops = a->dev->unit->ops;
      if (!ops->set_dirty || (nested ? a->domain->parent : a->domain) != d)
        continue;
      int err = ops->set_dirty(a->dev, a->key.pasid, a->domain, ims_domain_unit(a->domain, a->dev->unit)->did, on);
      if (err)
        return err;
    }
  return 0;
}

int ims_hdomain_set_dirty(struct hdomain *d, bool on) {
  if (!d->paging->tracks)
    return -EOPNOTSUPP;
  if (d->paging->dirty == on)
    return 0;
  int err = switch_dirty(d, on);
  if (err)
    switch_dirty(d, d->paging->dirty);
  else
    d->paging->dirty = on;
  return err;
}

void ims_attachment_cut(struct attachment *a) {
  struct domain_unit *du = ims_domain_unit(a->domain, a->dev->unit);
  a->dev->unit->ops->detach(a->dev, a->key.pasid, a->domain, du->did, true);
}

int ims_hdomain_flush(struct hdomain *d, uint64_t first, uint64_t last, bool leaf) {
  int result = 0;
  for (struct domain_unit *du = d->units; du; du = du->next) {
    int err = du->tags ? du->unit->ops->flush(d, du, first, last, leaf) : 0;
    if (err && !result)
      result = err;
  }
  return result;
}

int ims_hdomain_flush_new(struct hdomain *d, uint64_t first, uint64_t last) {
  int result = 0;
  for (struct domain_unit *du = d->units; du; du = du->next) {
    int err = du->tags ? du->unit->ops->flush_new(d, du, first, last) : 0;
    if (err && !result)
      result = err;
  }
  return result;
}
