// SPDX-License-Identifier: Apache-2.0
// iommusim run: plays a trace, tells what happened, checks what was expected.
#include "tools/commands.h"
#include "tools/config.h"
#include "tools/error.h"
#include "tools/options.h"
#include "tools/output.h"
#include "tools/replay.h"
#include "tools/save.h"
#include "tools/statistics.h"
#include "tools/system_config.h"
#include "tools/trace_sink.h"
#include "trace/events.h"
#include "trace/names.h"
#include "trace/number.h"
#include "trace/report.h"
#include "trace/stats.h"
#include "trace/stream.h"
#include "trace/text.h"

#include <algorithm>
#include <cinttypes>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <unistd.h>

namespace po = boost::program_options;

namespace ims {

namespace {

enum : size_t { FAILURES_TOLD = 1000 }; // on standard error

bool wants_colour() {
  const char *no = std::getenv("NO_COLOR"), *term = std::getenv("TERM");
  return isatty(STDOUT_FILENO) && !(no && *no) && !(term && std::string_view(term) == "dumb");
}

// What --config and --set say, and nothing else: of the units it goes over what the trace says of them.
std::vector<PlayOptions::Knob> knobs_given(const std::vector<Setting> &settings) {
  std::vector<PlayOptions::Knob> given;
  for (const Setting &g : settings)
    given.push_back({g.knob->section, g.knob->name, g.value});
  return given;
}

// --timing, and what does not go with it. NULL: none.
std::unique_ptr<model::Timing> timing_of(const Options &o) {
  std::string timing = o.text("timing");
  if (timing != "none" && timing != "lt" && timing != "at")
    fail("run: --timing: found %s, expected none, lt or at", quoted(timing).c_str());
  if (timing == "none")
    return nullptr;
  if (o.has("explain"))
    fail(
        "run: --explain tells the steps of untimed translations: it goes with --timing none, which has the same steps");
  return std::make_unique<model::Timing>(timing == "lt" ? model::Timing::LT : model::Timing::AT);
}

// With -o: what came of each event, a line each.
class Answers {
public:
  explicit Answers(const std::string &path) : out_(path) { out_.write("number\tline\tevent\toutputs\n"); }
  void outcomes(const Event &e, const std::vector<Outcome> &outcomes) {
    std::string text = format("%" PRIu64 "\t%u\t%s\t", ++number_, e.at.line, e.info->name);
    for (size_t i = 0; i < outcomes.size(); i++)
      text += (i ? "\t" : "") + outcomes[i].name + "=" + outcomes[i].print();
    out_.write(text + "\n");
  }
  void commit() { out_.commit(); }

private:
  Output out_;
  uint64_t number_ = 0;
};

// The story goes to standard output and, with -o, into the log as well.
class Story : public PlayObserver {
public:
  Story(Report *screen, bool quiet, Report *log, Answers *answers, const std::string &name)
      : screen_(screen), log_(log), answers_(answers), name_(name), quiet_(quiet) {}

  bool wants_words() const override { return !quiet_; }
  void outcomes(const Event &e, const std::vector<Outcome> &o) override {
    if (answers_)
      answers_->outcomes(e, o);
  }

  void begin(const Event &e, const std::string &w) override {
    both([&](Report *r) { r->begin(e, w); });
  }
  void heading(const std::string &w) override {
    both([&](Report *r) { r->heading(w); });
  }
  void note(const ims_note &n) override {
    both([&](Report *r) { r->note(n); });
  }
  void interrupt(const std::string &u, uint64_t a, uint32_t d) override {
    both([&](Report *r) { r->interrupt(u, a, d); });
  }
  void piece(const std::string &d, const ims_dma_piece &p, const std::vector<Translation> &t) override {
    both([&](Report *r) { r->piece(d, p, t); });
  }
  void told(const Explain &e) override {
    both([&](Report *r) { r->told(e); });
  }
  void result(const std::string &w, bool g) override {
    both([&](Report *r) { r->result(w, g); });
  }
  void end(const Event &e, unsigned n, unsigned f) override {
    both([&](Report *r) { r->end(e, n, f); });
  }
  void failure(const Failure &f) override {
    both([&](Report *r) { r->failure(f); });
    if (failures_.size() < FAILURES_TOLD)
      failures_.push_back(format("%s:%u:%u: %s: expected %s=%s, came %s", name_.c_str(), f.at.line, f.at.column,
                                 f.event.c_str(), f.output.c_str(), f.expected.c_str(), f.came.c_str()));
  }

