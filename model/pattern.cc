// SPDX-License-Identifier: Apache-2.0
#include "model/pattern.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace ims::model {

const char *const pattern_kinds[] = {"ring", "block", "stride", "random", "chase", "trace", nullptr};
const char *const stream_orders[] = {"round_robin", "random", nullptr};

namespace {

// Whose turn it is.
class Turns {
public:
  Turns(const PatternConfig &c, uint32_t streams)
      : at_random_(c.stream_order == STREAMS_AT_RANDOM), burst_(c.stream_burst), streams_(streams),
        stream_(streams - 1) {}

  uint32_t next(Random &random) {
    if (!left_) {
      left_ = burst_;
      if (at_random_)
        stream_ = static_cast<uint32_t>(random.below(streams_));
      else
        stream_ = stream_ + 1 == streams_ ? 0 : stream_ + 1;
    }
    left_--;
    return stream_;
  }

private:
  bool at_random_;
  uint32_t burst_, streams_, stream_, left_ = 0;
};

void set(Access *a, uint64_t offset, uint32_t bytes, uint32_t stream, bool write) {
  a->offset = offset;
  a->bytes = bytes;
  a->stream = stream;
  a->write = write;
  a->when = 0;
}

// Gives what a maker's begin() says in pieces that stay within a page. begin() sets all of the access.
template <class Maker> class InPieces final : public Pattern {
public:
  template <class... Arguments>
  explicit InPieces(Arguments &&...arguments) : maker_(std::forward<Arguments>(arguments)...) {}

  bool next(Access *a) override { return one(a); }
  size_t next(Access *list, size_t room) override {
    size_t n = 0;
    while (n < room && one(&list[n]))
      n++;
    return n;
  }

private:
  bool one(Access *a) {
    if (left_) {
      *a = rest_;
    } else {
      if (!maker_.begin(a))
        return false;
      left_ = a->bytes;
    }
    uint32_t room = PAGE - static_cast<uint32_t>(a->offset % PAGE);
    if (__builtin_expect(left_ <= room, 1)) {
      a->bytes = left_;
      left_ = 0;
      return true;
    }
    a->bytes = room;
    left_ -= room;
    rest_ = *a;
    rest_.offset += room;
    return true;
  }

  Maker maker_;
  uint32_t left_ = 0;
  Access rest_;
};

// What all but traces have.
class Generated {
public:
  Generated(const PatternConfig &c, uint64_t window, uint32_t streams)
      : c_(c), window_(window), random_(c.seed), turns_(c, streams), sizes_(std::max(c.size_max, c.size) / c.size) {}

protected:
  uint32_t turn() { return turns_.next(random_); }
  bool writes() { return c_.read_percent == 0 || (c_.read_percent < 100 && random_.below(100) >= c_.read_percent); }
  uint32_t some_size() { return sizes_ == 1 ? c_.size : c_.size * (1 + static_cast<uint32_t>(random_.below(sizes_))); }

  const PatternConfig c_;
  const uint64_t window_;
  Random random_;

private:
  Turns turns_;
  uint32_t sizes_;
};

class RandomMaker : public Generated {
public:
  RandomMaker(const PatternConfig &c, uint64_t window, uint32_t streams)
      : Generated(c, window, streams), places_((window - c.size) / c.size + 1) {}

  bool begin(Access *a) {
    uint32_t bytes = some_size();
    uint64_t places = bytes == c_.size ? places_ : (window_ - bytes) / c_.size + 1;
    set(a, random_.below(places) * c_.size, bytes, turn(), writes());
    return true;
  }

private:
  uint64_t places_; // of DMAs of `size`
};

class StrideMaker : public Generated {
public:
  StrideMaker(const PatternConfig &c, uint64_t window, uint32_t streams)
      : Generated(c, window, streams), place_(streams) {}

  bool begin(Access *a) {
    uint32_t stream = turn();
    uint64_t &place = place_[stream];
    set(a, place, c_.size, stream, writes());
    place += c_.stride;
    if (place + c_.size > window_)
      place = 0;
    return true;
  }

private:
  std::vector<uint64_t> place_;
};

// A stream's memory: descriptors, completions, buffers.
class RingMaker : public Generated {
public:
  RingMaker(const PatternConfig &c, uint64_t window, uint32_t streams)
      : Generated(c, window, streams), slot_(std::max({c.buffer_bytes, c.size, c.size_max})), rings_(rings(c)),
        buffers_((window - rings_) / slot_), place_(streams) {}

