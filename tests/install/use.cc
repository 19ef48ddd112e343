// SPDX-License-Identifier: Apache-2.0
//
// The same as use.c, from C++.
#include "mem/error.h"
#include <cstdio>
#include <string>

int main() {
  const std::string sentence = ims_strerror(0);
  if (sentence.empty()) {
    std::fprintf(stderr, "ims_strerror(0): no text\n");
    return 1;
  }
  std::printf("error 0: %s\n", sentence.c_str());
  return 0;
}
