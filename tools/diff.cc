// SPDX-License-Identifier: Apache-2.0
// iommusim diff: two runs by what they left behind (run -o, run --save).
#include "mem/image.h"
#include "tools/commands.h"
#include "tools/error.h"
#include "tools/file.h"
#include "tools/options.h"
#include "tools/snapshot.h"
#include "trace/number.h"
#include "trace/text.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cinttypes>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

namespace fs = std::filesystem;
namespace json = boost::json;

namespace ims {

namespace {

enum : size_t { LARGEST_TEXT = 256u << 20 };

// What differs, told up to a limit for each part.
class Told {
public:
  explicit Told(uint64_t most) : most_(most) {}

  void begin(const std::string &part) {
    part_ = part;
    count_ = 0;
  }
  void line(const std::string &what, const std::string &a, const std::string &b) {
    if (count_++ < most_)
      std::printf("%s: %s: %s | %s\n", part_.c_str(), what.c_str(), shortened(a).c_str(), shortened(b).c_str());
  }
  void end() {
    if (count_ > most_)
      std::printf("%s: ... and %" PRIu64 " more\n", part_.c_str(), count_ - most_);
    total_ += count_;
    std::string verdict = count_ == 0   ? "equal"
                          : count_ == 1 ? "1 difference"
                                        : std::to_string(count_) + " differences";
    summary_ += (summary_.empty() ? "" : "; ") + part_ + ": " + verdict;
  }
  uint64_t total() const { return total_; }
  const std::string &summary() const { return summary_; }

private:
  static std::string shortened(const std::string &text) {
    constexpr size_t most = 160;
    return text.size() > most ? text.substr(0, most) + "..." : text;
  }
  uint64_t most_, count_ = 0, total_ = 0;
  std::string part_, summary_;
};

const char nothing[] = "nothing";

void compare_maps(const std::map<std::string, std::string> &a, const std::map<std::string, std::string> &b,
                  Told *told) {
  std::set<std::string> keys;
  for (const auto *m : {&a, &b})
    for (const auto &row : *m)
      keys.insert(row.first);
  for (const std::string &k : keys) {
    auto x = a.find(k), y = b.find(k);
    std::string was = x == a.end() ? nothing : x->second, is = y == b.end() ? nothing : y->second;
    if (was != is)
      told->line(k, was, is);
  }
}

// ---- Statistics, configurations: JSON -------------------------------------------------------------------------------

void flatten(const json::value &v, const std::string &name, std::map<std::string, std::string> *out) {
  if (const json::object *o = v.if_object()) {
    for (const auto &member : *o)
      flatten(member.value(), name.empty() ? std::string(member.key()) : name + "." + std::string(member.key()), out);
  } else if (const json::array *a = v.if_array()) {
    for (size_t i = 0; i < a->size(); i++)
      flatten((*a)[i], name + "[" + std::to_string(i) + "]", out);
  } else {
    (*out)[name] = json::serialize(v);
  }
}

std::map<std::string, std::string> read_json(const std::string &path) {
  std::string text = read_file(path, LARGEST_TEXT);
  json::error_code error;
  json::value v = json::parse(text, error);
  if (error)
    fail("%s: no JSON: %s", path.c_str(), error.message().c_str());
  std::map<std::string, std::string> rows;
  flatten(v, "", &rows);
  return rows;
}

// ---- Registers, queues ----------------------------------------------------------------------------------------------

std::map<std::string, std::string> read_registers(const std::string &path) {
  RegisterFile file = parse_registers(read_file(path, LARGEST_TEXT), path);
  std::map<std::string, std::string> rows = {{"iommu", file.arch->name}};
  for (const RegisterFile::Row &r : file.rows)
    rows[r.name] = hex(r.value);
  return rows;
}

std::map<std::string, std::string> read_queues(const std::string &path) {
  std::map<std::string, std::string> rows;
  std::string text = read_file(path, LARGEST_TEXT);
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size()), blank = std::min(text.find(' ', at), end);
    rows[text.substr(at, blank - at)] = blank < end ? text.substr(blank + 1, end - blank - 1) : "";
    at = end + 1;
  }
  return rows;
}

// ---- Answers --------------------------------------------------------------------------------------------------------

