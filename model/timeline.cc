// SPDX-License-Identifier: Apache-2.0
#include "model/timeline.h"

#include <algorithm>
#include <deque>
#include <map>

namespace ims::model {

namespace {

std::string hex(uint64_t v) {
  char text[24];
  std::snprintf(text, sizeof(text), "0x%" PRIx64, v);
  return text;
}

// Members of a JSON object; names and texts need no escapes.
class Members {
public:
  Members &text(const char *name, const std::string &value) { return raw(name, "\"" + value + "\""); }
  Members &number(const char *name, uint64_t value) { return raw(name, std::to_string(value)); }
  Members &raw(const char *name, const std::string &value) {
    text_ += (text_.empty() ? "\"" : ",\"") + std::string(name) + "\":" + value;
    return *this;
  }
  const std::string &str() const { return text_; }

private:
  std::string text_;
};

const char *status_name(unsigned status) {
  static const char *const names[] = {"ok", "bypass", "abort", "fault", "stall"};
  return status < std::size(names) ? names[status] : "?";
}

const char *item_name(unsigned kind) {
  static const char *const names[] = {"empty", "invalidate", "invalidate device", "wait", "response", "other"};
  return kind < std::size(names) ? names[kind] : "?";
}

std::string access_name(const ims_request &r) {
  if (r.type == IMS_TRANSLATION_REQUEST)
    return "translation request";
  std::string name = r.access & IMS_ACC_X   ? "execute"
                     : r.access & IMS_ACC_W ? r.access & IMS_ACC_R ? "atomic" : "write"
                                            : "read";
  return r.type == IMS_TRANSLATED ? "translated " + name : name;
}

} // namespace

class Timeline::Unit : public IommuObserver {
public:
  Unit(Timeline &timeline, unsigned pid, const std::string &name, Level level_number);

  void arrived(Ticks t, uint64_t number, const ims_request &r) override;
  void step(Ticks begin, Ticks end, uint64_t number, unsigned walker, ims_step_kind kind, const ims_step &s,
            bool hit) override;
  void finished(Ticks t, uint64_t number, const ims_request &r, const ims_result &result) override;
  void left(Ticks t, uint64_t number) override;
  void descriptor(Ticks begin, Ticks end, const ims_queue_item &item) override;
  void state(Ticks t, unsigned walkers, unsigned pending, uint64_t hits, uint64_t misses) override;
  void finish(Ticks end);

private:
  struct Track {
    unsigned tid;
    Ticks end = 0; // of its last slice
    bool taken = false;
  };
  // Tracks of one name, as many as are needed to keep what overlaps apart.
  struct Group {
    std::string name;
    unsigned sort;
    std::deque<Track> tracks; // pointers to them stay
  };
  // A stretch of look-ups, or of a walk.
  struct Stretch {
    bool open = false, walks = false;
    unsigned walker = 0;
    Ticks begin = 0, end = 0; // end: of its last step
    Track *track = nullptr;   // once it is in the file
  };
  struct Request {
    ims_request request = {};
    ims_result result = {};
    Ticks arrival = 0;
    bool arrived = false, done = false, reads = false, arrow = false;
    Track *track = nullptr;
    Stretch stretch;
  };
  static constexpr unsigned COUNTERS = 4;

  Track *take(Group &group, Ticks begin);
  void begin(Track *track, Ticks t, const std::string &name, const std::string &args = "");
  void end(Track *track, Ticks t, const std::string &args = "");
  void arrow(Track *track, Ticks t, const char *phase, uint64_t number);
  void show(Request &r);                   // the request itself
  void show_stretch(Request &r, uint64_t); // the stretch that is under way
  void close_stretch(Request &r, uint64_t number);
  void leave(Ticks t, uint64_t number, Request &r);
  void settle_counters();
  void put_counter(unsigned i, Ticks t);
  std::string event(const char *phase, unsigned tid, Ticks t) const;
  std::string level(unsigned n) const { return " level " + std::to_string(level_ ? level_(n) : static_cast<int>(n)); }
  std::string table_name(unsigned what, unsigned n) const;
  std::string step_name(ims_step_kind kind, const ims_step &s, bool hit) const;

