// SPDX-License-Identifier: Apache-2.0
// Files of memory: memfds, which processes map and iommufd takes pages from (Facts 3.4, MAP_FILE), and dma-bufs.
#include "uapi/kernel_internal.h"
#include "uapi/layout.h"
#include <stdlib.h>

void ims_memfile_put(struct memfile *f) {
  if (--f->refs)
    return;
  for (uint64_t i = 0; i < f->npages; i++)
    if (f->page[i])
      ims_frames_put(f->k, f->page[i], 1ull << f->shift);
  free(f->page);
  free(f);
}

static void release(struct open_file *o) { ims_memfile_put(o->state); }

static const struct file_ops memfd_ops = {.kind = IMS_FILE_MEMFD, .release = release};
static const struct file_ops dmabuf_ops = {.kind = IMS_FILE_OTHER, .release = release};

struct memfile *ims_memfile_of(const struct ims_file *f) {
  return f->open->ops == &memfd_ops || f->open->ops == &dmabuf_ops ? f->open->state : NULL;
}

int ims_memfile_new(struct ims_process *p, uint64_t size, unsigned flags, bool dmabuf, struct ims_file **out) {
  unsigned level = flags & IMS_MMAP_1G ? 3 : flags & IMS_MMAP_2M ? 2 : 1;
  *out = NULL;
  if (!size || size >> 52 || p->exited || !(p->fmt.leaf_levels >> level & 1) ||
      (flags & ~(unsigned)(IMS_MMAP_2M | IMS_MMAP_1G)))
    return -EINVAL;
  struct memfile *f = calloc(1, sizeof *f);
  if (!f)
    return -ENOMEM;
  f->k = p->k;
  f->refs = 1;
  f->dmabuf = dmabuf;
  f->shift = (uint8_t)ims_pgt_shift(&p->fmt, level);
  f->size = size;
  f->npages = ((size - 1) >> f->shift) + 1;
  f->page = calloc(f->npages, sizeof *f->page);
  int fd = f->page ? ims_file_new(p, dmabuf ? &dmabuf_ops : &memfd_ops, f, out) : -ENOMEM;
  if (fd < 0) {
    free(f->page);
    free(f);
  }
  return fd;
}

int ims_memfd_create(struct ims_process *p, uint64_t size, unsigned flags, struct ims_file **out) {
  return ims_memfile_new(p, size, flags, false, out);
}

int ims_memfile_page(struct memfile *f, uint64_t offset, uint64_t *hpa, uint64_t *left) {
  uint64_t i = offset >> f->shift, in = offset & ((1ull << f->shift) - 1);
  if (i >= f->npages)
    return -EINVAL;
  if (!f->page[i]) {
    int err = ims_frames_alloc(f->k, f->shift, &f->page[i]);
    if (err) {
      f->page[i] = 0;
      return ims_errno(err);
    }
  }
  *hpa = f->page[i] + in;
  *left = (1ull << f->shift) - in;
  return 0;
}
