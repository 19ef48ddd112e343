// SPDX-License-Identifier: Apache-2.0
// iommusim trace: traces as such, text or binary, without playing them.
#include "tools/commands.h"
#include "tools/error.h"
#include "tools/options.h"
#include "tools/trace_sink.h"
#include "trace/events.h"
#include "trace/nearest.h"
#include "trace/number.h"
#include "trace/recorded.h"
#include "trace/stream.h"
#include "trace/text.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <iostream>
#include <map>

namespace po = boost::program_options;

namespace ims {

namespace {

po::typed_value<std::string> *text_value(const char *name) { return po::value<std::string>()->value_name(name); }

const char recover_words[] = "a damaged binary trace: what precedes the damage";

TraceReadOptions reading_of(const Options &o, bool check) {
  TraceReadOptions reading;
  reading.check = check;
  reading.recover = o.has("recover");
  return reading;
}

std::string one_file(const Options &o, const char *command) {
  if (!o.has("trace"))
    fail("trace %s: no trace, expected a file", command);
  return o.list("trace")[0];
}

void tell_damage(const TraceReader &reader, const char *what) {
  if (!reader.damage().empty())
    std::fprintf(stderr, "%s; %s what precedes it: %" PRIu64 " events\n", reader.damage().c_str(), what,
                 reader.summary().events);
}

uint64_t number_of(const Options &o, const char *command, const char *option, uint64_t def) {
  uint64_t number = def;
  if (o.has(option) && !parse_size(o.text(option), &number))
    fail("trace %s: --%s: found %s, expected a number", command, option, quoted(o.text(option)).c_str());
  return number;
}

// ---- convert --------------------------------------------------------------------------------------------------------

int convert(int argc, char **argv) {
  Options o(
      "trace convert IN [OUT] [options]",
      "Turns a trace into its other form: text into binary, binary into text. A text comes back to the byte, comments\n"
      "included. `-` is standard input and output; without OUT the result goes there. docs/trace-binary.md has the "
      "form.",
      "  iommusim trace convert run.trace run.trace.zst\n"
      "  iommusim trace convert run.trace.zst - | grep expect");
  o.positional("trace", "IN and OUT", 2);
  o.add()("to", text_value("text|binary"), "the form of OUT; without it the one that IN has not")(
      "level", text_value("N")->default_value("3"), "of zstd's compression: 1 to 19")("recover", recover_words);
  if (!o.parse(argc, argv))
    return 0;
  std::string in = one_file(o, "convert"), out = o.list("trace").size() > 1 ? o.list("trace")[1] : "-";
  std::string to = o.text("to");
  if (o.has("to") && to != "text" && to != "binary")
    fail("trace convert: --to: found %s, expected text or binary", quoted(to).c_str());
  uint64_t level = number_of(o, "convert", "level", 3);
  if (level < 1 || level > 19)
    fail("trace convert: --level: found %s, expected 1 to 19", quoted(o.text("level")).c_str());
  auto reader = open_trace(in, reading_of(o, true));
  TraceForm form = to == "text"                        ? TraceForm::TEXT
                   : to == "binary"                    ? TraceForm::BINARY
                   : reader->form() == TraceForm::TEXT ? TraceForm::BINARY
                                                       : TraceForm::TEXT;
  OutputSink sink(out == "-" ? "" : out);
  auto writer = write_trace(&sink, form, static_cast<int>(level));
  TraceItem item;
  while (reader->next(&item))
    writer->put(item);
  writer->finish();
  sink.commit();
  tell_damage(*reader, "written was");
  return EXIT_HELD;
}

// ---- print ----------------------------------------------------------------------------------------------------------

// What files are, and which dialect they speak, as far as the trace has said: for the words of calls.
class Known {
public:
  void see(const Event &e) {
    const Value *name = e.find("NAME");
    switch (e.info->id) {
    case EventId::KERNEL:
      if (const Value *v = e.find("dialect"))
        dialect.dialect = static_cast<ims_dialect>(ims_dialect_by_name(v->text.c_str()));
      if (const Value *v = e.find("iommu_h"))
        dialect.iommu_h = v->text == "a" ? IMS_IOMMU_H_A : v->text == "b" ? IMS_IOMMU_H_B : IMS_IOMMU_H_AUTO;
      break;
    case EventId::OPEN: {
      const std::string &path = e.find("PATH")->text;
      kinds_[name->text] = path == "/dev/iommu"                             ? IMS_FILE_IOMMUFD
                           : path.compare(0, 18, "/dev/vfio/devices/") == 0 ? IMS_FILE_DEVICE
                           : path == "/dev/vfio/vfio"                       ? IMS_FILE_CONTAINER
                                                                            : IMS_FILE_GROUP;
      break;
    }
    case EventId::SHARE: kinds_[name->text] = kind(e.find("FILE")->text); break;
    case EventId::CLOSE: kinds_.erase(name->text); break;
    default: break;
    }
  }
  unsigned kind(const std::string &file) const {
    auto it = kinds_.find(file);
    return it == kinds_.end() ? unsigned(IMS_FILE_KINDS) : it->second;
  }
  Dialect dialect;

private:
  std::map<std::string, unsigned> kinds_;
};

// "12  +1.250 us  f0: IOMMU_IOAS_ALLOC: size 12: returns 0; out_ioas_id 2 (0.340 us)"
std::string call_line(const CallRecord &r, const Known &known) {
  unsigned kind = known.kind(r.file);
  std::string text;
  if (r.timed)
    text = format("+%" PRIu64 ".%03u us  ", r.at / 1000, static_cast<unsigned>(r.at % 1000));
  text += r.file + ": " + call_words(r, known.dialect, kind) + ": " + result_words(r, known.dialect, kind);
  if (r.timed)
    text += format(" (%" PRIu64 ".%03u us)", r.took / 1000, static_cast<unsigned>(r.took % 1000));
  return text;
}

int print(int argc, char **argv) {
  Options o(
      "trace print TRACE [options]",
      "Prints a trace for people: an event a line, behind its number. Calls are told by the names and fields of their\n"
      "structures, and what of them came back changed. `-` is standard input.",
      "  iommusim trace print run.trace.zst --from 1000 --count 20");
  o.positional("trace", "file", 1);
  o.add()("from", text_value("N")->default_value("1"), "the first event, counted from 1")(
      "count", text_value("N"), "how many")("text",
                                            "as the text form has them, bytes included; goes to an event at once "
                                            "where there is an index")("recover", recover_words);
  if (!o.parse(argc, argv))
    return 0;
  std::string in = one_file(o, "print");
  uint64_t from = number_of(o, "print", "from", 1), count = number_of(o, "print", "count", ~0ull);
  bool plain = o.has("text");
  if (!from)
    fail("trace print: --from: found 0, expected 1 or more");
  auto reader = open_trace(in, reading_of(o, !plain));
  TraceSummary index;
  if (plain && from > 1 && !o.has("recover") && reader->read_index(&index) && !reader->go_to_event(from - 1))
    return EXIT_HELD; // there are not so many
  Known known;
  TraceItem item;
  for (uint64_t told = 0; told < count && reader->next(&item);) {
    if (!item.is_event)
      continue;
    CallRecord call;
    if (!plain)
      known.see(item.event);
    if (reader->summary().events < from)
      continue;
    told++;
    std::cout << format("%6" PRIu64 "  ", reader->summary().events);
    if (!plain && call_of(item.event, &call))
      std::cout << call_line(call, known) << '\n';
    else if (item.text.empty())
      std::cout << print_event(item.event) << '\n';
    else
      std::cout << item.text << (item.text.back() == '\n' ? "" : "\n");
    if (!std::cout)
      fail("standard output: cannot be written");
  }
  std::cout.flush();
  tell_damage(*reader, "printed was");
  return EXIT_HELD;
}

// ---- info -----------------------------------------------------------------------------------------------------------

int info(int argc, char **argv) {
  Options o("trace info TRACE [options]",
            "What a trace holds: its form, how many events of each kind, calls by their names and results, how long it "
            "took. All of\n"
            "it is read, and so checked. `-` is standard input.",
            "  iommusim trace info run.trace.zst");
  o.positional("trace", "file", 1);
  o.add()("quick", "of a binary trace: only what its index says")("recover", recover_words);
  if (!o.parse(argc, argv))
    return 0;
  std::string in = one_file(o, "info");
  auto bytes = open_bytes(in);
  uint64_t size = 0;
  bool sized = bytes->size(&size);
  auto reader = read_trace(std::move(bytes), in == "-" ? "standard input" : in, reading_of(o, true));
  bool binary = reader->form() == TraceForm::BINARY;
  TraceSummary s;
  std::map<std::string, uint64_t> events_by_name;
  struct Calls {
    uint64_t count = 0, failed = 0, took = 0;
    bool timed = false;
  };
  std::map<std::string, Calls> calls;
  uint64_t first = ~0ull, last = 0;
  if (o.has("quick")) {
    if (!reader->read_index(&s))
      fail("%s: trace info --quick: a text, or no file: there is no index", in.c_str());
  } else {
    Known known;
    TraceItem item;
    while (reader->next(&item)) {
      if (!item.is_event)
        continue;
      known.see(item.event);
      events_by_name[item.event.info->name]++;
      CallRecord r;
      if (!call_of(item.event, &r))
        continue;
      std::string words = call_words(r, known.dialect, known.kind(r.file));
      Calls &c = calls[words.substr(0, words.find_first_of(r.op == CallRecord::IOCTL ? ":," : " "))];
      c.count++;
      c.failed += r.result < 0;
      c.took += r.took;
      c.timed = c.timed || r.timed;
      if (r.timed) {
        first = std::min(first, r.at);
        last = std::max(last, r.at + r.took);
      }
    }
    s = reader->summary();
  }
  std::printf("form          %s\n", binary ? "binary, version 1" : "text, version 1");
  if (sized)
    std::printf("size          %" PRIu64 " bytes\n", size);
  if (binary)
    std::printf("frames        %" PRIu64 "\n", s.frames);
  std::printf("lines         %" PRIu64 "\nevents        %" PRIu64 "\n", s.lines, s.events);
  if (binary)
    std::printf("records       %" PRIu64 " calls, %" PRIu64 " pages; the other events are text\n", s.calls, s.pages);
  if (last)
    std::printf("time          %" PRIu64 ".%03u us\n", (last - first) / 1000,
                static_cast<unsigned>((last - first) % 1000));
  for (const auto &[name, count] : events_by_name)
    std::printf("%s%-20s %10" PRIu64 "\n", &name == &events_by_name.begin()->first ? "\nevents\n  " : "  ",
                name.c_str(), count);
  for (const auto &[name, c] : calls) {
    std::printf("%s%-36s %10" PRIu64, &name == &calls.begin()->first ? "\ncalls\n  " : "  ", name.c_str(), c.count);
    if (c.failed)
      std::printf(", %" PRIu64 " failed", c.failed);
    if (c.timed)
      std::printf(", %" PRIu64 " ns each", c.took / c.count);
    std::printf("\n");
  }
  std::fflush(stdout);
  tell_damage(*reader, "counted was");
  return EXIT_HELD;
}

// ---- diff -----------------------------------------------------------------------------------------------------------

class Differences {
public:
  explicit Differences(std::vector<std::string> ignored) : ignored_(std::move(ignored)) {}