  static uint64_t rings(const PatternConfig &c) {
    return uint64_t{c.ring_entries} * (c.descriptor_bytes + c.completion_bytes);
  }

  bool begin(Access *a) {
    if (step_ == DESCRIPTOR) {
      stream_ = turn();
      received_ = writes();
    }
    Place &place = place_[stream_];
    switch (step_) {
    case DESCRIPTOR:
      set(a, uint64_t{place.entry} * c_.descriptor_bytes, c_.descriptor_bytes, stream_, false);
      step_ = BUFFER;
      break;
    case BUFFER:
      set(a, rings_ + place.buffer * slot_, some_size(), stream_, received_);
      if (++place.buffer == buffers_)
        place.buffer = 0;
      if (c_.completion_bytes)
        step_ = COMPLETION;
      else
        turn_ring(place);
      break;
    default:
      set(a, uint64_t{c_.ring_entries} * c_.descriptor_bytes + uint64_t{place.entry} * c_.completion_bytes,
          c_.completion_bytes, stream_, true);
      turn_ring(place);
    }
    return true;
  }

private:
  struct Place {
    uint32_t entry = 0;
    uint64_t buffer = 0;
  };

  void turn_ring(Place &place) {
    if (++place.entry == c_.ring_entries)
      place.entry = 0;
    step_ = DESCRIPTOR;
  }

  enum Step { DESCRIPTOR, BUFFER, COMPLETION } step_ = DESCRIPTOR;
  uint64_t slot_, rings_, buffers_;
  std::vector<Place> place_;
  uint32_t stream_ = 0;
  bool received_ = false;
};

class BlockMaker : public Generated {
public:
  BlockMaker(const PatternConfig &c, uint64_t window, uint32_t streams)
      : Generated(c, window, streams), turn_(streams), io_(size_t{streams} * c.queues) {}

  bool begin(Access *a) {
    uint32_t stream = turn();
    uint32_t &queue = turn_[stream];
    Io &io = io_[size_t{stream} * c_.queues + queue];
    queue = queue + 1 == c_.queues ? 0 : queue + 1;
    if (!io.left) {
      io.left = c_.io_bytes;
      io.write = writes();
      io.place = random_.below((window_ - c_.io_bytes) / c_.size + 1) * c_.size;
    }
    set(a, io.place, std::min(c_.size, io.left), stream, io.write);
    io.place += a->bytes;
    io.left -= a->bytes;
    return true;
  }

private:
  struct Io {
    uint64_t place = 0;
    uint32_t left = 0;
    bool write = false;
  };

  std::vector<uint32_t> turn_; // the queue that is next, of each stream
  std::vector<Io> io_;
};

// The places of a chain are a permutation: a counter modulo 2^bits that takes all values (Hull and Dobell), then a mixture
// that can be undone, with values beyond the last place left out.
class ChasePattern : public Pattern {
public:
  ChasePattern(const PatternConfig &c, uint64_t window, uint32_t streams)
      : size_(c.size), streams_(streams), slot_(1), state_(c.chains) {
    while (slot_ < size_)
      slot_ *= 2;
    places_ = window / slot_;
    while (mask_ < places_ - 1)
      mask_ = mask_ << 1 | 1;
    half_ = (static_cast<unsigned>(__builtin_popcountll(mask_)) + 1) / 2;
    Random random(c.seed);
    for (uint64_t &state : state_)
      state = random.next() & mask_;
  }
  bool next(Access *a) override {
    uint32_t chain = turn_;
    turn_ = turn_ + 1 == chains() ? 0 : turn_ + 1;
    return next_of(chain, a);
  }
  uint32_t chains() const override { return static_cast<uint32_t>(state_.size()); }
  bool next_of(uint32_t chain, Access *a) override {
    uint64_t &state = state_[chain], place;
    do {
      state = (state * 0x5851f42d4c957f2dull + 0x14057b7ef767814full) & mask_;
      place = mix(state);
    } while (place >= places_);
    set(a, place * slot_, size_, chain % streams_, false);
    return true;
  }

private:
  uint64_t mix(uint64_t v) const {
    v ^= v >> half_;
    v = v * 0xbf58476d1ce4e5b9ull & mask_;
    v ^= v >> half_;
    v = v * 0x94d049bb133111ebull & mask_;
    return v ^ v >> half_;
  }

  uint32_t size_, streams_, turn_ = 0;
  uint64_t slot_, places_ = 0, mask_ = 0;
  unsigned half_ = 0;
  std::vector<uint64_t> state_;
};

class TraceMaker {
public:
  explicit TraceMaker(std::vector<Access> list) : list_(std::move(list)) {}

