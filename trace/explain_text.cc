// SPDX-License-Identifier: Apache-2.0
// The explanation as text: the address taken apart, then a numbered line a read, second-stage reads set in.
#include "trace/explain.h"
#include "trace/text.h"

#include <algorithm>
#include <cinttypes>
#include <ostream>

namespace ims {

namespace {

std::string padded(std::string text, size_t width) {
  if (text.size() < width)
    text.append(width - text.size(), ' ');
  return text;
}

std::string centred(const std::string &text, size_t width) {
  size_t left = text.size() < width ? (width - text.size()) / 2 : 0;
  return padded(std::string(left, ' ') + text, width);
}

std::string rights_text(unsigned rights) {
  return std::string(rights & IMS_PERM_R ? "r" : "-") + (rights & IMS_PERM_W ? "w" : "-") +
         (rights & IMS_PERM_X ? "x" : "-");
}

// The lowest bit of a level's index; offset of 4 KB pages, 9 bits a level.
unsigned shift_of(unsigned level) { return 12 + 9 * (level - 1); }

constexpr size_t number_column = 5; // "%3u  "
constexpr size_t name_column = 24;  // of a table's row
constexpr size_t hpa_column = 16;
constexpr size_t entry_column = 20;
constexpr size_t bits_column = 13;

class Printer {
public:
  Printer(std::ostream &out, const ExplainStyle &style, const Explain &told) : out_(out), style_(style), told_(told) {}

  void print() {
    out_ << bold("Translating " + request_text(told_.request)) << "\n";
    if (style_.refs_only) {
      for (const Explain::Step &s : told_.steps)
        if (s.kind == IMS_STEP_READ)
          reference(s);
    } else {
      const Explain::Stage &stage = told_.first.levels ? told_.first : told_.second;
      if (stage.levels)
        out_ << "\n" << address_split(stage, told_.request.iova);
      gap_due_ = true;
      for (const Explain::Step &s : told_.steps)
        step(s);
      flush_probes();
    }
    answer();
  }

private:
  std::string paint(const char *code, const std::string &text) const {
    return style_.colour ? std::string("\033[") + code + "m" + text + "\033[0m" : text;
  }
  std::string bold(const std::string &text) const { return paint("1", text); }
  std::string dim(const std::string &text) const { return paint("2", text); }

  bool nested() const { return told_.first.levels && told_.second.levels; }

  void reference(const Explain::Step &s) {
    std::string where = s.step.gpa != s.step.hpa ? format("gpa 0x%" PRIx64 " -> ", s.step.gpa) : "";
    out_ << format("%3u  ", s.ref) << padded(s.title, 52) << where << format("hpa 0x%" PRIx64, s.step.hpa) << "\n";
  }

  static bool is_paging(const Explain::Step &s) {
    return s.step.what == IMS_STRUCT_S1_TABLE || s.step.what == IMS_STRUCT_S2_TABLE;
  }

  void step(const Explain::Step &s) {
    headings(s);
    if (s.kind == IMS_STEP_PROBE && !s.hit)
      return collect(misses_, s);
    if (s.kind == IMS_STEP_FILL)
      return collect(fills_, s);
    flush_probes();
    if (s.kind == IMS_STEP_PROBE)
      hit(s);
    else if (s.kind == IMS_STEP_UPDATE)
      update(s);
    else if (is_paging(s))
      row(s);
    else
      structure(s);
  }

  void gap() {
    if (gap_due_)
      out_ << "\n";
    gap_due_ = false;
  }

