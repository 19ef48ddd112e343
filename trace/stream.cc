// SPDX-License-Identifier: Apache-2.0
#include "trace/stream.h"
#include "trace/binary.h"
#include "trace/parse_internal.h"
#include "trace/text.h"

#include <algorithm>
#include <cinttypes>

namespace ims {

namespace {

class TextReader : public TraceReader {
public:
  TextReader(std::unique_ptr<ByteSource> bytes, const std::string &name, const TraceReadOptions &options)
      : TraceReader(name), bytes_(std::move(bytes)), lines_(bytes_.get(), name), parser_(name), check_(options.check) {}

  bool next(TraceItem *item) override {
    item->is_event = false;
    if (!summary_.lines) {
      lines_.first_line();
    } else {
      if (!lines_.logical_line(&tokens_))
        return false;
      item->is_event = !tokens_.empty();
      if (item->is_event && check_)
        item->event = parser_.parse(tokens_);
    }
    item->text = lines_.source();
    summary_.lines++;
    summary_.events += item->is_event;
    return true;
  }
  TraceForm form() const override { return TraceForm::TEXT; }
  const TraceSummary &summary() const override { return summary_; }

private:
  std::unique_ptr<ByteSource> bytes_;
  Lines lines_;
  Parser parser_;
  bool check_;
  std::vector<Token> tokens_;
  TraceSummary summary_;
};

class BinaryReader : public TraceReader {
public:
  BinaryReader(std::unique_ptr<ByteSource> bytes, const std::string &name, const TraceReadOptions &options)
      : TraceReader(name), bytes_(std::move(bytes)), frames_(bytes_.get(), name, options.recover), parser_(name),
        check_(options.check), recover_(options.recover) {}

  bool next(TraceItem *item) override {
    item->is_event = true;
    for (;;) {
      if (lines_ && next_line(item))
        return true;
      if (!in_frame_ && !next_frame())
        return false;
      switch (records_.next()) {
      case Decoder::TEXT: begin_text(); break;
      case Decoder::CALL:
        made(item, event_of(records_.call()));
        summary_.calls++;
        return true;
      case Decoder::PAGE:
        made(item, event_of(records_.page()));
        summary_.pages++;
        return true;
      case Decoder::END: in_frame_ = false; break;
      }
    }
  }
  TraceForm form() const override { return TraceForm::BINARY; }
  const TraceSummary &summary() const override { return summary_; }
  std::string damage() const override { return frames_.damage(); }

  bool read_index(TraceSummary *summary) override {
    if (!frames_.read_index(&index_))
      return false;
    const TraceTotals &t = index_.totals;
    *summary = {t.events, t.lines, t.calls, t.pages, index_.frames.size()};
    return true;
  }

  bool go_to_event(uint64_t event) override {
    if (check_ || event >= index_.totals.events || index_.frames.empty())
      return false;
    auto after = std::upper_bound(index_.frames.begin() + 1, index_.frames.end(), event,
                                  [](uint64_t e, const FrameInfo &f) { return e < f.event; });
    const FrameInfo &f = *(after - 1);
    summary_.events = f.event;
    summary_.lines = line_ = f.line;
    summary_.frames = static_cast<uint64_t>(&f - index_.frames.data());
    first_done_ = &f != index_.frames.data();
    skipped_ = static_cast<size_t>(summary_.frames);
    frames_.go_to(index_, summary_.frames);
    return true;
  }

private:
  bool next_frame() {
    if (!frames_.next(&frame_)) {
      if (!first_done_ && frames_.damage().empty())
        throw TraceError(name_ + ": the trace is empty; expected `iommusim-trace 1` as its first line");
      if (const BinaryIndex *index = recover_ ? nullptr : frames_.end())
        check_index(*index);
      return false;
    }
    in_frame_ = true;
    records_.begin(&frame_, name_, frames_.number(), frames_.offset(), frames_.partial());
    if (frame_.empty())
      return true;
    if (!frames_.partial() && (records_.first_event() != summary_.events || records_.first_line() != line_))
      records_.fail(format("it says that %" PRIu64 " events and %" PRIu64 " lines are before it, found %" PRIu64
                           " and %" PRIu64,
                           records_.first_event(), records_.first_line(), summary_.events, line_));
    summary_.frames++;
    began_.emplace_back(summary_.events, line_);
    return true;
  }

