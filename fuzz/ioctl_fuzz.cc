// SPDX-License-Identifier: Apache-2.0
// Fuzz target: calls with hostile structures, DMA, page requests and edits, chosen by the input, against two VT-d units.
// What must hold is checked by RandomCalls itself, at its end too: nothing is left behind.
#include "tests/uapi/random_calls.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uapi_test::RandomCalls calls(data, size);
  calls.Run();
  return 0;
}
