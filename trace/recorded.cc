// SPDX-License-Identifier: Apache-2.0
#include "trace/recorded.h"
#include "trace/events.h"
#include "trace/names.h"
#include "trace/text.h"
#include "uapi/kernel.h"

namespace ims {

namespace {

const char *const op_names[] = {"", "read", "write", "mmap", "munmap"};

// A number that stands there as it is.
bool plain(const Value &v, uint64_t *number) {
  if (v.sums.size() != 1 || v.sums[0].size() != 1 || v.sums[0][0].kind != Term::NUMBER || v.sums[0][0].minus)
    return false;
  *number = v.sums[0][0].number;
  return true;
}

bool signed_number(const Sum &s, int64_t *number) {
  if (s.size() != 1 || s[0].kind != Term::NUMBER || s[0].number > INT64_MAX)
    return false;
  *number = static_cast<int64_t>(s[0].number);
  if (s[0].minus)
    *number = -*number;
  return true;
}

Term term(uint64_t number, Form form) {
  Term t;
  t.number = number;
  t.form = form;
  return t;
}

Term signed_term(int64_t number) {
  Term t = term(number < 0 ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number), Form::DEC);
  t.minus = number < 0;
  return t;
}

Value &add(std::vector<Arg> *args, const char *key, Type type) {
  args->emplace_back();
  args->back().key = key;
  args->back().value.type = type;
  return args->back().value;
}

void add_number(std::vector<Arg> *args, const char *key, uint64_t number, Form form) {
  add(args, key, Type::NUMBER).sums.push_back({term(number, form)});
}

void add_text(std::vector<Arg> *args, const char *key, Type type, std::string text) {
  add(args, key, type).text = std::move(text);
}

void add_pieces(std::vector<Arg> *args, const char *key, const std::vector<Piece> &pieces) {
  if (!pieces.empty())
    add(args, key, Type::PIECES).pieces = pieces;
}

std::string prot_text(unsigned prot) {
  std::string text;
  for (auto [bit, letter] :
       {std::pair(IMS_PROT_READ, 'r'), std::pair(IMS_PROT_WRITE, 'w'), std::pair(IMS_PROT_EXEC, 'x')})
    if (prot & static_cast<unsigned>(bit))
      text += letter;
  return text;
}

unsigned prot_of(const std::string &text) {
  unsigned prot = 0;
  for (char c : text)
    prot |= c == 'r'   ? unsigned(IMS_PROT_READ)
            : c == 'w' ? unsigned(IMS_PROT_WRITE)
            : c == 'x' ? unsigned(IMS_PROT_EXEC)
                       : 0u;
  return prot;
}

// The number of an errno that has a name; 0: it has none.
uint32_t named_errno(int64_t number) {
  if (number <= 0 || number > 4095)
    return 0;
  std::string name = errno_name(static_cast<int>(number));
  return errno_by_name(name) == number ? static_cast<uint32_t>(number) : 0;
}

} // namespace

bool is_named_errno(int64_t number) { return named_errno(number) != 0; }

Event event_of(const CallRecord &r) {
  Event e;
  e.info = &event_info(EventId::CALL);
  e.args.reserve(10);
  e.expects.reserve(4);
  add_text(&e.args, "NAME", Type::NAME, r.file);
  if (r.op == CallRecord::IOCTL)
    add(&e.args, "CALL", Type::CALL).sums.push_back({term(r.word, Form::HEX)});
  else
    add_text(&e.args, "CALL", Type::CALL, op_names[r.op]);
  if (r.arg)
    add_number(&e.args, "arg", r.arg, Form::HEX);
  if (r.len)
    add_number(&e.args, "len", r.len, Form::HEX);
  if (r.offset)
    add_number(&e.args, "offset", r.offset, Form::HEX);
  if (r.prot)
    add_text(&e.args, "prot", Type::WORD, prot_text(r.prot));
  if (r.shared)
    add(&e.args, "shared", Type::FLAG);
  if (r.timed) {
    add_number(&e.args, "at", r.at, Form::DEC);
    add_number(&e.args, "took", r.took, Form::DEC);
  }
  if (!r.fds.empty()) {
    Value &v = add(&e.args, "fds", Type::LIST);
    for (int64_t fd : r.fds)
      v.sums.push_back({signed_term(fd)});
  }
  add_pieces(&e.args, "in", r.in);
  add_pieces(&e.args, "seen", r.seen);
  if (uint32_t error = named_errno(r.result < 0 && r.result > -4096 ? -r.result : 0))
    add_text(&e.expects, "errno", Type::ERRNO, errno_name(static_cast<int>(error)));
  else
    add(&e.expects, "ret", Type::NUMBER).sums.push_back({signed_term(r.result)});
  add_pieces(&e.expects, "out", r.out);
  add_pieces(&e.expects, "stored", r.stored);
  if (r.has_cookie)
    add_number(&e.expects, "cookie", r.cookie, Form::HEX);
  return e;
}