  // What the index says of events and lines.
  void check_index(const BinaryIndex &index) {
    static const char found[] = ", found %" PRIu64 " and %" PRIu64;
    for (size_t i = 0; i < began_.size(); i++) {
      const FrameInfo &f = index.frames[skipped_ + i];
      if (f.event != began_[i].first || f.line != began_[i].second)
        throw TraceError(name_ +
                         format(": the index says that %" PRIu64 " events and %" PRIu64 " lines are before frame %zu",
                                f.event, f.line, skipped_ + i) +
                         format(found, began_[i].first, began_[i].second));
    }
    if (index.totals.events != summary_.events || index.totals.lines != line_)
      throw TraceError(name_ +
                       format(": the index says that there are %" PRIu64 " events and %" PRIu64 " lines",
                              index.totals.events, index.totals.lines) +
                       format(found, summary_.events, line_));
  }

  void begin_text() {
    whole_line();
    text_ = std::make_unique<TextSource>(records_.text());
    lines_ = std::make_unique<Lines>(text_.get(), name_, static_cast<unsigned>(line_ + 1));
  }

  // Only the last line of a trace may lack its end.
  void whole_line() const {
    if (!ended_)
      records_.fail("the line before this record does not end");
  }

  bool next_line(TraceItem *item) {
    if (!first_done_) {
      lines_->first_line();
      first_done_ = true;
      item->is_event = false;
    } else {
      if (!lines_->logical_line(&tokens_)) {
        lines_.reset();
        return false;
      }
      item->is_event = !tokens_.empty();
      if (item->is_event && check_)
        item->event = parser_.parse(tokens_);
    }
    item->text = lines_->source();
    ended_ = item->text.back() == '\n';
    line_ += static_cast<uint64_t>(std::count(item->text.begin(), item->text.end(), '\n'));
    summary_.lines++;
    summary_.events += item->is_event;
    return true;
  }

  void made(TraceItem *item, Event event) {
    if (!first_done_)
      records_.fail("an event comes before the first line");
    whole_line();
    item->is_event = true;
    item->event = std::move(event);
    item->text.clear();
    line_++;
    summary_.lines++;
    summary_.events++;
    Position at = {static_cast<unsigned>(line_), 1};
    item->event.at = at;
    for (std::vector<Arg> *list : {&item->event.args, &item->event.expects})
      for (Arg &a : *list)
        a.at = a.value.at = at;
    if (check_)
      parser_.admit(&item->event);
  }

  std::unique_ptr<ByteSource> bytes_;
  FrameReader frames_;
  Decoder records_;
  std::string frame_;
  Parser parser_;
  bool check_, recover_, in_frame_ = false, first_done_ = false, ended_ = true;
  std::unique_ptr<TextSource> text_;
  std::unique_ptr<Lines> lines_;
  std::vector<Token> tokens_;
  uint64_t line_ = 0;
  std::vector<std::pair<uint64_t, uint64_t>> began_; // each frame: events and lines before it
  size_t skipped_ = 0;                               // frames that were jumped over
  BinaryIndex index_;
  TraceSummary summary_;
};

// What was looked at to tell the form, and then the rest.
class Peeked : public ByteSource {
public:
  explicit Peeked(std::unique_ptr<ByteSource> inner) : inner_(std::move(inner)) {
    char block[4];
    while (head_.size() < 4) {
      size_t n = inner_->read(block, 4 - head_.size());
      if (!n)
        break;
      head_.append(block, n);
    }
  }
  const std::string &head() const { return head_; }
  size_t read(char *to, size_t most) override {
    if (at_ < head_.size()) {
      size_t n = head_.copy(to, most, at_);
      at_ += n;
      return n;
    }
    return inner_->read(to, most);
  }
  bool seek(uint64_t offset) override {
    if (!inner_->seek(offset))
      return false;
    at_ = head_.size();
    return true;
  }
  bool size(uint64_t *bytes) override { return inner_->size(bytes); }

private:
  std::unique_ptr<ByteSource> inner_;
  std::string head_;
  size_t at_ = 0;
};

class TextWriter : public TraceWriter {
public:
  explicit TextWriter(RecordSink *sink) : sink_(sink) {}
  bool put(const TraceItem &item) override {
    text_ += item.source();
    return text_.size() < (64 << 10) || flush();
  }
  bool finish() override { return flush(); }

private:
  bool flush() {
    bool good = text_.empty() || sink_->write(text_.data(), text_.size());
    text_.clear();
    return good;
  }
  RecordSink *sink_;
  std::string text_;
};

class BinaryWriter : public TraceWriter {
public:
  BinaryWriter(RecordSink *sink, int level) : frames_(sink, level) {}

