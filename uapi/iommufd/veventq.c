// SPDX-License-Identifier: Apache-2.0
// Events of a virtual IOMMU, read by the VMM from a file: a header with a sequence number, then what the driver wrote. When
// the queue is full, one header without an event stands at its end and counts on, so that the reader sees a gap. Facts 3.8;
// Linux 7.x, iommufd/eventq.c, driver.c.
#include "uapi/iommufd/iommufd_internal.h"
#include <stdlib.h>

enum { MAX_DEPTH = 1 << 19 };

struct event {
  struct event *next;
  struct ims_iommufd_vevent_header header;
  size_t len;
  uint8_t bytes[];
};

struct veventq {
  struct object obj;
  struct viommu *viommu;
  struct veventq *next;
  uint32_t type, depth, events, sequence;
  struct event *first, **end;
  bool lost; // the header of lost events is the last of the queue
  struct ims_iommufd_vevent_header lost_header;
};

static struct veventq *find(const struct viommu *v, uint32_t type) {
  struct veventq *q = v->veventqs;
  while (q && q->type != type)
    q = q->next;
  return q;
}

void ims_veventq_release(struct object *o) {
  struct veventq *q = (struct veventq *)o;
  for (struct veventq **at = &q->viommu->veventqs; *at; at = &(*at)->next)
    if (*at == q) {
      *at = q->next;
      break;
    }
  for (struct event *e; (e = q->first) != NULL; free(e))
    q->first = e->next;
  q->viommu->obj.users--;
}

int ims_viommu_report(struct viommu *v, uint32_t type, const void *event, size_t len) {
  struct veventq *q = find(v, type);
  if (!q)
    return -EOPNOTSUPP;
  const bool full = q->events == q->depth;
  struct event *e = full ? NULL : malloc(sizeof *e + len);
  uint32_t sequence = q->sequence;
  q->sequence = (q->sequence + 1) & INT32_MAX;
  // The header of lost events goes when another comes behind it: the gap in the numbers says the same.
  q->lost = !e;
  if (!e) {
    q->lost_header = (struct ims_iommufd_vevent_header){IMS_VEVENT_LOST_EVENTS, sequence};
    return full ? 0 : -ENOMEM;
  }
  e->next = NULL;
  e->header = (struct ims_iommufd_vevent_header){0, sequence};
  e->len = len;
  memcpy(e->bytes, event, len);
  *q->end = e;
  q->end = &e->next;
  q->events++;
  return 0;
}

// ---- The file -------------------------------------------------------------------------------------------------------

static void release(struct open_file *o) {
  struct veventq *q = o->state;
  struct open_file *ctx = q->obj.ctx->file;
  q->obj.users--;
  ims_open_file_put(ctx);
}

static bool put(const struct ims_file *f, uint64_t to, const struct ims_iommufd_vevent_header *h,
                const struct event *e) {
  return ims_user_write(f->process, to, h, sizeof *h) &&
         (!e || ims_user_write(f->process, to + sizeof *h, e->bytes, e->len));
}

static long read(struct ims_file *f, uint64_t buf, size_t count, uint64_t offset) {
  struct veventq *q = f->open->state;
  const size_t header = sizeof(struct ims_iommufd_vevent_header);
  size_t done = 0;
  if (offset)
    return -ESPIPE;
  if (count < header)
    return -EINVAL;
  while ((q->first || q->lost) && count - done >= header) {
    struct event *e = q->first;
    if (e && count - done < header + e->len)
      return done ? (long)done : -EINVAL;
    if (!put(f, buf + done, e ? &e->header : &q->lost_header, e))
      return done ? (long)done : -EFAULT;
    if (!e) {
      q->lost = false;
      return (long)(done + header);
    }
    done += header + e->len;
    q->first = e->next;
    if (!q->first)
      q->end = &q->first;
    q->events--;
    free(e);
  }
  return (long)done;
}

static unsigned poll(struct open_file *o) {
  const struct veventq *q = o->state;
  return q->first || q->lost ? IMS_POLLIN : 0;
}

static const struct file_ops ops = {.kind = IMS_FILE_EVENT_QUEUE, .release = release, .read = read, .poll = poll};

// ---- The ioctl ------------------------------------------------------------------------------------------------------

long ims_cmd_iommu_veventq_alloc(struct ucmd *u, struct ims_iommu_veventq_alloc *c) {
  if (c->flags || c->reserved || !c->type)
    return -EOPNOTSUPP;
  if (!c->veventq_depth || c->veventq_depth > MAX_DEPTH)
    return -EINVAL;
  struct viommu *v = FIND(u->ctx, c->viommu_id, VIOMMU, viommu);
  if (!v)
    return -ENOENT;
  if (find(v, c->type))
    return -EEXIST;
  struct veventq *q = ims_object_alloc(u->ctx, sizeof *q, OBJ_VEVENTQ);
  if (!q)
    return -ENOMEM;
  q->viommu = v;
  q->type = c->type;
  q->depth = c->veventq_depth;
  q->end = &q->first;
  v->obj.users++;
  struct veventq **end = &v->veventqs;
  while (*end)
    end = &(*end)->next;
  *end = q;
  struct ims_file *f = NULL;
  int fd = ims_file_new(u->process, &ops, q, &f), err = fd < 0 ? fd : 0;
  if (!err) { // the file keeps the queue and the context
    q->obj.users++;
    ims_open_file_get(u->ctx->file);
    err = ims_object_publish(&q->obj);
  }
  if (!err) {
    c->out_veventq_id = q->obj.id;
    c->out_veventq_fd = (uint32_t)fd;
    err = ims_respond(u, sizeof *c);
  }
  if (!err)
    return 0;
  if (f)
    ims_file_undo(f);
  ims_object_destroy(&q->obj);
  return err;
}
