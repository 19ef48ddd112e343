// SPDX-License-Identifier: Apache-2.0
// SIGINT ends a long run cleanly: what has been counted until then is written, marked as interrupted, and the program ends
// with status 1, since not all was done. A second SIGINT kills it as usual.
#pragma once

#include <csignal>

namespace ims {

// While it lives, the first SIGINT is noted instead of ending the program. One at a time. Where the program was started
// with SIGINT ignored (nohup, a background job of a shell script), it stays ignored.
class CatchInterrupt {
public:
  CatchInterrupt();
  ~CatchInterrupt();
  CatchInterrupt(const CatchInterrupt &) = delete;
  CatchInterrupt &operator=(const CatchInterrupt &) = delete;

private:
  struct sigaction before_;
};

// Whether SIGINT has come since a CatchInterrupt was made. Costs a load: long loops ask every time round.
bool interrupted();

} // namespace ims