bool call_of(const Event &e, CallRecord *r) {
  if (e.info->id != EventId::CALL || !e.lets.empty())
    return false;
  *r = {};
  bool at = false, took = false, result = false;
  for (const Arg &a : e.args) {
    const Value &v = a.value;
    bool good = true;
    if (a.key == "NAME") {
      r->file = v.text;
    } else if (a.key == "CALL") {
      uint64_t word = 0;
      if (v.text.empty()) {
        good = plain(v, &word) && word <= 0xffffffff;
        r->word = static_cast<uint32_t>(word);
      }
      for (unsigned op = CallRecord::READ; op < CallRecord::OPS; op++)
        if (v.text == op_names[op])
          r->op = static_cast<CallRecord::Op>(op);
      good = good && (v.text.empty() || r->op != CallRecord::IOCTL);
    } else if (a.key == "arg") {
      good = plain(v, &r->arg);
    } else if (a.key == "len") {
      good = plain(v, &r->len);
    } else if (a.key == "offset") {
      good = plain(v, &r->offset);
    } else if (a.key == "prot") {
      r->prot = prot_of(v.text);
    } else if (a.key == "shared") {
      r->shared = true;
    } else if (a.key == "at") {
      good = at = plain(v, &r->at);
    } else if (a.key == "took") {
      good = took = plain(v, &r->took);
    } else if (a.key == "fds") {
      for (const Sum &s : v.sums) {
        r->fds.push_back(0);
        good = good && signed_number(s, &r->fds.back());
      }
    } else if (a.key == "in") {
      r->in = v.pieces;
    } else if (a.key == "seen") {
      r->seen = v.pieces;
    } else {
      good = false;
    }
    if (!good)
      return false;
  }
  for (const Arg &a : e.expects) {
    const Value &v = a.value;
    bool good = true;
    if (a.key == "ret" || a.key == "errno") {
      good = !result;
      result = true;
      if (a.key == "errno") {
        r->result = v.text == "OK" ? 0 : -errno_by_name(v.text);
        good = good && r->result < 0;
      } else {
        good = good && v.sums.size() == 1 && signed_number(v.sums[0], &r->result);
      }
    } else if (a.key == "out") {
      r->out = v.pieces;
    } else if (a.key == "stored") {
      r->stored = v.pieces;
    } else if (a.key == "cookie") {
      good = r->has_cookie = plain(v, &r->cookie);
    } else {
      good = false;
    }
    if (!good)
      return false;
  }
  r->timed = at && took;
  // What a record of this kind of call has no room for.
  bool io = r->op == CallRecord::READ || r->op == CallRecord::WRITE, map = r->op == CallRecord::MMAP;
  return result && at == took && (r->arg == 0 || !map) && (r->len == 0 || io || map) && (r->offset == 0 || io || map) &&
         ((r->prot == 0 && !r->shared && !r->has_cookie) || map);
}

