// SPDX-License-Identifier: Apache-2.0
#include "model/memory.h"

#include <algorithm>

namespace ims::model {

const char *const memory_kinds[] = {"fixed", "dram", nullptr};
IMS_MODEL_PART(MemoryConfig, "memory", "the memory behind the IOMMU", IMS_MODEL_MEMORY_KNOBS)

static constexpr uint64_t LINE = 64;

Memory::Memory(sc_core::sc_module_name name, ims_mem *bytes, const MemoryConfig &config)
    : sc_module(name), port("port", this, {&Memory::b_transport, &Memory::arrive, &Memory::dmi, &Memory::debug}),
      bytes_(bytes), config_(config), agenda_(Agenda::of_simulation()),
      dmi_(config.kind == MEMORY_FIXED && !config.bandwidth), read_time_(to_sc(config.read_ns)),
      write_time_(to_sc(config.write_ns)), channels_(config.channels), banks_(config.banks),
      columns_(config.row_bytes / LINE), empty_(std::max(config.row_empty_ns, config.row_hit_ns) - config.row_hit_ns),
      conflict_(std::max(config.row_conflict_ns, config.row_hit_ns) - config.row_hit_ns) {
  if (config.kind == MEMORY_DRAM) {
    row_.assign(size_t{config.channels} * config.banks, CLOSED);
    shared_.bank.assign(row_.size(), 0);
    shared_.bus.assign(config.channels, 0);
    alone_ = shared_;
  }
}

void Memory::collect(StatisticSink &sink) const {
  IMS_STATISTIC_TELL(sink, name(), count_, IMS_MODEL_MEMORY_STATISTICS)
}

// Data.

// Inlined where it is used: the way of every transaction.
inline __attribute__((always_inline)) tlm::tlm_response_status Memory::move(Payload &p, WalkExtension *walk) {
  uint64_t hpa = p.get_address();
  uint32_t length = p.get_data_length();
  unsigned char *data = p.get_data_ptr();
  if (__builtin_expect(p.get_byte_enable_ptr() != nullptr, 0))
    return tlm::TLM_BYTE_ENABLE_ERROR_RESPONSE;
  if (__builtin_expect(p.get_streaming_width() < length || !length, 0))
    return tlm::TLM_BURST_ERROR_RESPONSE;
  if (__builtin_expect(!data, 0))
    return tlm::TLM_GENERIC_ERROR_RESPONSE;
  int e;
  if (p.is_write()) {
    e = ims_mem_write(bytes_, hpa, data, length);
  } else if (walk && walk->swap) {
    if (length != 8)
      return tlm::TLM_BURST_ERROR_RESPONSE;
    uint64_t seen = 0;
    e = ims_mem_cas64(bytes_, hpa, walk->expected, walk->desired, &seen);
    if (!e)
      memcpy(data, &seen, 8);
    walk->swapped_here = !e;
  } else if (length == 8) {
    uint64_t word = 0;
    e = ims_mem_load64(bytes_, hpa, &word);
    memcpy(data, &word, 8);
  } else {
    e = ims_mem_read(bytes_, hpa, data, length);
  }
  return e ? tlm::TLM_ADDRESS_ERROR_RESPONSE : tlm::TLM_OK_RESPONSE;
}

// Moves the data and counts. False: refused.
inline __attribute__((always_inline)) bool Memory::perform(Payload &p) {
  auto *walk = p.get_extension<WalkExtension>();
  bool ignore = p.get_command() == tlm::TLM_IGNORE_COMMAND;
  tlm::tlm_response_status status = ignore ? tlm::TLM_OK_RESPONSE : move(p, walk);
  p.set_response_status(status);
  p.set_dmi_allowed(dmi_ && status == tlm::TLM_OK_RESPONSE && !ignore);
  if (status != tlm::TLM_OK_RESPONSE) {
    count_.errors++;
    return false;
  }
  if (writes(p)) {
    count_.writes++;
    count_.walker_writes += walk != nullptr;
    count_.bytes_written += bytes_of(p);
  } else {
    bool swap = walk && walk->swap && !ignore;
    count_.swaps += swap;
    count_.reads += !swap;
    count_.walker_reads += walk && !swap;
    count_.bytes_read += bytes_of(p);
  }
  return true;
}

// Time.

// What the bank needs before the column can be read, and where the line is. The row is open afterwards.
Ticks Memory::row_time(uint64_t line, uint64_t *bank, uint64_t *channel) {
  uint64_t row = line;
  *channel = channels_.take(&row);
  columns_.take(&row);
  *bank = *channel * banks_.n + banks_.take(&row);
  uint64_t open = row_[*bank];
  row_[*bank] = row;
  if (open == row) {
    count_.row_hits++;
    return 0;
  }
  if (open == CLOSED) {
    count_.row_empty++;
    return empty_;
  }
  count_.row_conflicts++;
  return conflict_;
}

// When the last of the lines is there.
Ticks Memory::lines_time(const Payload &p, Ticks now, Timing *timing) {
  uint64_t first = p.get_address() / LINE, last = (p.get_address() + std::max(bytes_of(p), 1u) - 1) / LINE;
  Ticks done = now;
  for (uint64_t n = last - first + 1; n; n--, first++) {
    uint64_t bank, channel;
    Ticks alone = row_time(first, &bank, &channel) + config_.row_hit_ns + config_.line_ns;
    Ticks end = std::max(now, timing->bank[bank]) + alone;
    end = std::max(end, timing->bus[channel] + config_.line_ns);
    count_.waited_ps += end - now - alone;
    timing->bank[bank] = end - config_.row_hit_ns;
    timing->bus[channel] = end;
    done = std::max(done, end);
    count_.busy_ps += config_.line_ns;
  }
  return done;
}

// Lines of one request wait for each other also when nobody else is there.
Ticks Memory::dram_alone(const Payload &p) {
  if (p.get_address() % LINE + bytes_of(p) <= LINE) {
    uint64_t bank, channel;
    count_.busy_ps += config_.line_ns;
    return row_time(p.get_address() / LINE, &bank, &channel) + config_.row_hit_ns + config_.line_ns;
  }
  Ticks begin = alone_now_;
  alone_now_ = lines_time(p, begin, &alone_);
  return alone_now_ - begin;
}

void Memory::b_transport(unsigned, Payload &p, sc_core::sc_time &t) {
  if (!perform(p))
    return;
  if (config_.kind == MEMORY_DRAM) {
    t += to_sc(dram_alone(p));
    return;
  }
  t += writes(p) ? write_time_ : read_time_;
  if (config_.bandwidth) {
    Ticks bus = transfer(p);
    count_.busy_ps += bus;
    t += to_sc(bus);
  }
}

Arrival Memory::arrive(unsigned, Payload &p, Ticks *when) {
  Ticks now = agenda_.now();
  *when = now;
  if (!perform(p))
    return Arrival::FINISHED;
  if (config_.kind == MEMORY_DRAM) {
    *when = lines_time(p, now, &shared_);
  } else {
    Ticks latency = writes(p) ? config_.write_ns : config_.read_ns;
    if (config_.bandwidth) {
      Ticks bus = transfer(p), begin = std::max(now, bus_);
      bus_ = begin + bus;
      count_.busy_ps += bus;
      count_.waited_ps += begin - now;
      *when = bus_ + latency;
    } else {
      *when = now + latency;
    }
  }
  return Arrival::FINISHED;
}

// Direct and debug access.

bool Memory::dmi(unsigned, Payload &p, tlm::tlm_dmi &dmi) {
  const ims_mem_region *r = ims_mem_find(bytes_, p.get_address());
  if (!dmi_ || !r) { // DRAM refuses everywhere; absent memory where it is
    dmi.set_start_address(dmi_ ? p.get_address() : 0);
    dmi.set_end_address(dmi_ ? p.get_address() : ~0ull);
    return false;
  }
  dmi.set_dmi_ptr(r->host);
  dmi.set_start_address(r->base);
  dmi.set_end_address(r->base + r->size - 1);
  dmi.set_read_latency(to_sc(config_.read_ns));
  dmi.set_write_latency(to_sc(config_.write_ns));
  dmi.allow_read_write();
  return true;
}

unsigned Memory::debug(unsigned, Payload &p) {
  if (p.get_command() == tlm::TLM_IGNORE_COMMAND)
    return 0;
  tlm::tlm_response_status status = move(p, p.get_extension<WalkExtension>());
  p.set_response_status(status);
  return status == tlm::TLM_OK_RESPONSE ? p.get_data_length() : 0;
}

} // namespace ims::model
