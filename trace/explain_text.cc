// SPDX-License-Identifier: Apache-2.0
// The explanation as text: the address taken apart, then a numbered line a read, second-stage reads set in.
#include "trace/explain.h"
#include "trace/smmu_entries.h"
#include "trace/text.h"

#include <algorithm>
#include <cinttypes>
#include <ostream>
#include <sstream>

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

constexpr size_t number_column = 5; // "%3u  "

// Widths of a table's rows. Arm says more of a leaf than fits a narrow column, and says it last.
struct Columns {
  size_t name, hpa, entry, bits;
  bool bits_last;
};
constexpr Columns x86_columns = {24, 16, 20, 13, false};
constexpr Columns arm_columns = {21, 16, 20, 21, true};

// The bit above the topmost that a stage's tables are indexed by. x86 tables have 9 bits a level; on Arm the first one has
// what the input size leaves, which may be less, or more (concatenated tables).
unsigned top_of(const Explain::Stage &s) {
  bool vmsa = s.format && s.format->kind >= IMS_PGT_VMSA_S1;
  return vmsa ? std::max<unsigned>(s.in_bits, s.shift(s.levels)) : std::min(s.shift(s.levels) + 9, 64u);
}

class Printer {
public:
  Printer(std::ostream &out, const ExplainStyle &style, const Explain &told)
      : out_(out), style_(style), told_(told), arch_(*told.arch), say_(told.arch->say),
        columns_(told.arch->vmsa ? arm_columns : x86_columns) {}

