// SPDX-License-Identifier: Apache-2.0
// Where a device reads and writes: one access after the other, over any number of streams.
//
//   ring     a network card: for each packet its descriptor is read, its buffer is written (or read, when it is sent), and
//            its completion is written back; descriptors, completions and buffers lie in rings, one after the other
//   block    queues of I/Os: each begins anywhere and goes on in consecutive pieces
//   stride   addresses at a fixed distance; with stride = size one after the other
//   random   any place with equal probability, aligned to `size`
//   chase    pointers: each address is known only when the access before is done; every place once, then over again
//   trace    a list (parse_trace)
//
// Accesses lie in one page of 4096 bytes each: longer ones come in pieces. The same configuration gives the same accesses
// everywhere (model/random.h).
#pragma once

#include "model/part.h"
#include "model/random.h"
#include "model/stream.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ims::model {

extern const char *const pattern_kinds[]; // "ring", "block", ...
extern const char *const stream_orders[]; // "round_robin", "random"
enum PatternKind { PATTERN_RING, PATTERN_BLOCK, PATTERN_STRIDE, PATTERN_RANDOM, PATTERN_CHASE, PATTERN_TRACE };
enum StreamOrder { STREAMS_IN_TURN, STREAMS_AT_RANDOM };

// clang-format off
#define IMS_MODEL_PATTERN_KNOBS(N, T, U, W)                                                                          \
  W(pattern, PATTERN_RANDOM, pattern_kinds, "where DMAs go")                                                         \
  N(window_kib, 0, 0, 4294967295, "KiB", "of each stream's memory that are used; 0 = all of the smallest stream")    \
  N(size, 64, 1, 65536, "bytes", "of a DMA; of a packet (ring)")                                                     \
  N(size_max, 0, 0, 65536, "bytes", "of the largest DMA or packet (random, ring): sizes vary evenly by steps of "    \
                                    "`size` up to it; 0 = all are of `size`")                                        \
  N(read_percent, 100, 0, 100, "%", "of DMAs that read memory, the others write it; of packets that are sent "       \
                                    "(ring), of I/Os (block)")                                                       \
  W(stream_order, STREAMS_IN_TURN, stream_orders, "whose turn it is")                                                \
  N(stream_burst, 1, 1, 1000000, "DMAs", "of a stream before the next one's turn; packets (ring)")                   \
  N(stride, 4096, 1, 4294967295, "bytes", "from one address to the next (stride)")                                   \
  N(ring_entries, 256, 1, 65536, "entries", "in a ring (ring)")                                                      \
  N(descriptor_bytes, 16, 1, 256, "bytes", "of a descriptor (ring)")                                                 \
  N(completion_bytes, 16, 0, 256, "bytes", "of a completion (ring); 0 = none is written")                            \
  N(buffer_bytes, 2048, 1, 65536, "bytes", "between the beginnings of two buffers (ring); not less than a packet")   \
  N(queues, 4, 1, 4096, "queues", "of each stream, which take turns (block)")                                        \
  N(io_bytes, 65536, 1, 1073741824, "bytes", "of an I/O (block)")                                                    \
  N(chains, 1, 1, 4096, "chains", "of pointers that are followed at once (chase), in streams 0, 1, ... in turn")     \
  N(seed, 1, 0, 4294967295, "", "of all that is random")
// clang-format on

struct PatternConfig {
  IMS_MODEL_FIELDS(IMS_MODEL_PATTERN_KNOBS)
};

struct Access {
  uint64_t offset = 0; // from the beginning of the stream's memory
  uint32_t bytes = 0;
  uint32_t stream = 0;
  bool write = false;
  uint64_t when = 0; // not before this time after the device began, in ps
};

class Pattern {
public:
  static constexpr uint32_t PAGE = 4096;

  virtual ~Pattern() = default;
  virtual bool next(Access *access) = 0; // false: there are no more
  // The next `room`, or fewer when there are no more; returns how many.
  virtual size_t next(Access *list, size_t room) {
    size_t n = 0;
    while (n < room && next(&list[n]))
      n++;
    return n;
  }

  // Not 0: only so many accesses can be under way, each a link of its chain; next_of() gives the one after that which is
  // done now.
  virtual uint32_t chains() const { return 0; }
  virtual bool next_of(uint32_t /*chain*/, Access *access) { return next(access); }
};

// std::invalid_argument names the knob, what was found and what was expected. Not for traces.
std::unique_ptr<Pattern> make_pattern(const PatternConfig &config, const std::vector<Stream> &streams);

// "file:line: column: found X, expected Y"
class PatternError : public std::runtime_error {
  using runtime_error::runtime_error;
};

// TSV, a header first, columns in any order; lines that are empty or begin with # are skipped.
//   time_ns  when, from the beginning on, not before the line above; up to three decimals. The column may be missing.
//   stream   number of the stream, from 0
//   iova     address, in the stream's memory
//   bytes    length
//   access   r or w
// `file` is for messages. PatternError.
std::unique_ptr<Pattern> parse_trace(std::string_view text, const std::string &file,
                                     const std::vector<Stream> &streams);

} // namespace ims::model
