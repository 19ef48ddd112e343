// SPDX-License-Identifier: Apache-2.0
// The ioctls as a table: which words a file understands in which dialect, of which structures their argument is put
// together, and where each field lies. Made of the rows of uapi/vfio.h and uapi/iommufd.h; for printing and parsing calls by
// field name.
#pragma once

#include "uapi/iommufd.h"
#include "uapi/vfio.h"
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ims_uapi_form { IMS_FORM_DEC, IMS_FORM_HEX, IMS_FORM_FLAGS, IMS_FORM_ENUM, IMS_FORM_PAD };

struct ims_uapi_value {
  const char *name; // NULL ends a list
  uint64_t value;
};

struct ims_uapi_field {
  const char *name;
  uint16_t offset; // in the structure
  uint16_t bytes;
  uint8_t form;                        // enum ims_uapi_form; PAD: bytes that must be or are zero
  const struct ims_uapi_value *values; // of FLAGS and ENUM, else NULL
};

struct ims_uapi_struct {
  const char *name;
  uint16_t size;
  uint16_t fields;
  const struct ims_uapi_field *field;
};

// What a file is. FAULT_QUEUE, EVENT_QUEUE: made by ioctls of IOMMUFD. MEMFD: a process's own. OTHER: of the kernel's self-test.
enum ims_uapi_file {
  IMS_FILE_CONTAINER, // /dev/vfio/vfio
  IMS_FILE_GROUP,     // /dev/vfio/N
  IMS_FILE_IOMMUFD,   // /dev/iommu
  IMS_FILE_DEVICE,    // /dev/vfio/devices/vfioN
  IMS_FILE_FAULT_QUEUE,
  IMS_FILE_EVENT_QUEUE,
  IMS_FILE_MEMFD,
  IMS_FILE_OTHER,
  IMS_FILE_KINDS
};
// What the argument of an ioctl is: nothing, a number (SET_IOMMU, CHECK_EXTENSION), a pointer to a 32-bit number (a file
// descriptor), or a pointer to the structures in `part`.
enum ims_uapi_arg { IMS_ARG_NONE, IMS_ARG_VALUE, IMS_ARG_FD_POINTER, IMS_ARG_STRUCT };

// A structure within an argument. Its fields are called prefix + field name ("data.hpasid"). `pointer` not 0: it lies apart,
// and a field of the argument at that offset holds its address; then `length` is the offset of the 32-bit field that says
// its bytes (0: none), and `count` that of the one that says how many of them follow each other (0: one). The fields of the
// second and further ones have the number before the dot: "data.addr", "data1.addr", "data2.addr".
struct ims_uapi_part {
  const char *prefix;
  uint16_t offset;
  const struct ims_uapi_struct *layout; // NULL ends the parts
  uint8_t pointer, length, count;
};

enum { IMS_UAPI_PARTS = 4 };

// One row an ioctl and shape. An ioctl whose argument has several shapes (BIND or UNBIND, operations of NESTING_OP,
// granularities of an invalidation, formats of a bind) has a row for each: the row matches when
// (flags & flags_mask) == flags_value for the 32-bit word at offset 4 of the argument, and likewise
// (granularity byte) == granularity where that is not 0xff; a row that says the byte goes before one that does not.
struct ims_uapi_ioctl {
  const char *name;    // "VFIO_IOMMU_NESTING_OP"
  const char *variant; // "BIND_PGTBL", "CACHE_INVLD.ADDR"; "" when there is one shape
  uint32_t word;
  uint8_t file;      // enum ims_uapi_file
  uint8_t iommu_h;   // 0 whichever, else enum ims_iommu_h
  uint8_t arg;       // enum ims_uapi_arg
  uint16_t dialects; // bit per enum ims_dialect
  uint32_t flags_mask, flags_value;
  uint16_t granularity_offset;
  uint8_t granularity; // or format; 0xff: not looked at
  uint16_t size;       // bytes of the whole argument: the usual argsz
  struct ims_uapi_part part[IMS_UAPI_PARTS];
};

// The i-th row, NULL behind the last.
const struct ims_uapi_ioctl *ims_uapi_row(unsigned i);

// The row of a word in this dialect. arg, len: the argument's bytes as far as known (may be NULL, 0), to choose between
// shapes; where they do not decide, the first shape. NULL: the file has no such ioctl in this dialect.
const struct ims_uapi_ioctl *ims_uapi_by_word(enum ims_dialect dialect, enum ims_iommu_h iommu_h,
                                              enum ims_uapi_file file, uint32_t word, const void *arg, size_t len);

// The row of a name and shape. variant NULL or "": the first shape. NULL: none such in this dialect.
const struct ims_uapi_ioctl *ims_uapi_by_name(enum ims_dialect dialect, enum ims_iommu_h iommu_h, const char *name,
                                              const char *variant);

// A field of an argument by its name with prefix; sets *offset to where it lies in the argument. NULL: no such field.
const struct ims_uapi_field *ims_uapi_field_of(const struct ims_uapi_ioctl *row, const char *name, unsigned *offset);

// All structures, by name or one after the other; NULL: none such, or behind the last.
const struct ims_uapi_struct *ims_uapi_struct_by_name(const char *name);
const struct ims_uapi_struct *ims_uapi_struct_row(unsigned i);

// Names of dialects: "vsva-v1" and so on. -1: no such dialect.
const char *ims_dialect_name(enum ims_dialect dialect);
int ims_dialect_by_name(const char *name);

// AUTO resolved for the dialect.
enum ims_iommu_h ims_iommu_h_of(enum ims_dialect dialect, enum ims_iommu_h iommu_h);

#ifdef __cplusplus
}
#endif
