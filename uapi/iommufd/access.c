// SPDX-License-Identifier: Apache-2.0
// In-kernel users of an address space, as a mediated driver is one: each stands behind a descriptor of its own, pins pages
// and copies by iova. Only the kernel's self-test makes them here. Facts 6.2, ops 5 to 8 and 11; Linux 7.x,
// iommufd/device.c (access), selftest.c.
#include "uapi/iommufd/selftest_internal.h"
#include <stdlib.h>

enum { MAX_LENGTH = 16 << 20 }; // of one op, bytes

// A pinned range that the program may let go by its number.
struct item {
  struct item *next;
  uint64_t iova, length;
  uint32_t id;
};

struct user {
  struct access *access;
  struct item *items; // oldest first
  uint32_t next_id;
  bool pins;
};

static void release(struct open_file *o);
static const struct file_ops access_ops = {.kind = IMS_FILE_OTHER, .release = release};

static struct user *user_of(const struct ucmd *u, uint32_t fd) {
  struct ims_file *f = fd <= INT32_MAX ? ims_process_file(u->process, (int)fd) : NULL;
  return f && f->open->ops == &access_ops ? f->open->state : NULL;
}

static void unpin(struct user *s, struct item **at) {
  struct item *i = *at;
  *at = i->next;
  ims_iopt_unpin_range(&s->access->ioas->iopt, s->access, i->iova, i->length);
  free(i);
}

// What the address space wants back.
static void unmap(struct access *a, uint64_t iova, uint64_t length) {
  struct user *s = a->owner;
  uint64_t last = iova + length - 1;
  for (struct item **at = &s->items; *at;) {
    if (iova > (*at)->iova + (*at)->length - 1 || last < (*at)->iova)
      at = &(*at)->next;
    else
      unpin(s, at);
  }
}

// ---- Joining and leaving an address space ---------------------------------------------------------------------------

static int join(struct access *a, struct ioas *to) {
  struct ioas *from = a->ioas;
  if (from == to)
    return 0;
  int err = to ? ims_iopt_add_access(&to->iopt, a) : 0;
  if (err)
    return err;
  if (to)
    to->obj.users++;
  if (from) {
    unmap(a, 0, ~0ull);
    ims_iopt_remove_access(&from->iopt, a);
    from->obj.users--;
  }
  a->ioas = to;
  return 0;
}

void ims_access_release(struct object *o) { join((struct access *)o, NULL); }

static void drop(struct user *s) {
  struct open_file *ctx = s->access->obj.ctx->file;
  s->access->obj.users--;
  ims_object_destroy(&s->access->obj);
  free(s);
  ims_open_file_put(ctx);
}

static void release(struct open_file *o) { drop(o->state); }

// Keeps the context open, as its descriptor does not.
static struct user *user_new(struct ictx *ctx, bool pins) {
  struct user *s = calloc(1, sizeof *s);
  struct access *a = s ? ims_object_alloc(ctx, sizeof *a, OBJ_ACCESS) : NULL;
  if (!a || ims_object_publish(&a->obj)) {
    free(a);
    free(s);
    return NULL;
  }
  a->obj.users = 1;
  a->alignment = pins ? IMS_PAGE_SIZE : 1;
  a->unmap = unmap;
  a->owner = s;
  s->access = a;
  s->pins = pins;
  ims_open_file_get(ctx->file);
  return s;
}

long ims_test_create_access(struct ucmd *u, struct ims_iommu_test_create_access *c) {
  if (c->flags & ~(uint32_t)IMS_MOCK_ACCESS_NEEDS_PIN_PAGES)
    return -EOPNOTSUPP;
  struct user *s = user_new(u->ctx, c->flags & IMS_MOCK_ACCESS_NEEDS_PIN_PAGES);
  struct ims_file *f;
  if (!s)
    return -ENOMEM;
  int fd = ims_file_new(u->process, &access_ops, s, &f);
  if (fd < 0) {
    drop(s);
    return -ENOMEM;
  }
  struct ioas *ioas = FIND(u->ctx, c->id, IOAS, ioas);
  int err = ioas ? join(s->access, ioas) : -ENOENT;
  if (!err) {
    c->out_access_fd = (uint32_t)fd;
    err = ims_respond(u, sizeof *c);
  }
  if (err)
    ims_file_undo(f); // and the access with it
  return err;
}