  // Where the walk turns to something else: the columns of the tables, and each address that the second stage takes.
  void headings(const Explain::Step &s) {
    if (!is_paging(s))
      return;
    if (!columns_) {
      flush_probes();
      columns_ = true;
      gap_due_ = false;
      out_ << "\n"
           << dim(padded("  #", number_column) + padded("entry", name_column) + padded("at hpa", hpa_column) +
                  padded("holds", entry_column) + padded("bits", bits_column) + "which says")
           << "\n";
    }
    if (s.step.what != IMS_STRUCT_S2_TABLE || !nested() || s.kind == IMS_STEP_UPDATE)
      return;
    unsigned who = s.step.for_what == IMS_STRUCT_S1_TABLE ? s.step.for_level : 0;
    if (in_second_ && who == second_for_ && s.step.addr == second_addr_)
      return;
    flush_probes();
    std::string what = who ? format("the first-stage level %u entry", who) : std::string("the page");
    out_ << std::string(number_column + 2, ' ')
         << bold(format("gpa 0x%" PRIx64, s.step.addr) + " of " + what + " " + indices(s.step.addr)) << "\n";
    second_for_ = who;
    second_addr_ = s.step.addr;
    in_second_ = true;
  }

  std::string indices(uint64_t addr) const {
    std::string text = "[";
    for (unsigned level = told_.second.levels; level >= 1; level--)
      text += format("%03x ", static_cast<unsigned>(addr >> shift_of(level) & 511));
    return text + format("+%03x]", static_cast<unsigned>(addr & 4095));
  }

  void row(const Explain::Step &s) {
    bool second = s.step.what == IMS_STRUCT_S2_TABLE;
    std::string name =
        format("%s%s-stage level %u", second && nested() ? "  " : "", second ? "second" : "first", s.step.level);
    if (!second)
      in_second_ = false;
    std::string line =
        format("%3u  ", s.ref) + padded(name, name_column) + padded(format("0x%012" PRIx64, s.step.hpa), hpa_column);
    if (!s.words.empty())
      line += padded(format("0x%016" PRIx64, s.words[0]), entry_column) + padded(s.bits, bits_column);
    if (line.back() != ' ')
      line += ' ';
    bool fits = line.size() + s.follows.size() <= style_.width;
    if (!fits)
      line += "\n" + std::string(number_column + name_column, ' ');
    bool bad = !s.ok || s.follows[0] == 'n' || s.follows[0] == 'r';
    out_ << line << (bad ? paint("31", s.follows) : s.follows) << "\n";
  }

  void structure(const Explain::Step &s) {
    gap_due_ = false;
    out_ << "\n"
         << format("%3u  ", s.ref) << bold(padded(s.title, name_column)) << format("hpa 0x%" PRIx64, s.step.hpa)
         << "\n";
    std::string indent(number_column, ' ');
    if (!s.words.empty()) {
      size_t used = s.words.size();
      while (used > 1 && !s.words[used - 1])
        used--;
      std::string raw;
      for (size_t i = 0; i < used; i++)
        raw += (i == 0 ? "" : i % 4 ? " " : "\n" + indent) + format("%016" PRIx64, s.words[i]);
      if (used < s.words.size())
        raw += s.words.size() - used == 1 ? " 0" : " and zeros";
      out_ << indent << dim(raw) << "\n";
    }
    std::vector<std::string> words;
    for (const Field &f : s.fields)
      words.push_back(f.name + " " + f.text + (f.meaning.empty() ? "" : " (" + f.meaning + ")"));
    wrap(words, indent, "   ");
    out_ << indent << "=> " << s.follows << "\n";
  }

  // Words in lines of at most style_.width columns; `hang`: further indentation of all lines but the first.
  void wrap(const std::vector<std::string> &words, std::string indent, const std::string &separator, size_t hang = 0) {
    std::string line;
    for (const std::string &word : words) {
      if (!line.empty() && indent.size() + line.size() + separator.size() + word.size() > style_.width) {
        out_ << indent << line << "\n";
        line.clear();
        indent.append(hang, ' ');
        hang = 0;
      }
      line += (line.empty() ? "" : separator) + word;
    }
    if (!line.empty())
      out_ << indent << line << "\n";
  }

