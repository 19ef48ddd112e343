// SPDX-License-Identifier: Apache-2.0
// The story of a run.
#include "trace/report.h"
#include "trace/events.h"
#include "trace/names.h"
#include "trace/stats.h"
#include "trace/text.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <ostream>

namespace ims {

namespace {

enum { GUTTER = 6, LABEL = 15 };       // columns: line number; where the words of a labelled line begin
enum { PIECES = 4, TABLE_STORES = 3 }; // told one by one

const char *const dim = "2", *const green = "32", *const yellow = "33", *const red = "1;31", *const bold = "1",
                  *const cyan = "36";

std::string plural(uint64_t n, const char *word) { return std::to_string(n) + " " + word + (n == 1 ? "" : "s"); }

std::string nanoseconds(uint64_t ps) { return format("%" PRIu64 ".%03" PRIu64, ps / 1000, ps % 1000); }

std::string rights_text(unsigned rights) {
  std::string text;
  text += rights & IMS_PERM_R ? 'r' : '-';
  text += rights & IMS_PERM_W ? 'w' : '-';
  text += rights & IMS_PERM_X ? 'x' : '-';
  return text;
}

// What a translation cost: references by stage, and the caches that spared some.
std::string cost_text(const Translation &t) {
  if (t.hits[IMS_CACHE_IOTLB] && !t.result.refs)
    return "IOTLB hit, 0 references";
  std::string text = plural(t.result.refs, "reference");
  std::string parts;
  const Vocabulary &say = t.arch->say;
  for (auto [n, name] : {std::pair(t.configuration(), "configuration"), std::pair(t.first_stage(), say.first),
                         std::pair(t.second_stage(), say.second)})
    if (n)
      parts += (parts.empty() ? "" : ", ") + std::to_string(n) + " " + name;
  if (!parts.empty())
    text += ": " + parts;
  std::string hits;
  for (unsigned c = 0; c < IMS_CACHE_COUNT; c++)
    if (t.hits[c])
      hits += (hits.empty() ? "" : ", ") + std::string(cache_short_name(*t.arch, c)) +
              (t.hits[c] > 1 ? format(" x%u", t.hits[c]) : "");
  if (!hits.empty())
    text += "; hit: " + hits;
  return text;
}

std::string where_text(const Arch &arch, const ims_result &r) {
  if (r.walk.cause == IMS_WALK_OK)
    return "";
  std::string text = r.walk.stage == 2 ? arch.say.second : arch.say.first;
  if (r.walk.level)
    text += format(", level %d", arch.level(r.walk.level));
  return text + ", input " + hex(r.walk.addr) + ": " + ims_walk_cause_name(r.walk.cause);
}

// The record in the unit's log: the words of a register, or the fields of an event.
std::string record_words(const Arch &arch, const ims_result &r) {
  std::string text;
  if (r.record_words == 2) {
    append_record_words(&text, r);
    return "record " + text;
  }
  for (const Field &f : arch.record(r))
    if (f.name != "ID")
      text += (text.empty() ? "" : ", ") + field_words(f);
  return std::string(arch.say.fault) + ": " + text;
}

} // namespace

Report::Report(std::ostream &out, const ReportStyle &style) : out_(out), style_(style) {}

std::string Report::paint(const char *code, const std::string &text) const {
  return style_.colour && *code ? std::string("\033[") + code + "m" + text + "\033[0m" : text;
}

// "         1234.567 ns", or blanks where nothing has changed.
std::string Report::time_column(uint64_t now) {
  if (!style_.times)
    return "";
  std::string text;
  if (now != shown_)
    text = format("%12s ns", nanoseconds(now).c_str());
  shown_ = now;
  text.resize(std::max<size_t>(ReportStyle::TIME_COLUMN, text.size()), ' ');
  return text;
}

// Words behind a head, broken between words; lines that follow hang below the first.
void Report::write_wrapped(uint64_t now, const std::string &head, const char *head_colour, const std::string &words,
                           const char *colour, unsigned hang) {
  std::string rest = words;
  bool first = true;
  while (first || !rest.empty()) {
    size_t room = style_.width - head.size() - (first ? 0 : hang), cut = rest.size();
    if (cut > room) {
      cut = rest.rfind(' ', room);
      if (cut == rest.npos || cut == 0)
        cut = std::min(rest.find(' ', room), rest.size());
    }
    std::string part = rest.substr(0, cut);
    rest.erase(0, cut);
    rest.erase(0, std::min(rest.find_first_not_of(' '), rest.size()));
    part.erase(part.find_last_not_of(' ') + 1);
    out_ << paint(dim, time_column(now));
    out_ << (first ? paint(head_colour, head) : std::string(head.size() + hang, ' ')) << paint(colour, part) << "\n";
    first = false;
  }
}

void Report::line(const char *label, const std::string &words, const char *colour) {
  flush_begin();
  std::string head = std::string(GUTTER, ' ') + label;
  head.append(head.size() < LABEL ? LABEL - head.size() : 1, ' ');
  write_wrapped(now(), head, dim, words, colour, 2);
}

// The event's own line. What it returned stands on it where there is nothing else to tell, and room.
void Report::flush_begin(const std::string &behind, const char *colour) {
  if (!begin_due_)
    return;
  begin_due_ = false;
  write_wrapped(began_, format("%4u  ", line_), dim, begin_, "", 4);
  if (!behind.empty())
    line("", behind, colour);
}

void Report::heading(const std::string &words) {
  if (style_.quiet)
    return;
  size_t at = 0;
  out_ << "\n";
  do { // a heading may have several lines
    size_t end = std::min(words.find('\n', at), words.size());
    out_ << paint(bold, words.substr(at, end - at)) << "\n";
    at = end + 1;
  } while (at < words.size());
}

void Report::begin(const Event &event, const std::string &words) {
  stores_.clear();
  hidden_stores_ = 0;
  registers_.clear();
  pieces_ = hidden_ = hidden_refs_ = hidden_good_ = 0;
  results_.clear();
  interrupts_.clear();
  building_ = event.info->id == EventId::IOMMU;
  begin_ = words;
  line_ = event.at.line;
  began_ = now();
  begin_due_ = !style_.quiet;
}

// Words of zero in a row are a structure being cleared.
void Report::flush_stores() {
  for (size_t i = 0; i < stores_.size();) {
    const Store &s = stores_[i];
    size_t n = 1;
    while (i + n < stores_.size() && !s.value && !stores_[i + n].value && stores_[i + n].what == s.what &&
           stores_[i + n].source == s.source && stores_[i + n].addr == s.addr + n * 8)
      n++;
    if (n > 1 && !style_.verbose)
      line("driver",
           "clear " + s.what + (s.source == ~0u ? "" : " of " + source_text(s.source)) + " at " + hex(s.addr) + ", " +
               bytes_text(n * 8),
           cyan);
    else
      line("driver", s.words, cyan);
    i += style_.verbose ? 1 : n;
  }
  if (hidden_stores_) {
    std::string what = stores_.back().what;
    if (hidden_stores_ > 1 && what.size() > 5 && what.compare(what.size() - 5, 5, "entry") == 0)
      what.replace(what.size() - 1, 1, "ies");
    line("", "and " + std::to_string(hidden_stores_) + " more " + what, cyan);
  }
  stores_.clear();
  hidden_stores_ = 0;
}

void Report::flush_notes() {
  flush_stores();
  if (!registers_.empty())
    line("driver", "write registers " + registers_, cyan);
  registers_.clear();
}

void Report::note(const ims_note &n) {
  if (style_.quiet)
    return;
  if (n.kind == IMS_NOTE_COMPLETE && !style_.verbose)
    return;
  if (n.kind == IMS_NOTE_MMIO_WRITE && !style_.verbose) {
    // The tail of the queue follows each descriptor, and acknowledging follows each fault.
    if (!building_ || !std::strcmp(n.what, "IQT") || !std::strcmp(n.what, "CMDQ_PROD"))
      return;
    flush_stores();
    registers_ += (registers_.empty() ? "" : ", ") + std::string(n.what);
    return;
  }
  char text[512];
  if (n.kind == IMS_NOTE_TABLE) {
    if (!registers_.empty() || (!stores_.empty() && stores_.back().what != n.what))
      flush_notes();
    // Entries of a device are told one by one; page tables come by the thousand.
    if (!style_.verbose && n.source == ~0u && stores_.size() >= TABLE_STORES) {
      hidden_stores_++;
      return;
    }
    ims_note_text(&n, text, sizeof text);
    stores_.push_back({n.what, text, n.source, n.addr, n.word[0]});
    return;
  }
  flush_notes();
  ims_note_text(&n, text, sizeof text);
  const char *label = n.kind == IMS_NOTE_LOG                                        ? "log"
                      : n.kind == IMS_NOTE_INTERRUPT                                ? "interrupt"
                      : n.kind == IMS_NOTE_FAULT || n.kind == IMS_NOTE_PAGE_REQUEST ? "handler"
                                                                                    : "driver";
  std::string words = text;
  for (const char *prefix : {"interrupt: ", "kernel: "})
    if (words.compare(0, std::strlen(prefix), prefix) == 0)
      words.erase(0, std::strlen(prefix));
  line(label, words, n.kind == IMS_NOTE_LOG && n.level == IMS_LOG_ERROR ? yellow : cyan);
}

void Report::interrupt(const std::string &unit, uint64_t addr, uint32_t data) {
  interrupts_.push_back(unit + " sends " + hex(data) + " to " + hex(addr)); // told behind what raised it
}

void Report::print_piece(const ims_dma_piece &p, const std::vector<Translation> &made) {
  bool good = p.end == IMS_DMA_DONE;
  std::string head = pieces_ == 1 ? "" : hex(p.iova) + " "; // the first piece begins where the DMA does
  // What came and what it cost, on one line where there is room.
  auto tell = [&](const std::string &words, const Translation &t, const char *colour) {
    std::string cost = cost_text(t);
    if (LABEL + words.size() + 3 + cost.size() <= style_.width) {
      line("unit", words + "   " + cost, colour);
    } else {
      line("unit", words, colour);
      line("", cost, colour);
    }
  };
  if (p.path == IMS_DMA_ATC_HIT)
    line("device", head + "-> hpa " + hex(p.hpa) + "   device TLB hit, 0 references", good ? green : red);
  for (const Translation &t : made) {
    const ims_result &r = t.result;
    const Arch &arch = *t.arch;
    std::string words;
    bool second = t.request.type == IMS_TRANSLATED;
    if (second && r.status == IMS_STATUS_OK) {
      if (style_.verbose)
        tell("translated request for " + hex(t.request.iova), t, "");
      continue;
    }
    if (t.request.type == IMS_TRANSLATION_REQUEST)
      words = "translation request for " + hex(t.request.iova) + " ";
    else if (second)
      words = "translated request for " + hex(t.request.iova) + " ";
    else
      words = head;
    switch (r.status) {
    case IMS_STATUS_OK:
      tell(words + "-> hpa " + hex(r.output) + "   " + bytes_text(1ull << r.shift) + " " + rights_text(r.rights), t,
           green);
      continue;
    case IMS_STATUS_BYPASS: tell(words + "passes as it is", t, yellow); continue;
    case IMS_STATUS_ABORT: tell(words + "is aborted, without a record", t, red); continue;
    default: break;
    }
    tell(words + (r.status == IMS_STATUS_STALL ? format("waits (STAG %u): ", r.stag) : "faults: ") +
             format("0x%x ", r.fault) + arch.fault_text(r.fault),
         t, red);
    std::string where = where_text(arch, r);
    if (!where.empty())
      line("", where);
    if (r.recorded && r.record_words >= 2)
      line("", record_words(arch, r));
    else
      line("",
           t.request.type == IMS_TRANSLATION_REQUEST ? "answered without rights and without a record" : "not recorded");
  }
  if (p.end == IMS_DMA_NO_RIGHTS && !made.empty() && made.back().result.status == IMS_STATUS_OK)
    line("device", "the answer lacks the right that the DMA needs", red);
  if (p.end == IMS_DMA_NO_MEMORY)
    line("device", "there is no memory at " + hex(p.hpa), red);
}

void Report::piece(const std::string &, const ims_dma_piece &p, const std::vector<Translation> &made) {
  if (style_.quiet)
    return;
  flush_notes();
  if (++pieces_ <= PIECES || style_.verbose) {
    print_piece(p, made);
    flush_pieces();
    return;
  }
  hidden_++;
  hidden_good_ += p.end == IMS_DMA_DONE;
  for (const Translation &t : made)
    hidden_refs_ += t.result.refs;
}

void Report::flush_pieces() {
  for (const std::string &words : interrupts_)
    line("interrupt", words, cyan);
  interrupts_.clear();
  if (hidden_)
    line("",
         format("and %" PRIu64 " more: %" PRIu64 " arrived, %s", hidden_, hidden_good_,
                plural(hidden_refs_, "reference").c_str()),
         hidden_good_ == hidden_ ? green : red);
  hidden_ = hidden_refs_ = hidden_good_ = 0;
}

void Report::told(const Explain &explain) {
  if (style_.quiet)
    return;
  flush_notes();
  flush_begin();
  ExplainStyle style;
  style.colour = style_.colour;
  style.width = style_.width;
  out_ << "\n";
  explain.print(out_, style);
  out_ << "\n";
}

void Report::result(const std::string &words, bool good) { results_.push_back({words, good}); }

// What the event came to. A short answer stands on the line of the event itself.
void Report::flush_results(bool expected) {
  for (auto [words, good] : results_) {
    if (expected && !good)
      words += ", as expected";
    const char *colour = good ? "" : yellow;
    bool returned = words.compare(0, 8, "returns ") == 0, holds = words.compare(0, 6, "holds ") == 0;
    std::string value = words.substr(returned ? 8 : holds ? 6 : 0);
    if ((returned || holds) && begin_due_ && results_.size() == 1 &&
        GUTTER + begin_.size() + 3 + value.size() <= style_.width) {
      begin_due_ = false;
      out_ << paint(dim, time_column(began_) + format("%4u  ", line_)) << begin_ << " = " << paint(colour, value)
           << "\n";
    } else {
      line(returned ? "returns" : "", value, colour);
    }
  }
  results_.clear();
}

void Report::failure(const Failure &f) {
  if (style_.quiet)
    return;
  flush_notes();
  flush_pieces();
  flush_results(false);
  line("EXPECTED", f.output + "=" + f.expected + ", came " + f.came, red);
}

void Report::end(const Event &, unsigned expectations, unsigned failed) {
  if (style_.quiet)
    return;
  flush_notes();
  flush_pieces();
  flush_results(expectations && !failed);
  flush_begin();
}

void Report::summary(const Player &player) {
  const PlayCounters &c = player.counters();
  out_ << "\n" << paint(bold, "Summary") << "\n";
  auto row = [&](const char *name, const std::string &words, const char *colour = "") {
    out_ << "  " << name << std::string(std::strlen(name) < 16 ? 16 - std::strlen(name) : 1, ' ')
         << paint(colour, words) << "\n";
  };
  row("events", std::to_string(c.events));
  if (style_.now)
    row("time", nanoseconds(now()) + " ns simulated");
  row("translations", std::to_string(c.translations) + " of " + plural(c.dmas, "DMA"));
  double mean = c.translations ? static_cast<double>(c.references) / static_cast<double>(c.translations) : 0;
  row("references", format("%" PRIu64 ": mean %.2f, most %" PRIu64 "; configuration %" PRIu64 ", first stage %" PRIu64
                           ", second stage %" PRIu64,
                           c.references, mean, c.references_max, c.configuration, c.first_stage, c.second_stage));
  if (player.kernel()) {
    ims_kernel_counters k = {};
    ims_kernel_count(player.kernel(), &k);
    row("driver", format("%s (%" PRIu64 " waits), %s stored, %s", plural(k.descriptors, "descriptor").c_str(), k.waits,
                         plural(k.entries_written, "word").c_str(), plural(k.mmio_writes, "register write").c_str()));
    if (k.page_requests)
      row("page requests", format("%" PRIu64 ", answered %" PRIu64, k.page_requests, k.page_responses));
  }
  if (c.descriptors)
    row("descriptors", std::to_string(c.descriptors) + " by the trace itself");
  bool any = false;
  for (const auto &[fault, n] : c.faults) {
    row(any ? "" : "faults",
        std::to_string(n) + " x " + format("0x%x ", fault.second) + fault.first->fault_text(fault.second));
    any = true;
  }
  bool head = true;
  auto cache_row = [&](const std::string &name, uint64_t hits, uint64_t misses, uint64_t fills, uint64_t evictions,
                       uint64_t invalidated) {
    if (head)
      out_ << "\n  cache                      hits   misses    fills  evicted  invalidated\n";
    head = false;
    out_ << format("  %-20s %10" PRIu64 " %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %12" PRIu64 "\n", name.c_str(), hits,
                   misses, fills, evictions, invalidated);
  };
  for (const UnitView &u : player.units())
    for (unsigned i = 0; i < IMS_CACHE_COUNT; i++) {
      const ims_cache_counters &n = u.unit->cache[i].count;
      if (n.hits || n.misses || n.fills)
        cache_row(u.name + " " + cache_short_name(*u.arch, i), n.hits, n.misses, n.fills, n.evictions, n.invalidated);
    }
  for (const DeviceView &d : player.devices()) {
    const ims_endpoint_counters &n = d.endpoint->count;
    if (n.atc_hits || n.atc_misses)
      cache_row(d.name + " ATC", n.atc_hits, n.atc_misses, n.atc_fills, d.endpoint->atc.count.evictions, n.invalidated);
  }
  out_ << "\n";
  uint64_t held = c.expectations - c.failed;
  row("expectations", format("%" PRIu64 " held, %" PRIu64 " failed", held, c.failed), c.failed ? red : green);
}

} // namespace ims