Event event_of(const PageRecord &r) {
  Event e;
  e.info = &event_info(r.of_file ? EventId::FILE_PAGE : EventId::PAGE);
  add_text(&e.args, "NAME", Type::NAME, r.process);
  if (r.of_file)
    add_number(&e.args, "file", r.file, Form::DEC);
  add_number(&e.args, r.of_file ? "offset" : "va", r.at, Form::HEX);
  add_number(&e.args, "size", r.size, Form::HEX);
  if (r.page)
    add_number(&e.args, "page", r.page, Form::HEX);
  if (r.has_hpa)
    add_number(&e.args, "hpa", r.hpa, Form::HEX);
  if (r.write)
    add_text(&e.args, "access", Type::WORD, "write");
  if (r.error)
    add_text(&e.args, "result", Type::ERRNO, errno_name(static_cast<int>(r.error)));
  return e;
}

bool page_of(const Event &e, PageRecord *r) {
  bool of_file = e.info->id == EventId::FILE_PAGE;
  if ((!of_file && e.info->id != EventId::PAGE) || !e.lets.empty() || !e.expects.empty())
    return false;
  *r = {};
  r->of_file = of_file;
  for (const Arg &a : e.args) {
    const Value &v = a.value;
    bool good = true;
    if (a.key == "NAME")
      r->process = v.text;
    else if (a.key == "file")
      good = plain(v, &r->file);
    else if (a.key == "va" || a.key == "offset")
      good = plain(v, &r->at);
    else if (a.key == "size")
      good = plain(v, &r->size);
    else if (a.key == "page")
      good = plain(v, &r->page) && r->page;
    else if (a.key == "hpa")
      good = r->has_hpa = plain(v, &r->hpa);
    else if (a.key == "access")
      good = r->write = v.text == "write";
    else if (a.key == "result")
      good = (r->error = named_errno(errno_by_name(v.text))) != 0;
    else
      good = false;
    if (!good)
      return false;
  }
  return true;
}

// ---- For people -----------------------------------------------------------------------------------------------------

namespace {

// The bytes at an address, as far as the pieces hold them.
std::vector<uint8_t> bytes_at(const std::vector<Piece> &pieces, uint64_t addr, size_t size) {
  std::vector<uint8_t> bytes;
  for (const Piece &p : pieces)
    if (!p.fault && addr >= p.addr && addr - p.addr < p.bytes.size()) {
      std::string_view part = std::string_view(p.bytes).substr(static_cast<size_t>(addr - p.addr), size);
      if (part.size() > bytes.size())
        bytes.assign(part.begin(), part.end());
    }
  return bytes;
}

const ims_uapi_ioctl *row_of(const CallRecord &r, const Dialect &d, unsigned kind) {
  if (r.op != CallRecord::IOCTL)
    return nullptr;
  std::vector<uint8_t> arg = bytes_at(r.in, r.arg, 4096);
  for (unsigned k = kind < IMS_FILE_KINDS ? kind : 0; k <= (kind < IMS_FILE_KINDS ? kind : IMS_FILE_KINDS - 1); k++)
    if (const ims_uapi_ioctl *row =
            ims_uapi_by_word(d.dialect, d.iommu_h, static_cast<ims_uapi_file>(k), r.word, arg.data(), arg.size()))
      return row;
  return nullptr;
}

// Fields that are not zero. `was`: those that are not what they were.
std::string fields_text(const ims_uapi_part &p, const std::string &prefix, const std::vector<uint8_t> &bytes,
                        size_t from, const std::vector<uint8_t> *was) {
  std::string words;
  for (unsigned i = 0; i < p.layout->fields; i++) {
    const ims_uapi_field &f = p.layout->field[i];
    size_t at = from + f.offset;
    if (f.form == IMS_FORM_PAD || at + f.bytes > bytes.size())
      continue;
    uint64_t value = get_field(&bytes[at], f);
    bool told = was ? at + f.bytes > was->size() || get_field(&(*was)[at], f) != value : value != 0;
    if (told)
      words += (words.empty() ? "" : ", ") + prefix + f.name + " " + field_text(f, value);
  }
  return words;
}

std::string joined(const std::string &a, const std::string &b) { return a.empty() || b.empty() ? a + b : a + ", " + b; }

uint64_t number_at(const std::vector<uint8_t> &bytes, size_t at, size_t size) {
  uint64_t v = 0;
  for (size_t i = 0; i < size && at + i < bytes.size(); i++)
    v |= static_cast<uint64_t>(bytes[at + i]) << (8 * i);
  return v;
}

// The structures of an argument, those that lie apart included. `out`: what came back of them, as far as it differs.
std::string argument_text(const CallRecord &r, const ims_uapi_ioctl &row, const std::vector<Piece> *out) {
  std::vector<uint8_t> arg = bytes_at(r.in, r.arg, row.size ? row.size : 4096);
  std::vector<uint8_t> came = out ? bytes_at(*out, r.arg, row.size ? row.size : 4096) : std::vector<uint8_t>();
  std::string words;
  for (const ims_uapi_part &p : row.part) {
    if (!p.layout)
      break;
    if (!p.pointer) {
      words = joined(words, out ? fields_text(p, p.prefix, came, p.offset, &arg)
                                : fields_text(p, p.prefix, arg, p.offset, nullptr));
      continue;
    }
    uint64_t addr = number_at(arg, p.pointer, 8);
    constexpr uint64_t most = 4; // of an array; the rest is in the bytes
    uint64_t count = p.count ? number_at(arg, p.count, 4) : 1;
    uint64_t stride = p.length ? number_at(arg, p.length, 4) : p.layout->size;
    std::string prefix = p.prefix;
    for (uint64_t i = 0; addr && i < count && i < most; i++) {
      std::vector<uint8_t> there = bytes_at(out ? *out : r.in, addr + i * stride, p.layout->size);
      std::vector<uint8_t> before = out ? bytes_at(r.in, addr + i * stride, p.layout->size) : std::vector<uint8_t>();
      size_t dot = prefix.find('.');
      std::string own =
          i && dot != prefix.npos ? prefix.substr(0, dot) + std::to_string(i) + prefix.substr(dot) : prefix;
      words = joined(words, fields_text(p, own, there, 0, out ? &before : nullptr));
    }
    if (count > most && addr)
      words = joined(words, "... (" + std::to_string(count) + ")");
  }
  return words;
}

} // namespace