  void print() {
    out_ << bold("Translating " + request_text(arch_, told_.request)) << "\n";
    if (style_.refs_only) {
      for (const Explain::Step &s : told_.steps)
        if (s.kind == IMS_STEP_READ)
          reference(s);
    } else {
      const Explain::Stage &stage = told_.first.levels ? told_.first : told_.second;
      if (stage.levels)
        out_ << "\n" << address_split(stage, told_.request.iova);
      gap_due_ = true;
      if (!told_.preamble.empty())
        out_ << "\n";
      for (const std::string &words : told_.preamble)
        out_ << std::string(number_column, ' ') << words << "\n";
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

  bool nested() const { return told_.nested(); }

  void reference(const Explain::Step &s) {
    std::string where = s.step.gpa != s.step.hpa ? format("%s 0x%" PRIx64 " -> ", say_.between, s.step.gpa) : "";
    out_ << format("%3u  ", s.ref) << padded(s.title, columns_.bits_last ? 58 : 52) << where
         << format("hpa 0x%" PRIx64, s.step.hpa) << "\n";
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

  // On whose behalf the second stage translates.
  std::string behalf(const ims_step &s) const {
    if (s.for_what == IMS_STRUCT_S1_TABLE)
      return format("the %s level %d %s", say_.first_, arch_.level(s.for_level), say_.entry);
    if (s.for_what == IMS_STRUCT_CD || s.for_what == IMS_STRUCT_CD_L1)
      return std::string("the ") + ims_structure_name(s.for_what);
    return "the page";
  }

  // Where the walk turns to something else: the columns of the tables, and each address that the second stage takes.
  void headings(const Explain::Step &s) {
    if (!is_paging(s))
      return;
    if (!headed_) {
      flush_probes();
      headed_ = true;
      gap_due_ = false;
      std::string line = padded("  #", number_column) + padded(say_.entry, columns_.name) +
                         padded("at hpa", columns_.hpa) + padded("holds", columns_.entry);
      line += columns_.bits_last ? padded("which says", columns_.bits) + "attributes"
                                 : padded("bits", columns_.bits) + "which says";
      out_ << "\n" << dim(line) << "\n";
      for (auto [stage, name] : {std::pair(&told_.first, say_.first), std::pair(&told_.second, say_.second)})
        if (stage->big_endian)
          out_ << std::string(number_column + 2, ' ') << dim(std::string(name) + " is big-endian: shown as numbers")
               << "\n";
    }
    if (s.step.what != IMS_STRUCT_S2_TABLE || !nested() || s.kind == IMS_STEP_UPDATE)
      return;
    std::string who = behalf(s.step);
    if (in_second_ && who == second_for_ && s.step.addr == second_addr_)
      return;
    flush_probes();
    out_ << std::string(number_column + 2, ' ')
         << bold(format("%s 0x%" PRIx64, say_.between, s.step.addr) + " of " + who + " " + indices(s.step.addr))
         << "\n";
    second_for_ = who;
    second_addr_ = s.step.addr;
    in_second_ = true;
  }

  std::string indices(uint64_t addr) const {
    const Explain::Stage &stage = told_.second;
    std::string text = "[";
    for (unsigned level = stage.levels; level >= 1; level--) {
      unsigned low = stage.shift(level), high = level < stage.levels ? stage.shift(level + 1) : top_of(stage);
      text += format("%03x ", static_cast<unsigned>(addr >> low & ((1u << (high - low)) - 1)));
    }
    return text + format("+%03x]", static_cast<unsigned>(addr & ((1u << stage.shift(1)) - 1)));
  }

  void row(const Explain::Step &s) {
    bool second = s.step.what == IMS_STRUCT_S2_TABLE;
    std::string name = format("%s%s level %d", second && nested() ? "  " : "", second ? say_.second_ : say_.first_,
                              arch_.level(s.step.level));
    if (!second)
      in_second_ = false;
    std::string line = format("%3u  ", s.ref) + padded(name, columns_.name) +
                       padded(format("0x%012" PRIx64, s.step.hpa), columns_.hpa);
    std::string says = s.bad ? paint("31", s.follows) : s.follows, indent(number_column + columns_.name, ' ');
    if (!s.words.empty())
      line += padded(format("0x%016" PRIx64, s.words[0]), columns_.entry);
    if (columns_.bits_last) {
      // The attributes go to a line of their own where they do not fit.
      size_t used = line.size() + std::max(s.follows.size() + 2, columns_.bits);
      if (s.follows.size() > columns_.bits && line.size() + s.follows.size() > style_.width)
        line += "\n" + indent;
      out_ << line << says;
      if (!s.bits.empty() && used + s.bits.size() <= style_.width)
        out_ << std::string(used - line.size() - s.follows.size(), ' ') << s.bits << "\n";
      else
        out_ << (s.bits.empty() ? "\n" : "\n" + indent + s.bits + "\n");
      return;
    }
    if (!s.words.empty())
      line += padded(s.bits, columns_.bits);
    if (line.back() != ' ')
      line += ' ';
    if (line.size() + s.follows.size() > style_.width)
      line += "\n" + indent;
    out_ << line << says << "\n";
  }

  void structure(const Explain::Step &s) {
    gap_due_ = in_second_ = headed_ = false; // tables that follow begin anew
    out_ << "\n"
         << format("%3u  ", s.ref) << bold(padded(s.title, std::max<size_t>(24, s.title.size() + 2)))
         << format("hpa 0x%" PRIx64, s.step.hpa);
    if (nested() && (s.step.what == IMS_STRUCT_CD || s.step.what == IMS_STRUCT_CD_L1))
      out_ << format(", %s 0x%" PRIx64, say_.between, s.step.gpa);
    out_ << "\n";
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
      words.push_back(field_words(f));
    wrap(words, indent, "   ");
    std::vector<std::string> follows;
    std::istringstream in(s.follows);
    for (std::string word; in >> word;)
      follows.push_back(follows.empty() ? "=> " + word : word);
    wrap(follows, indent, " ", 3);
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
    std::string name = (second && nested() ? "    set " : "  set ") + s.bits;
    out_ << std::string(number_column, ' ') << padded(name, columns_.name)
         << padded(format("0x%012" PRIx64, s.step.hpa), columns_.hpa)
         << (s.ok ? format("0x%016" PRIx64, s.step.desired) : "no memory here: the update failed") << "\n";
  }

  void hit(const Explain::Step &s) {
    std::string text = std::string("hit   ") + cache_name(s);
    bool translation = s.step.cache == IMS_CACHE_IOTLB || s.step.cache == IMS_CACHE_NESTED;
    if (translation)
      text += format(": 0x%" PRIx64 " -> %s page 0x%" PRIx64, s.step.tag.addr, size_text(s.value.shift).c_str(),
                     s.value.addr);
    else if (s.step.cache != IMS_CACHE_CONTEXT && s.step.cache != IMS_CACHE_PASID)
      text += format(": next table at %s0x%" PRIx64,
                     s.step.what == IMS_STRUCT_S1_TABLE && nested() && !(s.value.flags & IMS_TLB_HPA)
                         ? (std::string(say_.between) + " ").c_str()
                         : "",
                     s.value.addr);
    gap();
    out_ << probe_indent(s) << paint("32", text) << "\n";
  }

  // By its place in the unit; what an architecture calls it.
  std::string cache_name(const Explain::Step &s) const {
    for (const auto &[cache, name] : arch_.caches)
      if (cache == s.step.cache)
        return name;
    if (s.step.cache >= IMS_CACHE_S1_L2 && s.step.cache <= IMS_CACHE_S2_L5 && arch_.vmsa) {
      bool second = s.step.cache >= IMS_CACHE_S2_L2;
      unsigned level = s.step.cache - (second ? IMS_CACHE_S2_L2 : IMS_CACHE_S1_L2) + 2u;
      return format("%s walk cache, level %d", second ? say_.second_ : say_.first_, arch_.level(level));
    }
    return ims_cache_name(s.step.cache);
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
    names.push_back(cache_name(s));
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
    for (auto [n, name] :
         {std::pair(r.refs - one - two, "configuration"), std::pair(one, say_.first), std::pair(two, say_.second)})
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
           << (r.output_ipa ? format("   (an %s: stage 2 follows with the access)", say_.between) : "") << "\n    "
           << refs << "\n";
      if (arch_.vmsa)
        out_ << "    " << attributes(r) << "\n";
      return;
    case IMS_STATUS_BYPASS:
      out_ << paint("1;33", "bypass") << format("  0x%" PRIx64 " passes as it is   ", r.output) << refs << "\n";
      return;
    case IMS_STATUS_ABORT:
      out_ << paint("1;31", "abort") << "  terminated by configuration, without a record   " << refs << "\n";
      return;
    default: break;
    }
    fault(r, refs);
  }

  // Memory attributes of the access, as stages and configuration make them.
  static std::string attributes(const ims_result &r) {
    return memory_text(IMS_ATTR_GET(r.attr, IMS_ATTR_MEM, 8)) + ", " +
           shareability_text(IMS_ATTR_GET(r.attr, IMS_ATTR_SH, 2));
  }

  void fault(const ims_result &r, const std::string &refs) {
    bool stalls = r.status == IMS_STATUS_STALL;
    out_ << paint("1;31", format("%s 0x%x", stalls ? "stall" : say_.fault, r.fault)) << "  "
         << bold(arch_.fault_text(r.fault)) << "\n";
    if (r.walk.cause != IMS_WALK_OK) {
      bool second = r.walk.stage == 2;
      std::string where = second ? say_.second : say_.first;
      if (r.walk.level)
        where += format(", level %d %s", arch_.level(r.walk.level), say_.entry);
      where += format(", for %s 0x%" PRIx64, second && nested() ? say_.between : "iova", r.walk.addr);
      if (second && nested() && r.walk.s1_level)
        where += format(" of the %s level %d %s%s", say_.first_, arch_.level(r.walk.s1_level), say_.entry,
                        r.walk.during == IMS_FOR_UPDATE ? ", which is to be updated" : "");
      out_ << "  where   " << where << ": " << ims_walk_cause_name(r.walk.cause) << "\n";
    }
    static const char *const completions[] = {"success", "success without rights", "unsupported request",
                                              "completer abort", "reads give zeros, writes vanish"};
    std::string device = completions[r.completion % 5];
    if (stalls)
      device = arch_.event_fields ? format("waits until CMD_RESUME names its STAG, %u", r.stag)
                                  : "waits until its bank's RESUME";
    else if (arch_.plain_abort && r.completion == IMS_CPL_UR && told_.request.type == IMS_UNTRANSLATED)
      device = "aborted";
    out_ << "  device  " << device << "\n";
    if (r.recorded && r.record_words) {
      std::string words;
      append_record_words(&words, r);
      out_ << "  record  " << words << "\n";
      std::vector<std::string> fields;
      for (const Field &f : arch_.record(r))
        fields.push_back(field_words(f));
      wrap(fields, "          ", "   ");
    } else {
      out_ << "  record  none\n";
    }
    out_ << "  cost    " << refs << "\n";
    std::vector<std::string> words;
    std::istringstream in(verdict(told_));
    for (std::string word; in >> word;)
      words.push_back(words.empty() ? "means   " + word : word);
    wrap(words, "  ", " ", 8);
  }

  std::ostream &out_;
  const ExplainStyle &style_;
  const Explain &told_;
  const Arch &arch_;
  const Vocabulary &say_;
  const Columns &columns_;
  bool headed_ = false, in_second_ = false, gap_due_ = false;
  std::string second_for_;
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
  unsigned last = stage.leaf ? stage.leaf : 1, top = top_of(stage);
  auto part = [&](unsigned high, unsigned low, const std::string &name) { // bits high-1 to low
    uint64_t v = address >> low & (~0ull >> (64 - (high - low)));
    parts.push_back({high - 1, low, format("0x%0*" PRIx64, static_cast<int>((high - low + 3) / 4), v), name});
  };
  unsigned upper = stage.top_byte && top < 56 ? 56 : 64;
  if (upper < 64)
    part(64, 56, "ignored");
  if (top < upper)
    part(upper, top, stage.sign ? "sign" : stage.ones ? "ones" : "zero");
  for (unsigned level = stage.levels; level >= last; level--)
    part(level < stage.levels ? stage.shift(level + 1) : top, stage.shift(level),
         "level " + std::to_string(stage.name(level)));
  part(stage.shift(last), 0, "offset");

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