  void update(const Explain::Step &s) {
    bool second = s.step.what == IMS_STRUCT_S2_TABLE;
    uint64_t set = s.step.desired & ~s.step.old;
    std::string bits;
    const unsigned a = second ? IMS_SS_A : IMS_FS_A, d = second ? IMS_SS_D : IMS_FS_D;
    for (auto [bit, name] :
         {std::pair(a, " A"), std::pair(d, " D"), std::pair(second ? 0u : unsigned(IMS_FS_EA), " EA")})
      bits += set & bit ? name : "";
    out_ << std::string(number_column, ' ') << padded((second && nested() ? "    set" : "  set") + bits, name_column)
         << padded(format("0x%012" PRIx64, s.step.hpa), hpa_column)
         << (s.ok ? format("0x%016" PRIx64, s.step.desired) : "no memory here: the update failed") << "\n";
  }

  void hit(const Explain::Step &s) {
    std::string text = std::string("hit   ") + ims_cache_name(s.step.cache);
    bool translation = s.step.cache == IMS_CACHE_IOTLB || s.step.cache == IMS_CACHE_NESTED;
    if (translation)
      text += format(": 0x%" PRIx64 " -> %s page 0x%" PRIx64, s.step.tag.addr, size_text(s.value.shift).c_str(),
                     s.value.addr);
    else if (s.step.cache != IMS_CACHE_CONTEXT && s.step.cache != IMS_CACHE_PASID)
      text += format(": next table at %s0x%" PRIx64,
                     s.step.what == IMS_STRUCT_S1_TABLE && nested() && !(s.value.flags & IMS_TLB_HPA) ? "gpa " : "",
                     s.value.addr);
    gap();
    out_ << probe_indent(s) << paint("32", text) << "\n";
  }

  std::string probe_indent(const Explain::Step &s) const {
    return std::string(number_column + (s.step.what == IMS_STRUCT_S2_TABLE && nested() ? 4 : 2), ' ');
  }

  // Misses and fills come in crowds: one line for those in a row.
  void collect(std::vector<std::string> &names, const Explain::Step &s) {
    std::string indent = probe_indent(s);
    if (!(&names == &fills_ ? misses_ : fills_).empty() || indent != crowd_indent_)
      flush_probes();
    crowd_indent_ = indent;
    names.push_back(ims_cache_name(s.step.cache));
  }

  void flush_probes() {
    for (auto [names, word] : {std::pair(&misses_, "miss  "), std::pair(&fills_, "keep  ")}) {
      if (names->empty())
        continue;
      gap();
      (*names)[0] = word + (*names)[0];
      wrap(*names, crowd_indent_, "; ", 6);
      names->clear();
    }
  }

