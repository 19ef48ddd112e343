// SPDX-License-Identifier: Apache-2.0
// Any bytes as a binary trace: events, or an error that names the file; and what is understood, written again, is the same.
// Most of it would end at checksums, so the input is taken in two ways: as a whole file, and, behind a first byte of 1, as the
// records of a frame that is sound.
#include "trace/binary.h"
#include "trace/stream.h"

#include <cstdio>
#include <cstdlib>

namespace {

class StringSink : public ims::RecordSink {
public:
  bool write(const void *bytes, size_t size) override {
    text.append(static_cast<const char *>(bytes), size);
    return true;
  }
  std::string text;
};

[[noreturn]] void broken(const char *what, const std::string &text) {
  std::fprintf(stderr, "%s:\n%s\n", what, text.c_str());
  std::abort();
}

// All of it as text; false: it is no trace.
bool text_of(const std::string &bytes, bool recover, bool check, std::string *text) {
  ims::TraceReadOptions options;
  options.recover = recover;
  options.check = check;
  try {
    auto reader = ims::read_trace(std::make_unique<ims::TextSource>(bytes), "fuzz", options);
    ims::TraceItem item;
    while (reader->next(&item) && text->size() < (16u << 20))
      *text += item.source();
    return true;
  } catch (const ims::TraceError &e) {
    if (std::string(e.what()).compare(0, 5, "fuzz:") != 0)
      broken("an error without its place", e.what());
    return false;
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size)
    return 0;
  std::string bytes(reinterpret_cast<const char *>(data) + 1, size - 1);
  if (data[0] == 1) {
    StringSink sink;
    ims::FrameWriter frames(&sink, 1);
    frames.put(bytes, {});
    frames.finish({});
    bytes = sink.text;
  }
  std::string text, again;
  try { // by the index
    auto reader = ims::read_trace(std::make_unique<ims::TextSource>(bytes), "fuzz", {true, false});
    ims::TraceSummary summary;
    ims::TraceItem item;
    if (reader->read_index(&summary) && reader->go_to_event(summary.events / 2))
      for (unsigned i = 0; i < 100 && reader->next(&item); i++)
        ;
  } catch (const ims::TraceError &) {}
  text_of(bytes, true, false, &text);
  text.clear();
  if (!text_of(bytes, data[0] == 1, true, &text))
    return 0;
  // The text is understood by itself, and there and back it is the same.
  StringSink sink;
  auto writer = ims::write_trace(&sink, ims::TraceForm::BINARY, 1);
  try {
    auto reader = ims::read_trace(std::make_unique<ims::TextSource>(text), "text");
    ims::TraceItem item;
    while (reader->next(&item))
      writer->put(item);
  } catch (const ims::TraceError &e) {
    if (text.empty())
      return 0; // nothing was recovered
    broken(e.what(), text);
  }
  writer->finish();
  if (!text_of(sink.text, false, true, &again) || again != text)
    broken("there and back, not the same", text);
  return 0;
}
