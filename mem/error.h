// SPDX-License-Identifier: Apache-2.0
// Errors of the library: a caller's mistake, a bad file, a lack of memory. They are negative numbers, returned and never
// stored. An architectural fault is no error; it is a value of its own (iommu/xlate.h).
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// clang-format off
#define IMS_ERRORS(X)                                                        \
  X(OK,        0, "no error")                                                \
  X(BUS,      -1, "no memory at this address")                               \
  X(NOMEM,    -2, "out of host memory")                                      \
  X(INVAL,    -3, "invalid argument")                                        \
  X(RANGE,    -4, "address or size out of range")                            \
  X(OVERLAP,  -5, "overlaps what is there already")                          \
  X(NOENT,    -6, "no such entry")                                           \
  X(EXIST,    -7, "exists already")                                          \
  X(IO,       -8, "the file could not be read or written")                   \
  X(FORMAT,   -9, "the file or structure is malformed")                      \
  X(NOSPACE, -10, "no space left in this range or quota")                    \
  X(PERM,    -11, "belongs to another owner")                                \
  X(UNSUP,   -12, "not supported by this configuration")
// clang-format on

enum ims_error {
#define IMS_X(name, value, sentence) IMS_ERR_##name = (value),
  IMS_ERRORS(IMS_X)
#undef IMS_X
};

// The sentence of an error; any integer is taken, unknown ones answer "unknown error". Static storage.
const char *ims_strerror(int err);

// The name of an error without its prefix ("BUS"); unknown ones answer "?". Static storage.
const char *ims_error_name(int err);

#ifdef __cplusplus
}
#endif
