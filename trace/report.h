// SPDX-License-Identifier: Apache-2.0
// The story of a run for a person: each event in words, what the kernel did to the hardware, what each translation gave
// and cost, and a summary. 100 columns, colour on demand.
#pragma once

#include "trace/player.h"

#include <functional>
#include <iosfwd>

namespace ims {

struct ReportStyle {
  bool colour = false;
  bool verbose = false; // every note of the kernel, every piece of a DMA
  bool quiet = false;   // failures and nothing else
  unsigned width = 100;
  std::function<uint64_t()> now = nullptr; // of a timed run, the time in ps
  // It stands before each line on which it has changed, in a column of its own, TIME_COLUMN characters beside the width.
  bool times = false;

  enum { TIME_COLUMN = 18 };
};

class Report : public PlayObserver {
public:
  Report(std::ostream &out, const ReportStyle &style);

  void begin(const Event &event, const std::string &words) override;
  void heading(const std::string &words) override;
  void note(const ims_note &note) override;
  void interrupt(const std::string &unit, uint64_t addr, uint32_t data) override;
  void piece(const std::string &device, const ims_dma_piece &piece, const std::vector<Translation> &made) override;
  void told(const Explain &explain) override;
  void result(const std::string &words, bool good) override;
  void failure(const Failure &failure) override;
  void end(const Event &event, unsigned expectations, unsigned failed) override;

  // The summary of a run that has come to its end.
  void summary(const Player &player);

private:
  // A store to an entry, kept until its run has ended: structures are cleared and tables filled by the word.
  struct Store {
    std::string what, words;
    uint32_t source;
    uint64_t addr, value;
  };

  void line(const char *label, const std::string &words, const char *colour = "");
  void write_wrapped(uint64_t now, const std::string &head, const char *head_colour, const std::string &words,
                     const char *colour, unsigned hang);
  void flush_begin(const std::string &behind = "", const char *colour = "");
  void flush_stores();
  void flush_notes();
  void flush_pieces();
  void flush_results(bool expected);
  void print_piece(const ims_dma_piece &piece, const std::vector<Translation> &made);
  std::string paint(const char *code, const std::string &text) const;
  uint64_t now() const { return style_.now ? style_.now() : 0; }
  std::string time_column(uint64_t now);

  std::ostream &out_;
  ReportStyle style_;
  std::string begin_; // words of the event at hand, not printed yet
  unsigned line_ = 0;
  uint64_t began_ = 0, shown_ = ~0ull; // when the event did; the time shown last
  bool begin_due_ = false;
  std::vector<Store> stores_;
  uint64_t hidden_stores_ = 0; // of the kind of the last one, too many to tell
  std::string registers_;      // written in a row
  bool building_ = false;      // an `iommu` event: registers by name only
  // Pieces of the event at hand beyond those told one by one.
  uint64_t pieces_ = 0, hidden_ = 0, hidden_refs_ = 0, hidden_good_ = 0;
  std::vector<std::string> interrupts_;
  std::vector<std::pair<std::string, bool>> results_;
};

} // namespace ims