  // Two events at the same place.
  void compare(uint64_t number, const Event &a, const Event &b) {
    std::vector<std::string> fields;
    std::string name = a.info->name;
    if (a.info != b.info) {
      fields.push_back("event");
    } else {
      args(a.args, b.args, "", &fields);
      args(a.expects, b.expects, "expect ", &fields);
      if (print_lets(a) != print_lets(b))
        fields.push_back("let");
    }
    if (fields.empty())
      return;
    events_++;
    if (!first_number_) {
      first_number_ = number;
      first_a_ = print_event(a);
      first_b_ = print_event(b);
      for (const std::string &f : fields)
        first_fields_ += (first_fields_.empty() ? "" : ", ") + f;
    }
    for (const std::string &f : fields)
      counts_[name + (f == "event" ? std::string(" is another event") : " " + f)]++;
  }

  int report(const std::string &a, const std::string &b, uint64_t more_a, uint64_t more_b, uint64_t compared) const {
    if (first_number_) {
      std::printf("event %" PRIu64 " is the first that differs: %s\n- %s\n+ %s\n\n", first_number_,
                  first_fields_.c_str(), shortened(first_a_).c_str(), shortened(first_b_).c_str());
      for (const auto &[what, count] : counts_)
        std::printf("%10" PRIu64 "  %s\n", count, what.c_str());
      std::printf("\n");
    }
    std::printf("%" PRIu64 " of %" PRIu64 " events differ\n", events_, compared);
    if (more_a || more_b)
      std::printf("%s has %" PRIu64 " events more\n", more_a ? a.c_str() : b.c_str(), more_a + more_b);
    return events_ || more_a || more_b ? EXIT_EXPECTATION : EXIT_HELD;
  }

private:
  bool is_ignored(const std::string &key) const {
    return std::find(ignored_.begin(), ignored_.end(), key) != ignored_.end();
  }
  void args(const std::vector<Arg> &a, const std::vector<Arg> &b, const char *before,
            std::vector<std::string> *fields) {
    auto find = [](const std::vector<Arg> &list, const std::string &key) {
      auto it = std::find_if(list.begin(), list.end(), [&](const Arg &x) { return x.key == key; });
      return it == list.end() ? nullptr : &it->value;
    };
    for (const Arg &x : a) {
      const Value *y = find(b, x.key);
      if (!is_ignored(x.key) && (!y || !same(x.value, *y)))
        fields->push_back(before + x.key);
    }
    for (const Arg &y : b)
      if (!is_ignored(y.key) && !find(a, y.key))
        fields->push_back(before + y.key);
  }
  static std::string print_lets(const Event &e) {
    std::string text;
    for (const Let &l : e.lets)
      text += l.name + "=" + l.output + " ";
    return text;
  }
  static std::string shortened(const std::string &line) {
    constexpr size_t most = 400;
    return line.size() > most ? line.substr(0, most) + "..." : line;
  }

