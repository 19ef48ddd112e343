// SPDX-License-Identifier: Apache-2.0
// Plays a trace: builds the machine that it describes and carries its events out in their order. What happens is told to an
// observer; what was expected and did not come is counted and told too. Time, if it is to pass, comes from outside.
#pragma once

#include "iommu/device.h"
#include "trace/event.h"
#include "trace/explain.h"
#include "uapi/kernel.h"
#include "uapi/layout.h"

#include <map>
#include <memory>
#include <optional>

namespace ims {

// A translation as the player saw it go through the unit.
struct Translation {
  const Arch *arch = nullptr;
  ims_request request;
  ims_result result;
  unsigned reads[IMS_STRUCT_COUNT] = {}; // memory references by what was read
  unsigned hits[IMS_CACHE_COUNT] = {}, misses[IMS_CACHE_COUNT] = {};

  unsigned configuration() const; // references by stage
  unsigned first_stage() const { return reads[IMS_STRUCT_S1_TABLE]; }
  unsigned second_stage() const { return reads[IMS_STRUCT_S2_TABLE]; }
};

// One output of an event, as it came.
struct Outcome {
  std::string name;
  Type type = Type::NUMBER;
  uint64_t number = 0;                          // NUMBER, BITS, PLACE, SOURCE; ERRNO, ERROR and FAULT: the code
  const Arch *arch = nullptr;                   // FAULT: whose
  std::string text;                             // WORD, NAME; BYTES: the bytes
  std::vector<uint64_t> list;                   // LIST
  std::vector<Piece> pieces;                    // PIECES
  const struct ims_uapi_field *field = nullptr; // BITS: its names
  bool hexadecimal = false, is_signed = false;

  std::string print() const;
};

struct Failure {
  Position at;
  std::string event, output, expected, came;
};

// Called as the trace goes on. Everything handed over is valid during the call only.
class PlayObserver {
public:
  virtual ~PlayObserver() = default;
  virtual bool wants_words() const { return true; } // false: those of `begin` and `result` need not be made
  virtual void begin(const Event &, const std::string & /*words*/) {}                           // an event begins
  virtual void heading(const std::string &) {}                                                  // `say`
  virtual void note(const ims_note &) {}                                                        // what the kernel did
  virtual void interrupt(const std::string & /*unit*/, uint64_t /*addr*/, uint32_t /*data*/) {} // without a kernel
  virtual void piece(const std::string & /*device*/, const ims_dma_piece &, const std::vector<Translation> &) {}
  virtual void told(const Explain &) {}
  virtual void result(const std::string & /*words*/, bool /*good*/) {} // how the event ended
  virtual void failure(const Failure &) {}
  virtual void outcomes(const Event &, const std::vector<Outcome> &) {} // what came of it, all of it
  virtual void end(const Event &, unsigned /*expectations*/, unsigned /*failed*/) {}
};

// Time, for a player that has any: it is told of all that takes some, and carries the requests of devices to the units.
// Without one a run is untimed: requests are translated where they come, by the same steps.
class PlayTime {
public:
  virtual ~PlayTime() = default;
  virtual void begin(const Event &) {}                      // is about to be carried out
  virtual void end() {}                                     // it has been, interrupts that came of it included
  virtual void made(const Event &, ims_iommu *) {}          // a unit, by this event; it stays the player's
  virtual void made(const Event &, const ims_endpoint *) {} // a device, likewise
  virtual void note(const ims_note &) {}                    // what the kernel does
  virtual void page_request(const ims_endpoint &) {}        // a device is about to send one
  // Does what ims_translate() does, and counts reads, hits and misses of it in *made.
  virtual void translate(const ims_endpoint &device, const ims_request &request, Translation *made) = 0;
};

class EventStream;
class PlayerImpl;
class Recorder;

struct PlayOptions {
  // Knobs and capabilities that go over what the trace says of its units.
  struct Knob {
    std::string arch, name;
    uint32_t value;
  };
  std::vector<Knob> knobs;
  bool explain = false;      // tell translations step by step
  unsigned explain_line = 0; // only those of the event of this line; 0: all
  uint64_t max_dma = ~0ull;  // refuse traces that ask for more
  // Records the run: calls as `call`, all else as it is. Made by the caller, who finishes it after run().
  Recorder *recorder = nullptr;
  PlayTime *time = nullptr; // NULL: untimed. Translations cannot be told step by step then
};

struct PlayCounters {
  uint64_t events = 0, expectations = 0, failed = 0;
  uint64_t dmas = 0, translations = 0, references = 0, references_max = 0;
  uint64_t configuration = 0, first_stage = 0, second_stage = 0;
  uint64_t descriptors = 0;                                     // put into queues by the trace itself
  std::map<std::pair<const Arch *, unsigned>, uint64_t> faults; // by reason
};

struct UnitView {
  std::string name;
  ims_iommu *unit;
  const Arch *arch;
  const Config *config;
};
struct DeviceView {
  std::string name;
  const ims_endpoint *endpoint;
};

class Player {
public:
  // Events are taken as they are played, and not kept.
  Player(EventStream *events, const PlayOptions &options, PlayObserver *observer);
  Player(const Trace &trace, const PlayOptions &options, PlayObserver *observer);
  ~Player();
  Player(const Player &) = delete;
  Player &operator=(const Player &) = delete;

  // Runs it to its end. Expectations that fail do not stop it. Throws TraceError: an event that cannot be carried out.
  void run();

  const PlayCounters &counters() const;
  std::vector<UnitView> units() const;     // in the order of the trace
  std::vector<DeviceView> devices() const; // likewise
  const ims_kernel *kernel() const;        // NULL: a bare machine
  ims_mem *memory();

private:
  std::unique_ptr<EventStream> own_;
  std::unique_ptr<PlayerImpl> impl_;
};

} // namespace ims