long ims_test_access_replace(struct ucmd *u, struct ims_iommu_test_access_replace *c) {
  struct user *s = user_of(u, c->id);
  if (!s)
    return -EBADFD;
  struct ioas *ioas = FIND(u->ctx, c->ioas_id, IOAS, ioas);
  return ioas ? join(s->access, ioas) : -ENOENT;
}

// ---- Pages ----------------------------------------------------------------------------------------------------------

// The pages are those behind uptr.
static int compare(struct ims_process *p, uint64_t uptr, const uint64_t *hpa, uint64_t count) {
  for (uint64_t i = 0; i < count; i++) {
    uint64_t there, left;
    int err = ims_mm_page(p, uptr + i * IMS_PAGE_SIZE, IMS_PROT_READ, &there, &left);
    if (err)
      return err;
    if ((there ^ hpa[i]) & ~(IMS_PAGE_SIZE - 1))
      return -EBADE;
  }
  return 0;
}

static int remember(struct ucmd *u, struct user *s, struct ims_iommu_test_access_pages *c) {
  struct item *i = malloc(sizeof *i), **end = &s->items;
  if (!i)
    return -ENOMEM;
  *i = (struct item){.iova = c->iova, .length = c->length, .id = s->next_id++};
  c->out_access_pages_id = i->id;
  int err = ims_respond(u, sizeof *c);
  if (err) {
    free(i);
    return err;
  }
  while (*end)
    end = &(*end)->next;
  *end = i;
  return 0;
}

long ims_test_access_pages(struct ucmd *u, struct ims_iommu_test_access_pages *c) {
  if (c->length > MAX_LENGTH)
    return -ENOMEM;
  if (c->flags & ~(uint32_t)IMS_MOCK_ACCESS_WRITE)
    return -EOPNOTSUPP;
  struct user *s = user_of(u, c->id);
  if (!s)
    return -EBADFD;
  if (!s->pins)
    return -EOPNOTSUPP;
  const uint64_t off = c->iova & (IMS_PAGE_SIZE - 1), count = (off + c->length + IMS_PAGE_SIZE - 1) / IMS_PAGE_SIZE;
  uint64_t *hpa = calloc(count ? count : 1, sizeof *hpa);
  if (!hpa)
    return -ENOMEM;
  struct iopt *t = &s->access->ioas->iopt;
  int err = ims_iopt_pin_range(t, s->access, c->iova, c->length,
                               c->flags & IMS_MOCK_ACCESS_WRITE ? (unsigned)ACCESS_WRITE : 0u, hpa);
  if (!err) {
    err = c->uptr ? compare(u->process, c->uptr - off, hpa, count) : 0;
    if (!err)
      err = remember(u, s, c);
    if (err)
      ims_iopt_unpin_range(t, s->access, c->iova, c->length);
  }
  free(hpa);
  return err;
}

long ims_test_destroy_access_pages(struct ucmd *u, struct ims_iommu_test_destroy_access_pages *c) {
  struct user *s = user_of(u, c->id);
  if (!s)
    return -EBADFD;
  for (struct item **at = &s->items; *at; at = &(*at)->next)
    if ((*at)->id == c->access_pages_id) {
      unpin(s, at);
      return 0;
    }
  return -ENOENT;
}

// ---- Copying --------------------------------------------------------------------------------------------------------

long ims_test_access_rw(struct ucmd *u, struct ims_iommu_test_access_rw *c) {
  const bool write = c->flags & IMS_MOCK_RW_WRITE;
  if (c->length > MAX_LENGTH)
    return -ENOMEM;
  if (c->flags & ~(uint32_t)(IMS_MOCK_RW_WRITE | IMS_MOCK_RW_SLOW_PATH))
    return -EOPNOTSUPP;
  struct user *s = user_of(u, c->id);
  if (!s)
    return -EBADFD;
  const size_t length = (size_t)c->length;
  uint8_t *data = calloc(length ? length : 1, 1);
  if (!data)
    return -ENOMEM;
  int err = write && !ims_user_read(u->process, data, c->uptr, length) ? -EFAULT : 0;
  if (!err)
    err = ims_iopt_rw(&s->access->ioas->iopt, u->process, c->iova, data, length,
                      (write ? (unsigned)ACCESS_WRITE : 0u) |
                          (c->flags & IMS_MOCK_RW_SLOW_PATH ? (unsigned)ACCESS_SLOW : 0u));
  if (!err && !write && !ims_user_write(u->process, c->uptr, data, length))
    err = -EFAULT;
  free(data);
  return err;
}