  const std::vector<std::string> &failures() const { return failures_; }

private:
  template <class F> void both(F f) {
    f(screen_);
    if (log_)
      f(log_);
  }
  Report *screen_, *log_;
  Answers *answers_;
  std::string name_;
  bool quiet_;
  std::vector<std::string> failures_;
};

void write_file(const std::string &path, const std::string &text) {
  Output out(path);
  out.write(text);
  out.commit();
}

// The configuration of each unit as it was in force: config.json has the first unit of each architecture, and units that
// differ from it have a file of their own. `system`: of a timed run, the parts of the model.
void write_configurations(const std::string &folder, const Player &player, const SystemConfig *system) {
  SystemConfig first = system ? *system : SystemConfig(), mine;
  std::vector<std::string> sections = system ? Replay::sections() : std::vector<std::string>();
  for (const UnitView &u : player.units()) {
    static_cast<Config &>(mine) = *u.config;
    bool known = std::find(sections.begin(), sections.end(), u.arch->name) != sections.end();
    if (!known) {
      sections.push_back(u.arch->name);
      for (const Knob &k : knobs())
        if (k.section == u.arch->name)
          k.set(first, k.get(mine));
    } else if (config_json(mine, {u.arch->name}) != config_json(first, {u.arch->name})) {
      write_file(folder + "/config-" + u.name + ".json", config_json(mine, {u.arch->name}));
    }
  }
  write_file(folder + "/config.json", config_json(first, sections));
}

} // namespace

int cmd_run(int argc, char **argv) {
  Options o(
      "run TRACE [options]",
      "Plays a trace: builds the machine it describes, carries its events out, tells what happened and what each\n"
      "translation cost, and checks what the trace expects. docs/trace.md has the format, docs/trace-binary.md the\n"
      "binary one; `-` is standard input. Without a clock the trace is not kept: it may be of any length.",
      "  iommusim run traces/vsva-2020.trace\n"
      "  iommusim run traces/vsva-2020.trace --set vtd.iotlb_entries=0 --explain=120 -o out");
  o.positional("trace", "file", 1);
  auto text = [](const char *name) { return po::value<std::string>()->value_name(name); };
  add_config_options(o, "what the trace says of its IOMMUs, and of timed runs the model around them");
  o.add()("timing", text("none|lt|at")->default_value("none"),
          "how time is modelled: not, loosely (by annotation), approximately (event by event)")(
      "seed", text("N")->default_value("0"), "noted in stats.json; nothing in a replay is random")(
      "output,o", text("DIR"), "writes stats.json, stats.txt, config.json, answers.tsv and log.txt there")(
      "save", text("DIR"), "the final machine as a snapshot: memory.elf, NAME.regs of each IOMMU, queues.txt")(
      "record", text("FILE"), "records the run as a trace of the binary form: ioctls, reads and writes as calls")(
      "recover", "a damaged binary trace: plays what precedes the damage")(
      "explain", text("LINE")->implicit_value("0"), "tells translations step by step: all, or those of one line")(
      "verbose,v", "every register write and every piece of a DMA; of timed runs the time")(
      "quiet,q", "failed expectations and nothing else");
  if (!o.parse(argc, argv))
    return 0;
  if (!o.has("trace"))
    fail("run: no trace, expected a file");
  std::unique_ptr<model::Timing> timing = timing_of(o);
  uint64_t seed, line = 0;
  if (!parse_size(o.text("seed"), &seed))
    fail("run: --seed: found %s, expected a number", quoted(o.text("seed")).c_str());
  if (o.has("explain") && (!parse_size(o.text("explain"), &line) || line > 0xffffffff))
    fail("run: --explain: found %s, expected a line of the trace", quoted(o.text("explain")).c_str());
  if (o.has("quiet") && (o.has("verbose") || o.has("explain")))
    fail("run: --quiet goes without --verbose and --explain");

  std::string folder = o.text("output"), save = o.text("save"), record = o.text("record");
  PlayOptions options;
  std::vector<Setting> given = read_sources(config_sources(o));
  options.knobs = knobs_given(given);
  SystemConfig system;
  for (const Setting &g : given)
    g.knob->set(system, g.value);
  options.explain = o.has("explain");
  options.explain_line = static_cast<unsigned>(line);
  std::unique_ptr<TraceReader> reader;
  std::unique_ptr<EventStream> events;
  Trace trace;
  TraceReadOptions reading;
  reading.recover = o.has("recover");
  try {
    reader = open_trace(o.list("trace")[0], reading);
    if (timing) { // its modules are made before anything runs
      trace = read_whole(reader.get());
      events = std::make_unique<TraceEvents>(trace);
    } else {
      events = std::make_unique<ReadEvents>(reader.get());
    }
  } catch (const TraceError &e) {
    throw BadInput(e.what());
  }
  const std::string &name = reader->name();
  for (const std::string &path : {folder, save})
    if (!path.empty())
      make_folder(path);

  std::unique_ptr<Replay> replay; // outlives the player
  ReportStyle style;
  if (timing) {
    replay = std::make_unique<Replay>(trace, *timing, system);
    options.time = replay.get();
    style.now = [&replay] { return replay->now(); };
    style.times = true;
  }
  style.verbose = o.has("verbose");
  style.quiet = o.has("quiet");
  std::unique_ptr<OutputBuffer> log_file;
  std::unique_ptr<Answers> answers;
  if (!folder.empty()) {
    log_file = std::make_unique<OutputBuffer>(folder + "/log.txt");
    answers = std::make_unique<Answers>(folder + "/answers.tsv");
  }
  std::ostream log_text(log_file.get());
  if (log_file)
    log_text.exceptions(std::ios::badbit); // the buffer's own message goes on
  Report log(log_text, style);
  style.colour = wants_colour();
  style.times = timing && style.verbose;
  Report screen(std::cout, style);
  Story story(&screen, style.quiet, folder.empty() ? nullptr : &log, answers.get(), name);
  std::unique_ptr<OutputSink> sink;
  std::unique_ptr<Recorder> recorder; // before the player, which records until it has gone
  if (!record.empty()) {
    sink = std::make_unique<OutputSink>(record);
    recorder = std::make_unique<Recorder>(sink.get());
    options.recorder = recorder.get();
  }
  Player player(events.get(), options, &story);
  try {
    if (replay)
      replay->run(player);
    else
      player.run();
  } catch (const TraceError &e) {
    std::cout.flush();
    throw BadInput(e.what());
  }
  if (recorder) {
    recorder->finish();
    sink->commit();
  }
  if (!style.quiet)
    screen.summary(player);
  if (log_file)
    log.summary(player);
  std::cout.flush();
  for (const std::string &f : story.failures())
    std::fprintf(stderr, "%s\n", f.c_str());
  if (player.counters().failed > story.failures().size())
    std::fprintf(stderr, "... and %" PRIu64 " more\n", player.counters().failed - story.failures().size());
  if (!story.failures().empty())
    std::fprintf(stderr, "%s: %llu of %llu expectations failed\n", name.c_str(),
                 static_cast<unsigned long long>(player.counters().failed),
                 static_cast<unsigned long long>(player.counters().expectations));
  std::string damage = reader->damage();
  if (!damage.empty())
    std::fprintf(stderr, "%s; what precedes it was played\n", damage.c_str());
  if (!folder.empty()) {
    std::vector<Statistic> stats = collect_statistics(player);
    if (replay) {
      CollectedStatistics model(&stats);
      replay->collect(model);
    }
    write_configurations(folder, player, replay ? &system : nullptr);
    write_file(folder + "/stats.json", statistics_json(stats, seed));
    write_file(folder + "/stats.txt", statistics_text(stats));
    log_file->commit();
    answers->commit();
  }
  if (!save.empty())
    save_machine(player, save);
  return player.counters().failed ? EXIT_EXPECTATION : EXIT_HELD;
}

} // namespace ims
