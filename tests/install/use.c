// SPDX-License-Identifier: Apache-2.0
//
// A stranger's program: compiles against the installed headers, links the installed library, and calls it.
#include "mem/error.h"
#include <stdio.h>

int main(void) {
  const char *sentence = ims_strerror(0);
  if (!sentence || !*sentence) {
    fprintf(stderr, "ims_strerror(0): no text\n");
    return 1;
  }
  printf("error 0: %s\n", sentence);
  return 0;
}