  void answer() {
    const ims_result &r = told_.result;
    unsigned one = told_.reads(IMS_STRUCT_S1_TABLE), two = told_.reads(IMS_STRUCT_S2_TABLE);
    std::string refs = format("%u reference%s", r.refs, r.refs == 1 ? "" : "s");
    std::string parts;
    for (auto [n, name] : {std::pair(r.refs - one - two, "configuration"), std::pair(one, "first stage"),
                           std::pair(two, "second stage")})
      if (n)
        parts += format("%s%u %s", parts.empty() ? "" : ", ", n, name);
    if (r.refs)
      refs += " (" + parts + ")";
    out_ << "\n";
    switch (r.status) {
    case IMS_STATUS_OK:
      out_ << paint("1;32", "ok")
           << format("  hpa 0x%" PRIx64 "   page %s   rights %s", r.output, size_text(r.shift).c_str(),
                     rights_text(r.rights).c_str())
           << "\n    " << refs << "\n";
      return;
    case IMS_STATUS_BYPASS:
      out_ << paint("1;33", "bypass") << format("  0x%" PRIx64 " passes as it is   ", r.output) << refs << "\n";
      return;
    case IMS_STATUS_ABORT:
      out_ << paint("1;31", "abort") << "  terminated by configuration, without a record   " << refs << "\n";
      return;
    default: break;
    }
    out_ << paint("1;31", format("fault 0x%x", r.fault)) << "  " << bold(fault_text(r.fault)) << "\n";
    if (r.walk.cause != IMS_WALK_OK) {
      bool second = r.walk.stage == 2;
      std::string where = second ? "second stage" : "first stage";
      if (r.walk.level)
        where += format(", level %u entry", r.walk.level);
      where += format(", for %s 0x%" PRIx64, second && nested() ? "gpa" : "iova", r.walk.addr);
      if (second && nested() && r.walk.s1_level)
        where += format(" of the first-stage level %u entry%s", r.walk.s1_level,
                        r.walk.during == IMS_FOR_UPDATE ? ", which is to be updated" : "");
      out_ << "  where   " << where << ": " << ims_walk_cause_name(r.walk.cause) << "\n";
    }
    static const char *const completions[] = {"success", "success without rights", "unsupported request",
                                              "completer abort"};
    out_ << "  device  " << completions[r.completion & 3] << "\n";
    if (r.recorded && r.record_words == 2) {
      out_ << format("  record  %016" PRIx64 ":%016" PRIx64, r.record[1], r.record[0]) << "\n";
      std::vector<std::string> words;
      for (const Field &f : decode_vtd_entry(VtdEntry::FAULT_RECORD, r.record, 2))
        words.push_back(f.name + " " + f.text + (f.meaning.empty() ? "" : " (" + f.meaning + ")"));
      wrap(words, "          ", "   ");
    } else {
      out_ << "  record  none\n";
    }
    out_ << "  cost    " << refs << "\n";
  }

  std::ostream &out_;
  const ExplainStyle &style_;
  const Explain &told_;
  bool columns_ = false, in_second_ = false, gap_due_ = false;
  unsigned second_for_ = 0;
  uint64_t second_addr_ = 0;
  std::vector<std::string> misses_, fills_;
  std::string crowd_indent_;
};

} // namespace

std::string address_split(const Explain::Stage &stage, uint64_t address) {
  struct Part {
    unsigned high, low;
    std::string value, name;
  };
  std::vector<Part> parts;
  unsigned last = stage.leaf ? stage.leaf : 1;
  unsigned top = std::min(shift_of(stage.levels) + 8, 63u);
  auto value = [&](unsigned high, unsigned low) {
    uint64_t v = address >> low & (~0ull >> (63 - (high - low)));
    return format("0x%0*" PRIx64, static_cast<int>((high - low + 4) / 4), v);
  };
  if (top < 63)
    parts.push_back({63, top + 1, value(63, top + 1), stage.sign ? "sign" : "zero"});
  for (unsigned level = stage.levels; level >= last; level--)
    parts.push_back({shift_of(level) + 8, shift_of(level), value(shift_of(level) + 8, shift_of(level)),
                     "level " + std::to_string(level)});
  parts.push_back({shift_of(last) - 1, 0, value(shift_of(last) - 1, 0), "offset"});

  std::string bits = " ", rule = "+", values = "|", names = " ";
  for (const Part &p : parts) {
    size_t width = std::max({p.value.size() + 2, p.name.size() + 2, size_t(9)});
    std::string low = std::to_string(p.low), high = std::to_string(p.high);
    bits += high + std::string(width - high.size() - low.size(), ' ') + low + " ";
    rule += std::string(width, '-') + "+";
    values += centred(p.value, width) + "|";
    names += centred(p.name, width) + " ";
  }
  for (std::string *line : {&bits, &names})
    line->erase(line->find_last_not_of(' ') + 1);
  std::string indent(5, ' ');
  return indent + bits + "\n" + indent + rule + "\n" + indent + values + "\n" + indent + rule + "\n" + indent + names +
         "\n";
}

void Explain::print(std::ostream &out, const ExplainStyle &style) const { Printer(out, style, *this).print(); }

} // namespace ims
