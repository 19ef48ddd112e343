// SPDX-License-Identifier: Apache-2.0
// What a driver does around each DMA when buffers are mapped only while a device uses them (streaming DMA): a device that
// is given a mapper asks it before a DMA is sent and tells it when the DMA is over. model/host.h has one.
#pragma once

#include "model/stream.h"

#include <cstdint>

namespace ims::model {

struct DmaMapper {
  // Called once as an action of the agenda, at the time when it is done; never from within before() or after().
  // ok = false: it could not be mapped; the DMA must not be sent, and after() is not due.
  struct Done {
    void (*call)(void *object, uint64_t argument, bool ok) = nullptr; // NULL: nobody
    void *object = nullptr;
    uint64_t argument = 0;
    void operator()(bool ok) const {
      if (call)
        call(object, argument, ok);
    }
  };
  // done<&Device::mapped>(this, tag)
  template <auto member, class T> static Done done(T *object, uint64_t argument = 0) {
    return {[](void *o, uint64_t a, bool ok) { (static_cast<T *>(o)->*member)(a, ok); }, object, argument};
  }

  virtual ~DmaMapper() = default;
  virtual void before(const Stream &stream, uint64_t iova, uint64_t bytes, Done done) = 0;
  virtual void after(const Stream &stream, uint64_t iova, uint64_t bytes, Done done) = 0;
  // What is mapped is widened to pages of so many bytes: two buffers must not lie in one.
  virtual uint64_t page_bytes() const { return 4096; }
};

} // namespace ims::model
