// SPDX-License-Identifier: Apache-2.0
// Fault queues: page-request groups of devices attached to a hardware page table that names one, read and answered through
// a file of its own (Facts 3.8; Linux 7.x, iommufd/eventq.c).
//
// A group is unread (cookie 0) or read and unanswered (in `waiting`, by its cookie). Closing the file changes nothing of
// that: only a detach, a replace or an answer takes a group away.
#include "uapi/iommufd/iommufd_internal.h"
#include <stdlib.h>

struct fault {
  struct object obj;
  struct iopf_sink sink;
  struct iopf_group *unread, **unread_end; // oldest first
  struct iopf_group **waiting;             // by cookie, from 1
  uint32_t room, lowest;                   // no cookie below `lowest` is free
};

static struct fault *fault_of(struct iopf_sink *s) {
  return (struct fault *)(void *)((char *)s - offsetof(struct fault, sink));
}

// ---- Groups ---------------------------------------------------------------------------------------------------------

static int deliver(struct iopf_sink *s, struct iopf_group *g) {
  struct fault *f = fault_of(s);
  g->cookie = 0;
  g->queued = NULL;
  *f->unread_end = g;
  f->unread_end = &g->queued;
  return 0;
}

// The lowest free one, as every id of iommufd.
static int cookie_get(struct fault *f, struct iopf_group *g) {
  uint32_t c = f->lowest ? f->lowest : 1;
  while (c < f->room && f->waiting[c])
    c++;
  if (c >= f->room) {
    uint32_t room = f->room ? 2 * f->room : 16;
    struct iopf_group **more = realloc(f->waiting, room * sizeof(struct iopf_group *));
    if (!more)
      return -ENOMEM;
    memset(more + f->room, 0, (room - f->room) * sizeof(struct iopf_group *));
    f->waiting = more;
    f->room = room;
  }
  f->waiting[c] = g;
  f->lowest = c + 1;
  g->cookie = c;
  return 0;
}

static void cookie_put(struct fault *f, struct iopf_group *g) {
  f->waiting[g->cookie] = NULL;
  if (g->cookie < f->lowest)
    f->lowest = g->cookie;
  g->cookie = 0;
}

static void forget(struct iopf_sink *s, struct iopf_group *g) {
  struct fault *f = fault_of(s);
  if (g->cookie) {
    cookie_put(f, g);
    return;
  }
  for (struct iopf_group **at = &f->unread; *at; at = &(*at)->queued)
    if (*at == g) {
      *at = g->queued;
      if (f->unread_end == &g->queued)
        f->unread_end = at;
      return;
    }
}

// Nothing is attached any more, so there should be no group; if there is, its device is not left waiting.
void ims_fault_release(struct object *o) {
  struct fault *f = (struct fault *)o;
  while (f->unread) {
    struct iopf_group *g = f->unread;
    f->unread = g->queued;
    ims_iopf_respond(g, IOPF_INVALID);
  }
  for (uint32_t c = 1; c < f->room; c++)
    if (f->waiting[c])
      ims_iopf_respond(f->waiting[c], IOPF_INVALID);
  free(f->waiting);
}

// ---- The file -------------------------------------------------------------------------------------------------------

// The device's own id; that of the first device attached, where it is not bound itself but only of its group.
static uint32_t dev_id(const struct iopf_group *g) {
  if (g->dev->idev)
    return g->dev->idev->obj.id;
  const struct igroup *ig = g->dev->group ? g->dev->group->igroup : NULL;
  for (size_t i = 0; ig && i < ig->attaches; i++)
    if (ig->attach[i].pasid == g->pasid && ig->attach[i].devices)
      return ig->attach[i].device[0]->obj.id;
  return 0;
}

static bool tell(const struct ims_file *file, const struct iopf_group *g, uint64_t buf) {
  for (uint32_t i = 0; i < g->count; i++) {
    const struct page_request *r = &g->request[i];
    struct ims_iommu_hwpt_pgfault m = {
        .flags =
            (r->has_pasid ? (uint32_t)IMS_PGFAULT_PASID_VALID : 0u) | (r->last ? (uint32_t)IMS_PGFAULT_LAST_PAGE : 0u),
        .dev_id = dev_id(g),
        .pasid = r->pasid,
        .grpid = r->group,
        .perm = (r->read ? (uint32_t)IMS_PGFAULT_READ : 0u) | (r->write ? (uint32_t)IMS_PGFAULT_WRITE : 0u) |
                (r->exec ? (uint32_t)IMS_PGFAULT_EXEC : 0u) | (r->priv ? (uint32_t)IMS_PGFAULT_PRIV : 0u),
        .addr = r->addr,
        .cookie = g->cookie,
    };
    if (!ims_user_write(file->process, buf + i * sizeof m, &m, sizeof m))
      return false;
  }
  return true;
}

