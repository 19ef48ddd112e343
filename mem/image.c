// SPDX-License-Identifier: Apache-2.0
// Files as memory: opening and mapping them, and raw images (QEMU's pmemsave).
#define _GNU_SOURCE
#include "mem/image.h"
#include "mem/file_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int ims_image_fail(struct ims_image_error *err, int code, uint64_t offset, const char *format, ...) {
  if (err) {
    va_list args;
    va_start(args, format);
    err->offset = offset;
    vsnprintf(err->detail, sizeof err->detail, format, args);
    va_end(args);
  }
  return code;
}

int ims_file_open(struct ims_file *f, const char *path, struct ims_image_error *err) {
  struct stat st;
  int code = IMS_ERR_IO;
  f->bytes = NULL;
  f->size = 0;
  f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // not to wait for the writer of a FIFO
  if (f->fd < 0)
    return ims_image_fail(err, IMS_ERR_IO, 0, "cannot open the file: %s", strerror(errno));
  if (fstat(f->fd, &st) != 0) {
    ims_image_fail(err, code, 0, "cannot stat the file: %s", strerror(errno));
  } else if (!S_ISREG(st.st_mode)) {
    ims_image_fail(err, code, 0, "found a directory, device or pipe, expected a regular file");
  } else {
    code = IMS_ERR_OK;
    f->size = (uint64_t)st.st_size;
  }
  if (code == IMS_ERR_OK && f->size > 0) {
    void *p = mmap(NULL, (size_t)f->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, f->fd, 0);
    if (p == MAP_FAILED)
      code = ims_image_fail(err, errno == ENOMEM ? IMS_ERR_NOMEM : IMS_ERR_IO, 0,
                            "cannot map the file of %" PRIu64 " bytes: %s", f->size, strerror(errno));
    else
      f->bytes = (uint8_t *)p;
  }
  if (code != IMS_ERR_OK)
    ims_file_close(f);
  return code;
}

void ims_file_close(struct ims_file *f) {
  close(f->fd);
  f->fd = -1;
}

void ims_file_unmap(struct ims_file *f) {
  if (f->bytes)
    munmap(f->bytes, (size_t)f->size);
  f->bytes = NULL;
}

// Adds the mapped file to `m`, which then owns it.
static int add(struct ims_mem *m, const struct ims_file *f, uint64_t hpa, struct ims_image_error *err) {
  if (f->size == 0)
    return ims_image_fail(err, IMS_ERR_FORMAT, 0, "file size: found 0 bytes, expected at least 1");
  if (hpa >= IMS_MEM_ADDR_END || f->size > IMS_MEM_ADDR_END - hpa)
    return ims_image_fail(err, IMS_ERR_RANGE, 0, "%" PRIu64 " bytes at 0x%" PRIx64 " end beyond %d bits of address",
                          f->size, hpa, IMS_MEM_ADDR_BITS);
  struct ims_mem_region r = {hpa, f->size, f->bytes, false};
  struct ims_mem_backing *node = malloc(sizeof *node);
  int rc = node ? ims_mem_insert(m, &r, 1, NULL) : IMS_ERR_NOMEM;
  if (rc == IMS_ERR_OK) {
    ims_mem_own(m, node, f->bytes, (size_t)f->size, f->size);
    return rc;
  }
  free(node);
  if (rc == IMS_ERR_OVERLAP)
    return ims_image_fail(err, rc, 0, "%" PRIu64 " bytes at 0x%" PRIx64 " overlap memory that is there already",
                          f->size, hpa);
  return ims_image_fail(err, rc, 0, "out of host memory");
}

int ims_image_load_raw(struct ims_mem *m, const char *path, uint64_t hpa, struct ims_image_error *err) {
  struct ims_file f;
  int rc = ims_file_open(&f, path, err);
  if (rc)
    return rc;
  ims_file_close(&f);
  rc = add(m, &f, hpa, err);
  if (rc)
    ims_file_unmap(&f);
  return rc;
}