  std::vector<std::string> ignored_;
  std::map<std::string, uint64_t> counts_; // by event and field
  uint64_t events_ = 0, first_number_ = 0;
  std::string first_a_, first_b_, first_fields_;
};

int diff(int argc, char **argv) {
  Options o("trace diff A B [options]",
            "Compares two traces event by event, in whatever form they are: the first event that differs, and how many "
            "do, by\n"
            "event and field. Comments and spelling do not count, nor do times of calls. Status 1: they differ.",
            "  iommusim trace diff yesterday.trace.zst today.trace.zst --ignore arg");
  o.positional("trace", "A and B", 2);
  o.add()("ignore", po::value<std::vector<std::string>>()->value_name("FIELD"),
          "a parameter or output that may differ; may be repeated")("time", "at= and took= of calls count, too")(
      "recover", recover_words);
  if (!o.parse(argc, argv))
    return 0;
  std::vector<std::string> files = o.list("trace");
  if (files.size() != 2)
    fail("trace diff: expected two traces");
  std::vector<std::string> ignored = o.list("ignore");
  if (!o.has("time"))
    ignored.insert(ignored.end(), {"at", "took"});
  auto a = open_trace(files[0], reading_of(o, true)), b = open_trace(files[1], reading_of(o, true));
  TraceItem x, y;
  auto step = [](TraceReader &r, TraceItem *item) {
    while (r.next(item))
      if (item->is_event)
        return true;
    return false;
  };
  Differences differences(ignored);
  uint64_t compared = 0, more_a = 0, more_b = 0;
  for (;;) {
    bool has_x = step(*a, &x), has_y = step(*b, &y);
    if (has_x && has_y) {
      differences.compare(++compared, x.event, y.event);
      continue;
    }
    while (has_x) {
      more_a++;
      has_x = step(*a, &x);
    }
    while (has_y) {
      more_b++;
      has_y = step(*b, &y);
    }
    break;
  }
  int status = differences.report(files[0], files[1], more_a, more_b, compared);
  std::fflush(stdout);
  tell_damage(*a, "compared was");
  tell_damage(*b, "compared was");
  return status;
}

struct Verb {
  const char *name, *sentence;
  int (*run)(int argc, char **argv);
};
const Verb verbs[] = {
    {"convert", "text into binary, binary into text", convert},
    {"print", "for people, an event a line, calls by their fields", print},
    {"info", "what it holds", info},
    {"diff", "two of them, event by event", diff},
};

} // namespace

int cmd_trace(int argc, char **argv) {
  std::string word = argc > 1 ? argv[1] : "--help";
  if (word == "--help" || word == "-h") {
    std::printf("Usage: iommusim trace WORD ...\n\nTraces, in either form, without playing them (docs/trace.md, "
                "docs/trace-binary.md).\n\n");
    for (const Verb &v : verbs)
      std::printf("  %-10s %s\n", v.name, v.sentence);
    std::printf("\nEach has a --help of its own.\n\nExample:\n  iommusim trace print run.trace.zst\n");
    return argc > 1 ? EXIT_HELD : EXIT_INPUT;
  }
  std::vector<std::string> names;
  for (const Verb &v : verbs) {
    names.push_back(v.name);
    if (word != v.name)
      continue;
    try {
      return v.run(argc - 1, argv + 1);
    } catch (const TraceError &e) {
      std::cout.flush();
      throw BadInput(e.what());
    }
  }
  fail("trace: unknown word %s; the nearest is %s", quoted(word).c_str(), nearest(word, names).c_str());
}

} // namespace ims
