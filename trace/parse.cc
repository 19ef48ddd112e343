// SPDX-License-Identifier: Apache-2.0
// The text form of a trace, line by line: words, then values by the types of the event table, then what the names in them
// stand for. docs/trace.md has the grammar.
#include "trace/nearest.h"
#include "trace/parse_internal.h"
#include "trace/text.h"

#include <algorithm>

namespace ims {

TraceError::TraceError(const std::string &file, Position at, const std::string &message)
    : std::runtime_error(format("%s:%u:%u: %s", file.c_str(), at.line, at.column, message.c_str())) {}

const Value *Event::find(std::string_view key) const {
  for (const Arg &a : args)
    if (a.key == key)
      return &a.value;
  return nullptr;
}

// KEY=VALUE, the equals sign outside quotes. False: the token has no key.
bool Parser::split_key(const Token &t, std::string_view *key, std::string_view *value) {
  size_t i = 0;
  while (i < t.text.size() && (is_ident(t.text[i]) || t.text[i] == '.' || t.text[i] == '-'))
    i++;
  if (i == 0 || i >= t.text.size() || t.text[i] != '=')
    return false;
  *key = t.text.substr(0, i);
  *value = t.text.substr(i + 1);
  return true;
}

void Parser::add_arg(std::vector<Arg> *list, std::string_view key, Value value, Position at) const {
  for (const Arg &a : *list)
    if (a.key == key)
      fail(at, quote(key) + " is given twice");
  list->push_back({std::string(key), std::move(value), at});
}

static std::vector<std::string> key_names(const EventInfo &info) {
  std::vector<std::string> names;
  for (const ParamInfo &p : info.params)
    if (p.need != ParamInfo::PLACE)
      names.push_back(p.name);
  return names;
}

void Parser::parse_argument(const Token &t, size_t *place, Event *e) {
  const EventInfo &info = *e->info;
  const ParamInfo *next =
      *place < info.params.size() && info.params[*place].need == ParamInfo::PLACE ? &info.params[*place] : nullptr;
  if (next) {
    Want want = want_of(*next);
    want.arch = &arch_of_event(*e);
    add_arg(&e->args, next->name, parse_value(t.text, t.at, want), t.at);
    ++*place;
    return;
  }
  std::string_view key, value;
  std::vector<std::string> names = key_names(info);
  if (!split_key(t, &key, &value)) {
    const ParamInfo *p = info.param(t.text);
    if (p && p->type == Type::FLAG) {
      add_arg(&e->args, p->name, parse_value({}, t.at, want_of(*p)), t.at);
      return;
    }
    if (p && p->need != ParamInfo::PLACE)
      fail(t.at, quote(t.text) + " needs a value: " + std::string(t.text) + "=...");
    if (names.empty() && !info.dynamic)
      fail(t.at, "found " + quote(t.text) + ", expected the end of the line, `expect` or `let`");
    std::vector<std::string> known = names;
    known.insert(known.end(), {"expect", "let"});
    fail_word(t.at, std::string("`") + info.name + "` does not know", t.text, known);
  }
  Position value_at = shifted(t.at, key.size() + 1);
  const ParamInfo *p = info.param(key);
  if (p && p->need == ParamInfo::PLACE)
    p = nullptr;
  if (p && p->type == Type::FLAG)
    fail(t.at, quote(key) + " stands alone, without a value");
  if (p) {
    add_arg(&e->args, key, parse_value(value, value_at, want_of(*p)), t.at);
    return;
  }
  Want want;
  if (!dynamic_field(*e, key, false, &want, &names)) {
    if (info.id == EventId::LET)
      fail(t.at, "found " + quote(key) + ", expected a name: letters, digits and _, a letter first");
    if (names.empty())
      fail(t.at, std::string("`") + info.name + "` takes no parameter " + quote(key));
    fail_word(t.at, std::string("`") + info.name + "` has no parameter", key, names);
  }
  add_arg(&e->args, key, parse_value(value, value_at, want), t.at);
}

void Parser::output_names(const Event &e, std::vector<std::string> *names) const {
  for (const OutputInfo &o : e.info->outputs)
    names->push_back(o.name);
}

bool Parser::want_output(const Event &e, std::string_view key, Want *want, std::vector<std::string> *names) const {
  if (const OutputInfo *o = e.info->output(key)) {
    *want = want_of(*o);
    return true;
  }
  output_names(e, names);
  return dynamic_field(e, key, true, want, names);
}

void Parser::parse_expectation(const Token &t, Event *e) {
  std::string_view key, value;
  if (!split_key(t, &key, &value))
    fail(t.at, "found " + quote(t.text) + ", expected OUTPUT=VALUE behind `expect`");
  Want want;
  std::vector<std::string> names;
  if (!want_output(*e, key, &want, &names)) {
    if (names.empty())
      fail(t.at, std::string("`") + e->info->name + "` has no outputs to expect");
    fail_word(t.at, std::string("`") + e->info->name + "` has no output", key, names);
  }
  add_arg(&e->expects, key, parse_value(value, shifted(t.at, key.size() + 1), want), t.at);
}

void Parser::parse_let(const Token &t, Event *e) {
  std::string_view key, value;
  if (!split_key(t, &key, &value) || !is_name(key))
    fail(t.at, "found " + quote(t.text) + ", expected NAME=OUTPUT behind `let`");
  Want want;
  std::vector<std::string> names;
  Position at = shifted(t.at, key.size() + 1);
  if (!want_output(*e, value, &want, &names)) {
    if (names.empty())
      fail(at, std::string("`") + e->info->name + "` has no outputs to name");
    fail_word(at, std::string("`") + e->info->name + "` has no output", value, names);
  }
  if (want.type != Type::NUMBER && want.type != Type::BITS && want.type != Type::PLACE && want.type != Type::LIST &&
      want.type != Type::SOURCE)
    fail(at, quote(value) + " is no number");
  e->lets.push_back({std::string(key), std::string(value), t.at});
}

Event Parser::parse(const std::vector<Token> &tokens) {
  Event e;
  e.at = tokens[0].at;
  std::vector<std::string> names;
  for (const EventInfo &info : events()) {
    if (tokens[0].text == info.name)
      e.info = &info;
    names.push_back(info.name);
  }
  if (!e.info)
    fail_word(e.at, "unknown event", tokens[0].text, names);
  need_kernel(e);

  if (e.info->id == EventId::IOMMU)
    find_arch_word(tokens);
  enum { ARGS, EXPECT, LETS } part = ARGS;
  size_t place = 0;
  Position last = e.at;
  bool empty = false;
  for (size_t i = 1; i < tokens.size(); i++) {
    const Token &t = tokens[i];
    if (t.text == "expect" || t.text == "let") {
      if (empty)
        fail(t.at, "nothing stands behind `" + std::string(part == EXPECT ? "expect" : "let") + "`");
      part = t.text == "expect" ? EXPECT : LETS;
      empty = true;
      last = t.at;
      continue;
    }
    empty = false;
    if (part == ARGS)
      parse_argument(t, &place, &e);
    else if (part == EXPECT)
      parse_expectation(t, &e);
    else
      parse_let(t, &e);
  }
  if (empty)
    fail(last, "nothing stands behind `" + std::string(part == EXPECT ? "expect" : "let") + "`");
  finish(&e, place);
  return e;
}

void Parser::need_kernel(const Event &e) const {
  if (e.info->needs_kernel && !kernel_)
    fail(e.at, std::string("`") + e.info->name + "` needs a kernel, and there is none so far (event `kernel`)");
}

void Parser::admit(Event *e) {
  need_kernel(*e);
  for (const Arg &a : e->args)
    if (a.value.type == Type::NAME)
      object_of(a.value.text, a.at, e->info->param(a.key)->kinds);
}

// Which architecture an `iommu` event has, before its capabilities are looked up.
void Parser::find_arch_word(const std::vector<Token> &tokens) {
  arch_ = arches()[0];
  for (const Token &t : tokens)
    if (t.text.substr(0, 5) == "arch=")
      if (const Arch *a = find_arch(t.text.substr(5)))
        arch_ = a;
}

void Parser::finish(Event *e, size_t place) {
  const EventInfo &info = *e->info;
  for (size_t i = 0; i < info.params.size(); i++) {
    const ParamInfo &p = info.params[i];
    if (p.need == ParamInfo::PLACE && i >= place)
      fail(e->at, std::string("`") + info.name + "` lacks " + p.name + ": " + p.sentence +
                      " (for example: " + info.example + ")");
    if (p.need == ParamInfo::REQUIRED && !e->find(p.name))
      fail(e->at, std::string("`") + info.name + "` lacks " + p.name + "=: " + p.sentence);
  }
  auto rank = [&](const Arg &a) {
    const ParamInfo *p = info.param(a.key);
    return p ? static_cast<size_t>(p - info.params.data()) : info.params.size();
  };
  std::stable_sort(e->args.begin(), e->args.end(), [&](const Arg &a, const Arg &b) { return rank(a) < rank(b); });

  // What the event brings into the world.
  for (const ParamInfo &p : info.params)
    if (p.type == Type::NEW_NAME) {
      if (const Value *v = e->find(p.name))
        objects_[v->text] = {p.kinds, v->at, p.kinds == KIND_IOMMU ? arch_ : nullptr};
    }
  switch (info.id) {
  case EventId::KERNEL:
    if (kernel_)
      fail(e->at, "there is a kernel already");
    kernel_ = true;
    if (const Value *v = e->find("dialect"))
      dialect_.dialect = static_cast<ims_dialect>(ims_dialect_by_name(v->text.c_str()));
    if (const Value *v = e->find("iommu_h"))
      dialect_.iommu_h = v->text == "a" ? IMS_IOMMU_H_A : v->text == "b" ? IMS_IOMMU_H_B : IMS_IOMMU_H_AUTO;
    break;
  case EventId::DEVICE: {
    const Arch *arch = objects_[e->find("iommu")->text].arch;
    objects_[e->find("NAME")->text].arch = arch;
    const Value *source = e->find("source");
    const Sum &sum = source->sums[0];
    if (sum.size() == 1 && sum[0].kind == Term::NUMBER && arch && sum[0].number >> arch->source_bits)
      fail(source->at, "found " + hex(sum[0].number) + ", expected a requester id of " +
                           std::to_string(arch->source_bits) + " bits");
    break;
  }
  case EventId::OPEN: {
    const std::string &path = e->find("PATH")->text;
    objects_[e->find("NAME")->text].file = path == "/dev/iommu"                             ? IMS_FILE_IOMMUFD
                                           : path.compare(0, 18, "/dev/vfio/devices/") == 0 ? IMS_FILE_DEVICE
                                           : path == "/dev/vfio/vfio"                       ? IMS_FILE_CONTAINER
                                                                                            : IMS_FILE_GROUP;
    break;
  }
  case EventId::MEMFD: objects_[e->find("NAME")->text].file = IMS_FILE_MEMFD; break;
  case EventId::IOCTL: {
    const Value *file = e->find("file");
    if (!file)
      break;
    Object &o = objects_[file->text];
    std::vector<std::string> names;
    const ims_uapi_ioctl *row = find_ioctl(dialect_, e->find("IOCTL")->text, &names);
    if (!row || !made_descriptor(*row, &o.file))
      fail(file->at, quote(e->find("IOCTL")->text) + " makes no descriptor that could be called " + quote(file->text));
    if (o.file == IMS_FILE_EVENT_QUEUE)
      o.arch = find_arch("smmuv3");
    break;
  }
  case EventId::SHARE: objects_[e->find("NAME")->text].file = objects_[e->find("FILE")->text].file; break;
  case EventId::CLOSE:
  case EventId::SVA_UNBIND: objects_.erase(e->find("NAME")->text); break;
  case EventId::LET:
    if (e->args.empty())
      fail(e->at, "nothing stands behind `let`, expected NAME=NUMBER");
    for (const Arg &a : e->args)
      variables_.insert(a.key);
    break;
  case EventId::DMA:
    if (e->find("privileged") && !e->find("pasid"))
      fail(e->at, "a privileged request needs pasid=");
    break;
  default: break;
  }
  for (const Let &l : e->lets)
    variables_.insert(l.name);
}

Trace parse_trace(std::string_view text, const std::string &name) {
  TextSource bytes(text);
  Lines lines(&bytes, name);
  Parser parser(name);
  Trace trace;
  trace.name = name;
  lines.first_line();
  std::vector<Token> tokens;
  while (lines.logical_line(&tokens))
    if (!tokens.empty())
      trace.events.push_back(parser.parse(tokens));
  return trace;
}

} // namespace ims
