// SPDX-License-Identifier: Apache-2.0
// Fuzz target: iommufd and VFIO device ioctls with hostile structures from two threads, DMA and page requests between them,
// against two units. What must hold after each call is checked by RandomIommufd; here, that nothing is left behind.
#include "tests/uapi/random_iommufd.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uapi_test::RandomIommufd calls(data, size);
  uint64_t before = calls.Quiet();
  calls.Run();
  if (calls.Quiet() > before + calls.Allowance())
    abort();
  return 0;
}