std::string call_words(const CallRecord &r, const Dialect &d, unsigned kind) {
  if (r.op == CallRecord::READ || r.op == CallRecord::WRITE)
    return format("%s %s", op_names[r.op], bytes_text(r.len).c_str()) + (r.offset ? " at offset " + hex(r.offset) : "");
  if (r.op == CallRecord::MMAP)
    return format("mmap %s at offset %s", bytes_text(r.len).c_str(), hex(r.offset).c_str());
  if (r.op == CallRecord::MUNMAP)
    return "munmap " + hex(r.arg);
  const ims_uapi_ioctl *row = row_of(r, d, kind);
  if (!row)
    return "ioctl " + hex(r.word) + (r.arg ? ", argument " + hex(r.arg) : "");
  std::string name = std::string(row->name) + (*row->variant ? "/" : "") + row->variant, words;
  if (row->arg == IMS_ARG_VALUE)
    words = std::to_string(r.arg);
  else if (row->arg == IMS_ARG_FD_POINTER)
    words = std::to_string(static_cast<int32_t>(number_at(bytes_at(r.in, r.arg, 4), 0, 4)));
  else if (row->arg == IMS_ARG_STRUCT)
    words = argument_text(r, *row, nullptr);
  return name + (words.empty() ? "" : ": " + words);
}

std::string result_words(const CallRecord &r, const Dialect &d, unsigned kind) {
  std::string words =
      r.result < 0 && r.result > -4096 ? "-" + errno_name(static_cast<int>(-r.result)) : std::to_string(r.result);
  const ims_uapi_ioctl *row = row_of(r, d, kind);
  std::string came = row && row->arg == IMS_ARG_STRUCT ? argument_text(r, *row, &r.out) : std::string();
  if (r.op == CallRecord::READ && !r.out.empty())
    came = print_pieces({r.out[0]}).substr(0, 80);
  return "returns " + words + (came.empty() ? "" : "; " + came);
}

} // namespace ims
