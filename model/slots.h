// SPDX-License-Identifier: Apache-2.0
// So many of something, and those who wait for one, in the order in which they came.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

namespace ims::model {

template <class T> class Slots {
public:
  // 0: any number.
  explicit Slots(uint32_t limit = 0) : limit_(limit) {}

  // One is free, and taken now. Otherwise false, and nothing happened.
  bool take() {
    if (limit_ && used_ >= limit_)
      return false;
    used_++;
    return true;
  }
  bool free() const { return !limit_ || used_ < limit_; }
  void wait(T &who) { waiting_.push_back(&who); }

  // Gives one back. Returns who has it next (it stays taken), or NULL.
  T *give() {
    if (waiting_.empty()) {
      used_--;
      return nullptr;
    }
    T *next = waiting_.front();
    waiting_.pop_front();
    return next;
  }

  size_t used() const { return used_; }
  size_t waiting() const { return waiting_.size(); }

private:
  uint32_t limit_;
  size_t used_ = 0;
  std::deque<T *> waiting_;
};

} // namespace ims::model