  bool put(const TraceItem &item) override {
    if (!encode(item)) {
      uint64_t lines = static_cast<uint64_t>(std::count(item.text.begin(), item.text.end(), '\n'));
      std::string text = item.text.empty() ? item.source() : std::string();
      if (item.text.empty())
        encoder_.text(text, 1, item.is_event);
      else
        encoder_.text(item.text, lines, item.is_event);
    }
    return encoder_.bytes().size() < BINARY_FRAME || flush();
  }
  bool finish() override {
    if (!encoder_.empty())
      flush();
    return frames_.finish(encoder_.totals());
  }

private:
  // As a record of its own, when that gives the same text again.
  bool encode(const TraceItem &item) {
    if (!item.is_event || !item.event.info)
      return false;
    CallRecord call;
    PageRecord page;
    bool is_call = call_of(item.event, &call), is_page = !is_call && page_of(item.event, &page);
    if (!is_call && !is_page)
      return false;
    if (!item.text.empty() && print_event(is_call ? event_of(call) : event_of(page)) + "\n" != item.text)
      return false;
    if (is_call)
      encoder_.call(call);
    else
      encoder_.page(page);
    return true;
  }
  bool flush() {
    bool good = frames_.put(encoder_.bytes(), encoder_.begins());
    encoder_.next_frame();
    return good;
  }

  FrameWriter frames_;
  Encoder encoder_;
};

} // namespace

std::unique_ptr<TraceReader> read_trace(std::unique_ptr<ByteSource> bytes, const std::string &name,
                                        const TraceReadOptions &options) {
  auto peeked = std::make_unique<Peeked>(std::move(bytes));
  const std::string &head = peeked->head();
  // A text begins with a letter; a frame's first byte says what zstd calls it.
  uint32_t magic = 0;
  for (size_t i = 0; i < head.size(); i++)
    magic |= static_cast<uint32_t>(static_cast<unsigned char>(head[i])) << (8 * i);
  if (magic == BINARY_HEADER)
    return std::make_unique<BinaryReader>(std::move(peeked), name, options);
  if (magic == ZSTD_FRAME)
    throw TraceError(name + ": compressed by zstd, but no trace of the binary form: its head is missing. Of a text: "
                            "zstd -dc FILE | iommusim run -");
  return std::make_unique<TextReader>(std::move(peeked), name, options);
}

std::unique_ptr<TraceReader> open_trace(const std::string &path, const TraceReadOptions &options) {
  return read_trace(open_bytes(path), path == "-" ? "standard input" : path, options);
}

std::unique_ptr<TraceWriter> write_trace(RecordSink *sink, TraceForm form, int level) {
  if (form == TraceForm::TEXT)
    return std::make_unique<TextWriter>(sink);
  return std::make_unique<BinaryWriter>(sink, level);
}

const Event *ReadEvents::next() {
  while (reader_->next(&item_))
    if (item_.is_event)
      return &item_.event;
  return nullptr;
}

Trace read_whole(TraceReader *reader) {
  Trace trace;
  trace.name = reader->name();
  TraceItem item;
  while (reader->next(&item))
    if (item.is_event)
      trace.events.push_back(std::move(item.event));
  return trace;
}

} // namespace ims
