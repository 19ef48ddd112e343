// SPDX-License-Identifier: Apache-2.0
// Helpers of the image readers: mapping a file, and saying what is wrong with it. Not for other folders.
#pragma once

#include "mem/backing_internal.h"
#include "mem/image.h"

#ifdef __cplusplus
extern "C" {
#endif

// A file mapped whole, private and writable. `bytes` is NULL for an empty file.
struct ims_file {
  uint8_t *bytes;
  uint64_t size;
  int fd; // open until ims_file_close
};

// IO, NOMEM. An empty file is no error.
int ims_file_open(struct ims_file *f, const char *path, struct ims_image_error *err);
void ims_file_close(struct ims_file *f); // closes the descriptor; the mapping stays
void ims_file_unmap(struct ims_file *f); // for the way out on error

// Fills `err` unless it is NULL. Returns `code`.
int ims_image_fail(struct ims_image_error *err, int code, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#ifdef __cplusplus
}
#endif
