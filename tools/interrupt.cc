// SPDX-License-Identifier: Apache-2.0
#include "tools/interrupt.h"

namespace ims {

namespace {

volatile std::sig_atomic_t came; // all that a handler may touch

void note(int) { came = 1; }

} // namespace

CatchInterrupt::CatchInterrupt() {
  came = 0;
  sigaction(SIGINT, nullptr, &before_);
  if (before_.sa_handler == SIG_IGN)
    return;
  struct sigaction action = {};
  action.sa_handler = note;
  // The second one does what it would have done; and no write that is under way fails because of the first.
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
}

CatchInterrupt::~CatchInterrupt() { sigaction(SIGINT, &before_, nullptr); }

bool interrupted() { return came; }

} // namespace ims