// Whole groups, as many as fit. A bad buffer leaves the group it meets unread.
static long fault_read(struct ims_file *file, uint64_t buf, size_t len, uint64_t offset) {
  const size_t size = sizeof(struct ims_iommu_hwpt_pgfault);
  struct fault *f = file->open->state;
  size_t done = 0;
  int err = 0;
  if (offset || len % size)
    return -ESPIPE;
  for (struct iopf_group *g; !err && (g = f->unread) != NULL;) {
    if (g->count > (len - done) / size) {
      err = -EINVAL;
      break;
    }
    err = cookie_get(f, g);
    if (err)
      break;
    if (!tell(file, g, buf + done)) {
      cookie_put(f, g);
      err = -EFAULT;
      break;
    }
    f->unread = g->queued;
    if (!f->unread)
      f->unread_end = &f->unread;
    done += g->count * size;
  }
  return done ? (long)done : err;
}

static int respond_one(struct ims_file *file, uint64_t buf) {
  struct fault *f = file->open->state;
  struct ims_iommu_hwpt_page_response r;
  if (!ims_user_read(file->process, &r, buf, sizeof r))
    return -EFAULT;
  if (r.code != IMS_PAGE_RESPONSE_SUCCESS && r.code != IMS_PAGE_RESPONSE_INVALID)
    return -EINVAL;
  struct iopf_group *g = r.cookie && r.cookie < f->room ? f->waiting[r.cookie] : NULL;
  if (!g)
    return -EINVAL;
  cookie_put(f, g);
  ims_iopf_respond(g, r.code == IMS_PAGE_RESPONSE_SUCCESS ? IOPF_SUCCESS : IOPF_INVALID);
  return 0;
}

static long fault_write(struct ims_file *file, uint64_t buf, size_t len, uint64_t offset) {
  const size_t size = sizeof(struct ims_iommu_hwpt_page_response);
  size_t done = 0;
  if (offset || len % size)
    return -ESPIPE;
  for (; done < len; done += size) {
    int err = respond_one(file, buf + done);
    if (err)
      return done ? (long)done : err;
  }
  return (long)done;
}

static unsigned fault_poll(struct open_file *o) {
  const struct fault *f = o->state;
  return (unsigned)IMS_POLLOUT | (f->unread ? (unsigned)IMS_POLLIN : 0u);
}

static void fault_close(struct open_file *o) {
  struct fault *f = o->state;
  f->obj.users--;
  ims_open_file_put(f->obj.ctx->file);
}

static const struct file_ops fault_ops = {
    .kind = IMS_FILE_FAULT_QUEUE, .release = fault_close, .read = fault_read, .write = fault_write, .poll = fault_poll};

long ims_cmd_iommu_fault_alloc(struct ucmd *u, struct ims_iommu_fault_alloc *c) {
  struct ims_file *file;
  if (c->flags)
    return -EOPNOTSUPP;
  struct fault *f = ims_object_alloc(u->ctx, sizeof *f, OBJ_FAULT);
  if (!f)
    return -ENOMEM;
  f->sink = (struct iopf_sink){.deliver = deliver, .forget = forget, .required = true};
  f->unread_end = &f->unread;
  int err = ims_object_publish(&f->obj);
  int fd = err ? err : ims_file_new(u->process, &fault_ops, f, &file);
  if (fd < 0) {
    ims_object_destroy(&f->obj);
    return fd;
  }
  f->obj.users++;
  ims_open_file_get(u->ctx->file); // an iommufd lives as long as its queues are open
  c->out_fault_id = f->obj.id;
  c->out_fault_fd = (uint32_t)fd;
  err = ims_respond(u, sizeof *c);
  if (err) {
    ims_file_undo(file);
    ims_object_destroy(&f->obj);
  }
  return err;
}

// ---- Hardware page tables that name a queue -------------------------------------------------------------------------

int ims_hwpt_fault_set(struct hwpt *h, uint32_t id) {
  struct fault *f = FIND(h->obj.ctx, id, FAULT, fault);
  if (!f)
    return -ENOENT;
  h->fault = f;
  h->d->sink = &f->sink;
  f->obj.users++;
  return 0;
}

void ims_hwpt_fault_put(struct hwpt *h) {
  if (h->fault)
    h->fault->obj.users--;
  h->fault = NULL;
}