  bool begin(Access *a) {
    if (next_ == list_.size())
      return false;
    *a = list_[next_++];
    return true;
  }

private:
  std::vector<Access> list_;
  size_t next_ = 0;
};

[[noreturn]] void refuse(const char *knob, uint64_t found, const std::string &expected) {
  throw std::invalid_argument(std::string("device.") + knob + ": found " + std::to_string(found) + ", expected " +
                              expected);
}

uint64_t window_of(const PatternConfig &c, const std::vector<Stream> &streams) {
  if (streams.empty())
    throw std::invalid_argument("device: found no stream, expected at least one");
  uint64_t smallest = std::numeric_limits<uint64_t>::max();
  for (const Stream &s : streams)
    smallest = std::min(smallest, s.bytes);
  uint64_t window = c.window_kib ? uint64_t{c.window_kib} * 1024 : smallest;
  if (window > smallest)
    refuse("window_kib", c.window_kib,
           "at most " + std::to_string(smallest / 1024) + ", the memory of the smallest stream");
  return window;
}

void want_room(uint64_t window, uint64_t needed, const char *what) {
  if (window < needed)
    throw std::invalid_argument("device.window_kib: found " + std::to_string(window) + " bytes, expected at least " +
                                std::to_string(needed) + ", " + what);
}

} // namespace

std::unique_ptr<Pattern> make_pattern(const PatternConfig &c, const std::vector<Stream> &streams) {
  uint64_t window = window_of(c, streams);
  uint32_t n = static_cast<uint32_t>(streams.size());
  if (c.size_max && c.size_max < c.size)
    refuse("size_max", c.size_max, "0 or at least `size`, which is " + std::to_string(c.size));
  uint32_t largest = std::max(c.size, c.size_max);
  switch (c.pattern) {
  case PATTERN_RING:
    want_room(window, RingMaker::rings(c) + std::max(largest, c.buffer_bytes), "the rings and one buffer");
    return std::make_unique<InPieces<RingMaker>>(c, window, n);
  case PATTERN_BLOCK:
    want_room(window, c.io_bytes, "an I/O");
    return std::make_unique<InPieces<BlockMaker>>(c, window, n);
  case PATTERN_STRIDE: want_room(window, c.size, "a DMA"); return std::make_unique<InPieces<StrideMaker>>(c, window, n);
  case PATTERN_RANDOM:
    want_room(window, largest, "the largest DMA");
    return std::make_unique<InPieces<RandomMaker>>(c, window, n);
  case PATTERN_CHASE:
    if (c.size > Pattern::PAGE)
      refuse("size", c.size, "at most 4096 with pointers that are followed");
    want_room(window, Pattern::PAGE, "a page");
    return std::make_unique<ChasePattern>(c, window, n);
  default: throw std::invalid_argument("device.pattern: found trace without a list of accesses, expected one");
  }
}

// Traces.

namespace {

enum { TIME, STREAM, IOVA, BYTES, ACCESS, COLUMNS };
const char *const columns[COLUMNS] = {"time_ns", "stream", "iova", "bytes", "access"};

bool number(std::string_view text, uint64_t *value) {
  int base = 10;
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
    text.remove_prefix(2);
    base = 16;
  }
  const char *end = text.data() + text.size();
  auto r = std::from_chars(text.data(), end, *value, base);
  return r.ec == std::errc() && r.ptr == end;
}

// Nanoseconds with up to three decimals, into picoseconds.
bool picoseconds(std::string_view text, uint64_t *value) {
  size_t point = text.find('.');
  std::string_view decimals = point == text.npos ? "" : text.substr(point + 1);
  uint64_t whole, part = 0;
  if (!number(text.substr(0, point), &whole) || whole > std::numeric_limits<uint64_t>::max() / 1000 - 1 ||
      decimals.size() > 3 || (point != text.npos && decimals.empty()))
    return false;
  for (size_t i = 0; i < 3; i++) {
    if (i < decimals.size() && (decimals[i] < '0' || decimals[i] > '9'))
      return false;
    part = part * 10 + (i < decimals.size() ? static_cast<uint64_t>(decimals[i] - '0') : 0);
  }
  *value = whole * 1000 + part;
  return true;
}

std::string hex(uint64_t v) {
  char text[16];
  auto r = std::to_chars(text, text + sizeof text, v, 16);
  return "0x" + std::string(text, r.ptr);
}

class TraceParser {
public:
  TraceParser(const std::string &file, const std::vector<Stream> &streams) : file_(file), streams_(streams) {}