// "number line event", then an output a column, in files that may be long.
void compare_answers(const std::string &a, const std::string &b, Told *told) {
  std::ifstream x(a), y(b);
  if (!x || !y)
    fail("%s: cannot be read", (x ? b : a).c_str());
  std::string left, right;
  for (bool first = true;; first = false) {
    bool has_x = static_cast<bool>(std::getline(x, left)), has_y = static_cast<bool>(std::getline(y, right));
    if (!has_x && !has_y)
      return;
    if (first || (has_x && has_y && left == right))
      continue;
    auto column = [](const std::string &line, unsigned n) {
      size_t at = 0;
      for (; n && at != line.npos; n--)
        at = line.find('\t', at) == line.npos ? line.npos : line.find('\t', at) + 1;
      return at == line.npos ? std::string() : line.substr(at, n == 3 ? line.npos : line.find('\t', at) - at);
    };
    const std::string &one = has_x ? left : right;
    std::string what = "event " + column(one, 0) + " (line " + column(one, 1) + ", " + column(one, 2) + ")";
    if (!has_x || !has_y) {
      told->line(what, has_x ? column(left, 3) : nothing, has_y ? column(right, 3) : nothing);
      continue;
    }
    if (column(left, 2) != column(right, 2)) {
      told->line(what, column(left, 2), column(right, 2));
      continue;
    }
    // Outputs one by one; an event that stands on another line is no difference.
    auto outputs = [](const std::string &text) {
      std::map<std::string, std::string> rows;
      for (size_t at = 0; at < text.size();) {
        size_t end = std::min(text.find('\t', at), text.size()), equals = text.find('=', at);
        if (equals < end)
          rows[text.substr(at, equals - at)] = text.substr(equals + 1, end - equals - 1);
        at = end + 1;
      }
      return rows;
    };
    auto was = outputs(column(left, 3)), is = outputs(column(right, 3));
    std::set<std::string> keys;
    for (const auto *m : {&was, &is})
      for (const auto &row : *m)
        keys.insert(row.first);
    for (const std::string &k : keys)
      if (!was.count(k) || !is.count(k) || was[k] != is[k])
        told->line(what + " " + k, was.count(k) ? was[k] : nothing, is.count(k) ? is[k] : nothing);
  }
}

// ---- Memory ---------------------------------------------------------------------------------------------------------

struct Image {
  explicit Image(const std::string &path) {
    ims_mem_init(&mem);
    ims_image_error error = {};
    int err = ims_image_load_elf(&mem, path.c_str(), &error);
    if (err != IMS_ERR_OK) {
      ims_mem_fini(&mem);
      fail("%s: offset 0x%" PRIx64 ": %s (%s)", path.c_str(), error.offset, error.detail, ims_strerror(err));
    }
  }
  ~Image() { ims_mem_fini(&mem); }
  Image(const Image &) = delete;
  Image &operator=(const Image &) = delete;
  ims_mem mem;
};

// What both have, what one of them has: by the borders of all regions.
void compare_memory(const std::string &path_a, const std::string &path_b, Told *told) {
  Image a(path_a), b(path_b);
  std::set<uint64_t> borders;
  for (const ims_mem *m : {&a.mem, &b.mem})
    for (size_t i = 0; i < m->regions; i++) {
      borders.insert(m->region[i].base);
      borders.insert(m->region[i].base + m->region[i].size);
    }
  std::vector<uint64_t> at(borders.begin(), borders.end());
  uint64_t words = 0, pages = 0, first = 0, first_a = 0, first_b = 0, last_page = ~0ull;
  constexpr uint64_t block = 4096;
  for (size_t i = 0; i + 1 < at.size(); i++) {
    uint64_t from = at[i], to = at[i + 1];
    const ims_mem_region *in_a = ims_mem_find(&a.mem, from), *in_b = ims_mem_find(&b.mem, from);
    bool has_a = in_a, has_b = in_b;
    if (has_a != has_b)
      told->line("hpa " + hex(from) + "-" + hex(to - 1), has_a ? "memory" : nothing, has_b ? "memory" : nothing);
    if (!has_a || !has_b || (in_a->anon && in_b->anon)) // of no file: zeros
      continue;
    for (uint64_t p = from; p < to; p = (p / block + 1) * block) {
      auto size = static_cast<size_t>(std::min((p / block + 1) * block, to) - p);
      const uint8_t *x = ims_mem_ptr(&a.mem, p, size), *y = ims_mem_ptr(&b.mem, p, size);
      if (!x || !y || !std::memcmp(x, y, size))
        continue;
      pages += p / block != last_page;
      last_page = p / block;
      for (size_t w = 0; w < size; w += 8) {
        uint64_t u = 0, v = 0;
        size_t n = std::min<size_t>(8, size - w);
        std::memcpy(&u, x + w, n);
        std::memcpy(&v, y + w, n);
        if (u == v)
          continue;
        if (!words++) {
          first = p + w;
          first_a = u;
          first_b = v;
        }
      }
    }
  }
  if (words)
    told->line("first word that differs, at hpa " + hex(first) + " (of " + std::to_string(words) + " in " +
                   std::to_string(pages) + (pages == 1 ? " page)" : " pages)"),
               hex(first_a), hex(first_b));
}

