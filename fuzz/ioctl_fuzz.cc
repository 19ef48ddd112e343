// SPDX-License-Identifier: Apache-2.0
// Fuzz target: calls with hostile structures, DMA, page requests and edits, chosen by the input, against two VT-d units.
// What must hold after each call is checked by RandomCalls; here, that nothing but a PASID table a device is left behind.
#include "tests/uapi/random_calls.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uapi_test::RandomCalls calls(data, size);
  uint64_t before = calls.Quiet();
  calls.Run();
  if (calls.Quiet() > before + uapi_test::RandomCalls::kDevices * 4096)
    abort();
  return 0;
}
