// SPDX-License-Identifier: Apache-2.0
// /dev/iommu: the file, and the dispatcher with the rules that hold for every command (Facts 3.1).
#include "uapi/iommufd/iommufd_internal.h"
#include "uapi/selftest.h"
#include <stdlib.h>

static long ioctl(struct ims_file *f, uint32_t cmd, uint64_t arg);

// Closing destroys everything, leaves first: what nothing refers to, until nothing is left.
static void release(struct open_file *o) {
  struct ictx *ctx = o->state;
  ims_iommufd_unmap_all(ctx);
  for (bool again = true; again && ctx->objects;) {
    again = false;
    for (size_t id = ctx->room; id-- > 1;) {
      struct object *obj = ims_object_find(ctx, (uint32_t)id, OBJ_NONE);
      if (obj && !obj->users) {
        ims_object_destroy(obj);
        again = true;
      }
    }
  }
  free(ctx->object);
  free(ctx);
}

static const struct file_ops iommufd_ops = {.kind = IMS_FILE_IOMMUFD,
                                            .ioctl = ioctl,
                                            .release = release,
                                            .mmap = ims_iommufd_mmap,
                                            .munmap = ims_iommufd_munmap};

int ims_iommufd_open(struct ims_process *p, struct ims_file **out) {
  struct ictx *ctx = calloc(1, sizeof *ctx);
  if (!ctx)
    return -ENOMEM;
  ctx->k = p->k;
  ctx->rlimit_mode = false;
  int fd = ims_file_new(p, &iommufd_ops, ctx, out);
  if (fd < 0)
    free(ctx);
  else
    ctx->file = (*out)->open;
  return fd;
}

// ---- Copying structures ---------------------------------------------------------------------------------------------

static int copy(const struct ims_process *p, void *dst, size_t size, uint64_t src, size_t user_size) {
  memset(dst, 0, size);
  return ims_user_read(p, dst, src, user_size < size ? user_size : size) ? 0 : -EFAULT;
}

int ims_copy_struct(const struct ims_process *p, void *dst, size_t size, uint64_t src, size_t user_size) {
  uint8_t tail[256];
  for (size_t at = size; at < user_size; at += sizeof tail) {
    size_t n = user_size - at < sizeof tail ? user_size - at : sizeof tail;
    if (!ims_user_read(p, tail, src + at, n))
      return -EFAULT;
    for (size_t i = 0; i < n; i++)
      if (tail[i])
        return -E2BIG;
  }
  return copy(p, dst, size, src, user_size);
}

int ims_copy_data(const struct ims_process *p, void *dst, size_t size, size_t min, uint64_t src, size_t user_size) {
  if (user_size < min || user_size > size)
    return -EINVAL;
  return copy(p, dst, size, src, user_size);
}

int ims_user_data_copy(const struct user_data *d, uint32_t type, void *dst, size_t size, size_t min) {
  return d->type != type ? -EINVAL : ims_copy_data(d->process, dst, size, min, d->uptr, d->len);
}

int ims_user_data_write(const struct user_data *d, const void *src, size_t size) {
  return ims_user_write(d->process, d->uptr, src, size < d->len ? size : d->len) ? 0 : -EFAULT;
}

int ims_user_array_copy(const struct user_array *a, uint32_t type, uint32_t index, void *dst, size_t size, size_t min) {
  if (a->type != type || index >= a->entry_num || a->entry_len < min)
    return -EINVAL;
  return ims_copy_struct(a->process, dst, size, a->uptr + (uint64_t)index * a->entry_len, a->entry_len);
}

int ims_respond(struct ucmd *u, size_t size) {
  if (!ims_user_write(u->process, u->arg, u->cmd, size < u->user_size ? size : u->user_size))
    return -EFAULT;
  return 0;
}

// ---- Dispatch -------------------------------------------------------------------------------------------------------

union command {
#define IMS_X(name, word, s, size, min, apart) struct ims_##s s;
  IMS_IOMMUFD_COMMANDS(IMS_X)
#undef IMS_X
  struct ims_iommu_test_cmd test;
};

static long call(struct ucmd *u, union command *c, uint32_t word) {
  switch (word) {
#define IMS_X(name, word, s, size, min, apart)                                                                         \
  case word: return ims_cmd_##s(u, &c->s);
    IMS_IOMMUFD_COMMANDS(IMS_X)
#undef IMS_X
  default: return ims_cmd_iommu_test_cmd(u, &c->test);
  }
}

static const struct row {
  uint32_t word;
  uint16_t size, min;
} rows[] = {
#define IMS_X(name, word, s, size, min, apart) {word, size, min},
    IMS_IOMMUFD_COMMANDS(IMS_X)
#undef IMS_X
};

// The number alone finds the row; other bits of the word are looked at after the first read.
static const struct row *row_of(const struct ims_kernel *k, uint32_t cmd) {
  static const struct row test = {IMS_IOMMU_TEST_CMD, sizeof(struct ims_iommu_test_cmd), IMS_IOMMU_TEST_CMD_MIN};
  if (k->cfg.selftest && (cmd & 0xff) == (IMS_IOMMU_TEST_CMD & 0xff))
    return &test;
  uint32_t nr = (cmd & 0xff) - (rows[0].word & 0xff);
  return nr < sizeof rows / sizeof *rows ? &rows[nr] : NULL;
}

static long ioctl(struct ims_file *f, uint32_t cmd, uint64_t arg) {
  const struct row *r = row_of(f->process->k, cmd);
  union command c;
  struct ucmd u = {.ctx = f->open->state, .file = f, .process = f->process, .arg = arg, .cmd = &c};
  if (!r)
    return ims_vfio_compat_ioctl(f, cmd, arg);
  if (!ims_user_read(f->process, &u.user_size, arg, sizeof u.user_size))
    return -EFAULT;
  if (cmd != r->word)
    return -ENOTTY;
  if (u.user_size < r->min)
    return -EINVAL;
  int err = ims_copy_struct(f->process, &c, r->size, arg, u.user_size);
  return err ? err : call(&u, &c, cmd);
}