// ---- Files and folders ----------------------------------------------------------------------------------------------

struct Part {
  std::string name; // of the part
  void (*compare)(const std::string &a, const std::string &b, Told *told);
};

template <std::map<std::string, std::string> (*read)(const std::string &)>
void compare_files(const std::string &a, const std::string &b, Told *told) {
  compare_maps(read(a), read(b), told);
}

bool ends_with(const std::string &text, const char *end) {
  size_t n = std::strlen(end);
  return text.size() >= n && text.compare(text.size() - n, n, end) == 0;
}

// By the name of the file. compare NULL: it says nothing of the run.
Part part_of(const std::string &file) {
  std::string stem = fs::path(file).stem().string();
  if (ends_with(file, ".regs"))
    return {"registers of " + stem, compare_files<read_registers>};
  if (ends_with(file, ".elf"))
    return {"memory", compare_memory};
  if (ends_with(file, ".tsv"))
    return {"answers", compare_answers};
  if (ends_with(file, ".txt") && stem == "queues")
    return {"queues", compare_files<read_queues>};
  if (ends_with(file, ".json"))
    return {stem == "stats" ? "statistics" : "configuration (" + stem + ")", compare_files<read_json>};
  return {"", nullptr};
}

std::set<std::string> files_of(const std::string &folder) {
  std::set<std::string> names;
  for (const auto &entry : fs::directory_iterator(folder)) {
    std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && part_of(name).compare)
      names.insert(name);
  }
  return names;
}

} // namespace

int cmd_diff(int argc, char **argv) {
  Options o(
      "diff A B [options]",
      "Compares what two runs left behind: folders of `run -o` and `run --save`, or two files out of them "
      "(stats.json,\n"
      "answers.tsv, memory.elf, NAME.regs, queues.txt). Each difference is named, A before B. Status 1: they differ.",
      "  iommusim run a.trace -o a --save a\n"
      "  iommusim run b.trace -o b --save b\n"
      "  iommusim diff a b");
  o.positional("runs", "A and B", 2);
  o.add()("most", boost::program_options::value<std::string>()->value_name("N")->default_value("20"),
          "differences told of each part; the others are counted");
  if (!o.parse(argc, argv))
    return 0;
  std::vector<std::string> runs = o.list("runs");
  if (runs.size() != 2)
    fail("diff: expected two folders or files");
  uint64_t most;
  if (!parse_size(o.text("most"), &most))
    fail("diff: --most: found %s, expected a number", ims::quoted(o.text("most")).c_str());
  bool folders[2];
  for (int i = 0; i < 2; i++) {
    std::error_code error;
    folders[i] = fs::is_directory(runs[i], error);
    if (!folders[i] && !fs::exists(runs[i], error))
      fail("%s: cannot be read: no such file or folder", runs[i].c_str());
  }
  if (folders[0] != folders[1])
    fail("diff: found a folder and a file, expected two of a kind");
  Told told(most);
  if (!folders[0]) {
    Part a = part_of(runs[0]), b = part_of(runs[1]);
    if (!a.compare || a.compare != b.compare)
      fail("diff: %s and %s: expected two files of a kind: *.json, *.tsv, *.elf, *.regs, queues.txt", runs[0].c_str(),
           runs[1].c_str());
    told.begin(a.name);
    a.compare(runs[0], runs[1], &told);
    told.end();
  } else {
    std::set<std::string> a = files_of(runs[0]), b = files_of(runs[1]), all = a;
    all.insert(b.begin(), b.end());
    if (all.empty())
      fail("diff: neither %s nor %s holds what a run leaves behind (run -o, run --save)", runs[0].c_str(),
           runs[1].c_str());
    for (const std::string &name : all) {
      Part part = part_of(name);
      told.begin(part.name);
      if (a.count(name) && b.count(name))
        part.compare(runs[0] + "/" + name, runs[1] + "/" + name, &told);
      else
        told.line(name, a.count(name) ? "there" : nothing, b.count(name) ? "there" : nothing);
      told.end();
    }
  }
  std::printf("%s\n", told.summary().c_str());
  return told.total() ? EXIT_EXPECTATION : EXIT_HELD;
}

} // namespace ims