  Timeline &timeline_;
  const Window &window_;
  unsigned pid_, next_tid_;
  Level level_;
  Group requests_{"requests", 0, {}}, look_ups_{"look-ups", 100000, {}}, queue_{"queue", 100000000, {}};
  std::map<unsigned, Group> walkers_;
  std::map<uint64_t, Request> open_; // in the order of their numbers, in which finish() ends them
  Ticks counted_ = 0;
  uint64_t value_[COUNTERS] = {}, shown_[COUNTERS] = {};
  bool any_counted_ = false, counters_shown_ = false;
};

// Names.

std::string Timeline::Unit::table_name(unsigned what, unsigned n) const {
  switch (what) {
  case IMS_STRUCT_S1_TABLE: return "S1" + level(n);
  case IMS_STRUCT_S2_TABLE: return "S2" + level(n);
  default: return ims_structure_name(what);
  }
}

std::string Timeline::Unit::step_name(ims_step_kind kind, const ims_step &s, bool hit) const {
  if (kind == IMS_STEP_PROBE) {
    std::string name;
    if (s.cache >= IMS_CACHE_S1_L2 && s.cache <= IMS_CACHE_S1_L5)
      name = "S1 walk cache" + level(s.cache - IMS_CACHE_S1_L2 + 2u);
    else if (s.cache >= IMS_CACHE_S2_L2 && s.cache <= IMS_CACHE_S2_L5)
      name = "S2 walk cache" + level(s.cache - IMS_CACHE_S2_L2 + 2u);
    else
      name = ims_cache_name(s.cache);
    return name.substr(0, name.find(" (")) + (hit ? " hit" : " miss");
  }
  std::string name = kind == IMS_STEP_UPDATE ? "update " : "";
  name += table_name(s.what, s.level);
  if (s.what == IMS_STRUCT_S2_TABLE && s.for_what) // 0 would be a root entry, which lies behind no stage
    name += " for " + table_name(s.for_what, s.for_level);
  return name;
}

// Events.

Timeline::Unit::Unit(Timeline &timeline, unsigned pid, const std::string &name, Level level_number)
    : timeline_(timeline), window_(timeline.window_), pid_(pid), next_tid_(pid * 1000000), level_(level_number) {
  timeline_.event(Members()
                      .text("ph", "M")
                      .number("pid", pid_)
                      .number("tid", next_tid_++)
                      .text("name", "process_name")
                      .raw("args", "{" + Members().text("name", plain_name(name)).str() + "}")
                      .str());
}

std::string Timeline::Unit::event(const char *phase, unsigned tid, Ticks t) const {
  return Members().text("ph", phase).number("pid", pid_).number("tid", tid).raw("ts", decimal(t, 6)).str();
}

// A free track for a slice that begins at `begin`.
Timeline::Unit::Track *Timeline::Unit::take(Group &group, Ticks begin) {
  for (Track &t : group.tracks)
    if (!t.taken && t.end <= begin) {
      t.taken = true;
      return &t;
    }
  group.tracks.push_back({next_tid_++});
  Track &track = group.tracks.back();
  track.taken = true;
  size_t n = group.tracks.size();
  auto about = [&](const char *what, const Members &args) {
    timeline_.event(Members()
                        .text("ph", "M")
                        .number("pid", pid_)
                        .number("tid", track.tid)
                        .text("name", what)
                        .raw("args", "{" + args.str() + "}")
                        .str());
  };
  about("thread_name", Members().text("name", n > 1 ? group.name + " (" + std::to_string(n) + ")" : group.name));
  about("thread_sort_index", Members().number("sort_index", group.sort + n));
  return &track;
}

void Timeline::Unit::begin(Track *track, Ticks t, const std::string &name, const std::string &args) {
  std::string text = event("B", track->tid, t) + "," + Members().text("name", name).str();
  timeline_.event(args.empty() ? text : text + ",\"args\":{" + args + "}");
}

void Timeline::Unit::end(Track *track, Ticks t, const std::string &args) {
  std::string text = event("E", track->tid, t);
  timeline_.event(args.empty() ? text : text + ",\"args\":{" + args + "}");
}

// An arrow binds to the slice that is open on the track. Its id has to be a number, and one of its own in the whole file.
void Timeline::Unit::arrow(Track *track, Ticks t, const char *phase, uint64_t number) {
  Members more;
  more.text("name", "request").text("cat", "request").number("id", number << 8 | pid_);
  if (*phase == 'f')
    more.text("bp", "e");
  timeline_.event(event(phase, track->tid, t) + "," + more.str());
}

// Requests.

void Timeline::Unit::show(Request &r) {
  if (r.track || !r.arrived)
    return;
  r.track = take(requests_, r.arrival);
  Members args;
  args.text("source", hex(r.request.source)).text("iova", hex(r.request.iova));
  if (r.request.has_pasid)
    args.number("pasid", r.request.pasid);
  begin(r.track, r.arrival, access_name(r.request) + " " + hex(r.request.iova), args.str());
}

void Timeline::Unit::show_stretch(Request &r, uint64_t number) {
  Stretch &s = r.stretch;
  if (s.track)
    return;
  show(r);
  Group *group = &look_ups_;
  if (s.walks)
    group = &walkers_.try_emplace(s.walker, Group{"walker " + std::to_string(s.walker), (s.walker + 2) * 100000, {}})
                 .first->second;
  s.track = take(*group, s.begin);
  std::string what = s.walks ? "walk" : "look up";
  begin(s.track, s.begin, r.arrived ? what + " " + hex(r.request.iova) : what + " ahead",
        Members().number("request", number).str());
  if (!r.track)
    return;
  if (!r.arrow)
    arrow(r.track, r.arrival, "s", number);
  r.arrow = true;
  arrow(s.track, s.begin, "t", number);
}

void Timeline::Unit::close_stretch(Request &r, uint64_t number) {
  Stretch &s = r.stretch;
  if (!s.open)
    return;
  if (window_.sees(s.begin, s.end))
    show_stretch(r, number);
  if (s.track) {
    end(s.track, s.end);
    s.track->end = s.end;
    s.track->taken = false;
  }
  s = {};
}

void Timeline::Unit::arrived(Ticks t, uint64_t number, const ims_request &r) {
  if (t >= window_.to)
    return;
  auto at = open_.try_emplace(number).first;
  if (at->second.arrived)
    return;
  close_stretch(at->second, number); // of a translation ahead that nobody finished
  at->second = {};
  at->second.request = r;
  at->second.arrival = t;
  at->second.arrived = true;
  if (window_.holds(t))
    show(at->second);
}

void Timeline::Unit::step(Ticks begins, Ticks ends, uint64_t number, unsigned walker, ims_step_kind kind,
                          const ims_step &step, bool hit) {
  if (kind != IMS_STEP_READ && kind != IMS_STEP_UPDATE && kind != IMS_STEP_PROBE)
    return;
  auto at = open_.find(number);
  if (at == open_.end()) {
    if (begins >= window_.to)
      return;
    at = open_.try_emplace(number).first;
  }
  Request &r = at->second;
  Stretch &s = r.stretch;
  ends = std::max(begins, ends);
  r.reads |= kind != IMS_STEP_PROBE;
  if (s.open && (s.walks != r.reads || (s.walks && s.walker != walker) || begins < s.end))
    close_stretch(r, number);
  if (!s.open) {
    s.open = true;
    s.walks = r.reads;
    s.walker = walker;
    s.begin = begins;
  }
  s.end = ends;
  if (!window_.sees(begins, ends))
    return;
  show_stretch(r, number);
  Members args;
  if (kind != IMS_STEP_PROBE)
    args.text("hpa", hex(step.hpa));
  begin(s.track, begins, step_name(kind, step, hit), args.str());
  end(s.track, ends);
}

void Timeline::Unit::finished(Ticks t, uint64_t number, const ims_request &, const ims_result &result) {
  auto at = open_.find(number);
  if (at == open_.end())
    return;
  Request &r = at->second;
  if (r.stretch.open && r.stretch.walks) // the walker is taken until now
    r.stretch.end = std::max(r.stretch.end, t);
  close_stretch(r, number);
  r.reads = false;
  r.done = true;
  r.result = result;
  if (!r.arrived)
    open_.erase(at);
}

void Timeline::Unit::left(Ticks t, uint64_t number) {
  auto at = open_.find(number);
  if (at == open_.end())
    return;
  leave(t, number, at->second);
  open_.erase(at);
}

void Timeline::Unit::leave(Ticks t, uint64_t number, Request &r) {
  close_stretch(r, number);
  if (!r.arrived)
    return;
  t = std::max(t, r.arrival);
  if (window_.sees(r.arrival, t))
    show(r);
  if (!r.track)
    return;
  if (r.arrow)
    arrow(r.track, t, "f", number);
  Members args;
  if (r.done) {
    args.text("status", status_name(r.result.status)).number("refs", r.result.refs);
    if (r.result.status == IMS_STATUS_OK || r.result.status == IMS_STATUS_BYPASS)
      args.text("output", hex(r.result.output));
    if (r.result.fault)
      args.text("fault", hex(r.result.fault));
  } else {
    args.raw("unfinished", "true");
  }
  end(r.track, t, args.str());
  r.track->end = t;
  r.track->taken = false;
}

void Timeline::Unit::descriptor(Ticks begins, Ticks ends, const ims_queue_item &item) {
  ends = std::max(begins, ends);
  if (!window_.sees(begins, ends))
    return;
  Track *track = take(queue_, begins);
  begin(track, begins, item_name(item.kind), Members().text("hpa", hex(item.hpa)).str());
  end(track, ends);
  track->end = ends;
  track->taken = false;
}

// Counters: what changes several times at one time is written once.

void Timeline::Unit::state(Ticks t, unsigned walkers, unsigned pending, uint64_t hits, uint64_t misses) {
  if (t > counted_) {
    settle_counters();
    counted_ = t;
  }
  any_counted_ = true;
  value_[0] = walkers;
  value_[1] = pending;
  value_[2] = hits;
  value_[3] = misses;
}

void Timeline::Unit::put_counter(unsigned i, Ticks t) {
  static const struct {
    const char *name, *unit;
  } counters[COUNTERS] = {
      {"walkers taken", "walkers"}, {"requests pending", "requests"}, {"hits", "requests"}, {"misses", "requests"}};
  timeline_.event(event("C", pid_ * 1000000, t) + "," +
                  Members()
                      .text("name", counters[i].name)
                      .raw("args", "{" + Members().number(counters[i].unit, shown_[i]).str() + "}")
                      .str());
}

void Timeline::Unit::settle_counters() {
  if (!any_counted_)
    return;
  if (counted_ > window_.from && !counters_shown_) {
    for (unsigned i = 0; i < COUNTERS; i++)
      put_counter(i, window_.from); // as the window began
    counters_shown_ = true;
  }
  bool within = window_.holds(counted_);
  for (unsigned i = 0; i < COUNTERS; i++) {
    bool put = within && (!counters_shown_ || value_[i] != shown_[i]);
    shown_[i] = value_[i];
    if (put)
      put_counter(i, counted_);
  }
  counters_shown_ |= within;
}

void Timeline::Unit::finish(Ticks end) {
  settle_counters();
  counted_ = std::max(counted_, end);
  settle_counters();
  for (auto &[number, r] : open_)
    leave(end, number, r);
  open_.clear();
}

// The file.

Timeline::Timeline(Writer writer, Window window) : write_(std::move(writer)), window_(window) {}

Timeline::~Timeline() = default;

IommuObserver &Timeline::add_unit(const std::string &name, Level level) {
  units_.push_back(std::make_unique<Unit>(*this, static_cast<unsigned>(units_.size()) + 1, name, level));
  return *units_.back();
}

void Timeline::event(const std::string &members) {
  if (finished_)
    return;
  write_((begun_ ? ",\n{" : "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n{") + members + "}");
  begun_ = true;
}

void Timeline::finish(Ticks end) {
  if (finished_)
    return;
  for (auto &u : units_)
    u->finish(end);
  write_(begun_ ? "\n]}\n" : "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[]}\n");
  finished_ = true;
}

} // namespace ims::model
