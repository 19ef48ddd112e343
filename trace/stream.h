// SPDX-License-Identifier: Apache-2.0
// A trace an event at a time, in either form, with bounded memory: what a reader keeps is the line or frame at hand, and the
// names that the trace has made.
#pragma once

#include "trace/bytes.h"
#include "trace/event.h"
#include "trace/record.h"

#include <memory>

namespace ims {

// A line of a trace, with those that continue it.
struct TraceItem {
  bool is_event = false; // else: the first line, a comment, an empty line
  Event event;           // of an event that was read with TraceReadOptions::check; of a call and a page always
  std::string text;      // as it stands, its end included; empty: as print_event() writes it

  std::string source() const { return text.empty() && is_event ? print_event(event) + "\n" : text; }
};

enum class TraceForm { TEXT, BINARY };

struct TraceReadOptions {
  bool recover = false; // binary: damage ends the trace instead of being an error
  bool check = true;    // parse lines of text; without it they are only told apart
};

struct TraceSummary { // so far
  uint64_t events = 0, lines = 0, calls = 0, pages = 0, frames = 0;
};

class TraceReader {
public:
  virtual ~TraceReader() = default;
  // The next line; false: the end. Throws TraceError.
  virtual bool next(TraceItem *item) = 0;
  virtual TraceForm form() const = 0;
  virtual const TraceSummary &summary() const = 0;
  virtual std::string damage() const { return {}; } // what ended it (recover); empty: nothing
  // Of a binary file, what its index says, without reading the rest. False: no index to be had (a text, a pipe). Before
  // next() only.
  virtual bool read_index(TraceSummary *) { return false; }
  // Goes on with the frame that holds this event, counted from 0; summary() says which event comes next. Without check only,
  // and behind read_index(). False: there is no such event.
  virtual bool go_to_event(uint64_t) { return false; }
  const std::string &name() const { return name_; }

protected:
  explicit TraceReader(std::string name) : name_(std::move(name)) {}
  std::string name_;
};

// Which form it has is found out. `name` stands in messages.
std::unique_ptr<TraceReader> read_trace(std::unique_ptr<ByteSource> bytes, const std::string &name,
                                        const TraceReadOptions &options = {});
// The same of a file; "-" is standard input.
std::unique_ptr<TraceReader> open_trace(const std::string &path, const TraceReadOptions &options = {});

class TraceWriter {
public:
  virtual ~TraceWriter() = default;
  virtual bool put(const TraceItem &item) = 0; // false: the sink does not take it
  virtual bool finish() = 0;                   // once, at the end
};
std::unique_ptr<TraceWriter> write_trace(RecordSink *sink, TraceForm form, int level = 3);

// Events alone, for those who carry them out.
class EventStream {
public:
  virtual ~EventStream() = default;
  virtual const Event *next() = 0; // NULL: the end. Valid until the next call
  virtual const std::string &name() const = 0;
};

class ReadEvents : public EventStream {
public:
  explicit ReadEvents(TraceReader *reader) : reader_(reader) {} // not owned
  const Event *next() override;
  const std::string &name() const override { return reader_->name(); }

private:
  TraceReader *reader_;
  TraceItem item_;
};

class TraceEvents : public EventStream {
public:
  explicit TraceEvents(const Trace &trace) : trace_(trace) {} // not owned; events stay where they are
  const Event *next() override { return at_ < trace_.events.size() ? &trace_.events[at_++] : nullptr; }
  const std::string &name() const override { return trace_.name; }

private:
  const Trace &trace_;
  size_t at_ = 0;
};

// The whole trace, for those who look at it twice.
Trace read_whole(TraceReader *reader);

} // namespace ims