  std::vector<Access> parse(std::string_view text) {
    std::vector<Access> list;
    bool header = false;
    while (!text.empty()) {
      size_t end = text.find('\n');
      std::string_view line = text.substr(0, end);
      text.remove_prefix(end == text.npos ? text.size() : end + 1);
      if (!line.empty() && line.back() == '\r')
        line.remove_suffix(1);
      line_++;
      if (line.empty() || line[0] == '#')
        continue;
      split(line);
      if (!header)
        read_header();
      else
        list.push_back(read_row());
      header = true;
    }
    if (!header)
      fail("", "nothing", "a header line with the columns stream, iova, bytes, access and perhaps time_ns");
    return list;
  }

private:
  [[noreturn]] void fail(const char *column, std::string_view found, const std::string &expected) const {
    std::string message = file_ + ":" + std::to_string(line_) + ": ";
    if (*column)
      message += std::string(column) + ": ";
    throw PatternError(message + "found " + std::string(found) + ", expected " + expected);
  }
  void split(std::string_view line) {
    fields_.clear();
    for (size_t from = 0; from <= line.size();) {
      size_t tab = std::min(line.find('\t', from), line.size());
      fields_.push_back(line.substr(from, tab - from));
      from = tab + 1;
    }
  }
  void read_header() {
    for (size_t i = 0; i < fields_.size(); i++) {
      size_t c = 0;
      while (c < COLUMNS && fields_[i] != columns[c])
        c++;
      if (c == COLUMNS)
        fail("header", quoted(fields_[i]), "time_ns, stream, iova, bytes or access");
      if (place_[c] >= 0)
        fail("header", quoted(fields_[i]) + " twice", "each column once");
      place_[c] = static_cast<int>(i);
    }
    width_ = fields_.size();
    for (size_t c = STREAM; c < COLUMNS; c++)
      if (place_[c] < 0)
        fail("header", std::string("no ") + columns[c], "the columns stream, iova, bytes and access");
  }
  std::string_view field(size_t column) const { return fields_[static_cast<size_t>(place_[column])]; }
  static std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

  uint64_t read_number(size_t column, uint64_t low, uint64_t high, const std::string &expected) const {
    uint64_t value;
    if (!number(field(column), &value) || value < low || value > high)
      fail(columns[column], quoted(field(column)), expected);
    return value;
  }

  Access read_row() {
    if (fields_.size() != width_)
      fail("", std::to_string(fields_.size()) + " fields", std::to_string(width_));
    Access a;
    if (place_[TIME] >= 0) {
      if (!picoseconds(field(TIME), &a.when))
        fail(columns[TIME], quoted(field(TIME)), "nanoseconds with up to three decimals");
      if (a.when < last_)
        fail(columns[TIME], quoted(field(TIME)), "no time before that of the line above");
      last_ = a.when;
    }
    a.stream = static_cast<uint32_t>(read_number(
        STREAM, 0, streams_.size() - 1, "the number of a stream, 0 to " + std::to_string(streams_.size() - 1)));
    const Stream &s = streams_[a.stream];
    a.bytes = static_cast<uint32_t>(read_number(BYTES, 1, std::numeric_limits<uint32_t>::max(), "1 to 4294967295"));
    if (a.bytes > s.bytes)
      fail(columns[BYTES], quoted(field(BYTES)), "no more than the stream's " + std::to_string(s.bytes));
    uint64_t last = s.iova + (s.bytes - a.bytes);
    a.offset =
        read_number(IOVA, s.iova, last, "an address of the stream's memory, " + hex(s.iova) + " to " + hex(last)) -
        s.iova;
    if (field(ACCESS) != "r" && field(ACCESS) != "w")
      fail(columns[ACCESS], quoted(field(ACCESS)), "r or w");
    a.write = field(ACCESS) == "w";
    return a;
  }

  const std::string &file_;
  const std::vector<Stream> &streams_;
  unsigned line_ = 0;
  int place_[COLUMNS] = {-1, -1, -1, -1, -1};
  size_t width_ = 0;
  std::vector<std::string_view> fields_;
  uint64_t last_ = 0;
};

} // namespace

std::unique_ptr<Pattern> parse_trace(std::string_view text, const std::string &file,
                                     const std::vector<Stream> &streams) {
  if (streams.empty())
    throw std::invalid_argument("device: found no stream, expected at least one");
  return std::make_unique<InPieces<TraceMaker>>(TraceParser(file, streams).parse(text));
}

} // namespace ims::model
