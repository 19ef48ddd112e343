// SPDX-License-Identifier: Apache-2.0
// Names and sentences of the library's errors, out of the one table in error.h.
#include "mem/error.h"

const char *ims_strerror(int err) {
  switch (err) {
#define IMS_X(name, value, sentence)                                                                                   \
  case value: return sentence;
    IMS_ERRORS(IMS_X)
#undef IMS_X
  default: return "unknown error";
  }
}

const char *ims_error_name(int err) {
  switch (err) {
#define IMS_X(name, value, sentence)                                                                                   \
  case value: return #name;
    IMS_ERRORS(IMS_X)
#undef IMS_X
  default: return "?";
  }
}
