// SPDX-License-Identifier: Apache-2.0
// iommusim walk: one translation out of a snapshot, told step by step.
#include "tools/commands.h"
#include "tools/error.h"
#include "tools/options.h"
#include "tools/requests.h"
#include "tools/snapshot.h"
#include "trace/explain.h"
#include "trace/text.h"

#include <boost/json.hpp>
#include <cstdlib>
#include <iostream>
#include <unistd.h>

namespace po = boost::program_options;
namespace json = boost::json;

namespace ims {

namespace {

// One field of the request from the command line.
template <class Parse> void take(const Options &o, const char *name, Parse parse) {
  std::string text = o.text(name), wanted = parse(text);
  if (!wanted.empty())
    fail("walk: --%s: found %s, expected %s", name, quoted(text).c_str(), wanted.c_str());
}

ims_request request_of(const Options &o, const Arch &arch) {
  ims_request r = {};
  for (const char *name : {"source", "iova"})
    if (!o.has(name))
      fail("walk: no --%s, expected %s", name, name[0] == 's' ? "the requester (bb:dd.f or a number)" : "an address");
  take(o, "source", [&](const std::string &text) { return parse_source_field(text, arch.source_bits, &r); });
  take(o, "pasid", [&](const std::string &text) { return parse_pasid_field(text, &r); });
  take(o, "access", [&](const std::string &text) { return parse_access_field(text, &r); });
  take(o, "iova", [&](const std::string &text) { return parse_iova_field(text, &r); });
  take(o, "type", [&](const std::string &text) { return parse_type_field(text, &r); });
  return r;
}

json::object step_json(const Explain &told, const Explain::Step &s) {
  json::object o;
  o["kind"] = ims_step_kind_name(s.kind);
  if (s.kind == IMS_STEP_READ)
    o["ref"] = s.ref;
  o["what"] = s.title;
  if (s.step.level)
    o["level"] = told.arch->level(s.step.level);
  if (s.kind == IMS_STEP_PROBE || s.kind == IMS_STEP_FILL) {
    o["cache"] = ims_cache_name(s.step.cache);
    if (s.kind == IMS_STEP_PROBE)
      o["hit"] = s.hit;
    return o;
  }
  o["hpa"] = hex(s.step.hpa);
  if (s.step.what == IMS_STRUCT_S1_TABLE || s.step.what == IMS_STRUCT_CD || s.step.what == IMS_STRUCT_CD_L1)
    o[told.arch->say.between] = hex(s.step.gpa);
  if (s.step.what == IMS_STRUCT_S1_TABLE || s.step.what == IMS_STRUCT_S2_TABLE)
    o["input"] = hex(s.step.addr);
  o["ok"] = s.ok;
  if (s.kind == IMS_STEP_UPDATE) {
    o["old"] = hex(s.step.old);
    o["new"] = hex(s.step.desired);
    return o;
  }
  json::array words;
  for (uint64_t word : s.words)
    words.push_back(json::string(hex(word)));
  o["entry"] = words;
  json::object fields;
  for (const Field &f : s.fields)
    fields[f.name] = f.text;
  if (!fields.empty())
    o["fields"] = fields;
  if (!s.bits.empty())
    o["bits"] = s.bits;
  o["follows"] = s.follows;
  return o;
}

void print_json(const Explain &told) {
  static const char *const statuses[] = {"ok", "bypass", "abort", "fault", "stall"};
  const ims_request &q = told.request;
  const ims_result &r = told.result;
  json::object request = {{"source", source_text(q.source)},
                          {"pasid", nullptr},
                          {"access", access_text(q.access)},
                          {"iova", hex(q.iova)},
                          {"type", type_text(q.type)}};
  if (q.has_pasid)
    request["pasid"] = q.pasid;
  json::object result = {{"status", statuses[r.status % 5]}, {"refs", r.refs}};
  if (r.status == IMS_STATUS_OK || r.status == IMS_STATUS_BYPASS)
    result["output"] = hex(r.output);
  if (r.status == IMS_STATUS_OK)
    result["page"] = 1ull << r.shift;
  if (r.status == IMS_STATUS_FAULT || r.status == IMS_STATUS_STALL) {
    result["fault"] = hex(r.fault);
    result["meaning"] = told.arch->fault_text(r.fault);
    result["record"] = record_text(r);
    json::object fields;
    for (const Field &f : r.recorded &&r.record_words ? told.arch->record(r) : std::vector<Field>())
      fields[f.name] = f.text;
    if (!fields.empty())
      result["fields"] = fields;
  }
  if (r.status == IMS_STATUS_STALL)
    result["stag"] = r.stag;
  std::cout << "{\n  \"request\": " << json::serialize(request) << ",\n  \"steps\": [";
  const char *separator = "\n    ";
  for (const Explain::Step &s : told.steps) {
    std::cout << separator << json::serialize(step_json(told, s));
    separator = ",\n    ";
  }
  std::cout << "\n  ],\n  \"result\": " << json::serialize(result) << "\n}\n";
}

bool wants_colour() {
  const char *no = std::getenv("NO_COLOR"), *term = std::getenv("TERM");
  return isatty(STDOUT_FILENO) && !(no && *no) && !(term && std::string_view(term) == "dumb");
}

} // namespace

int cmd_walk(int argc, char **argv) {
  Options o("walk SNAPSHOT... --source BDF --iova ADDR [options]",
            "Tells one translation step by step: each structure with its address, raw entry, fields by name, and what\n"
            "follows. The number before a step is the running count of memory references. The walk is cold: no cache\n"
            "takes part. With --caches they do, empty at first; with --warm the same request has been made before.",
            "  iommusim walk mem.elf iommu.regs --source 00:03.0 --access w --iova 0xfffb0c28\n"
            "  iommusim walk iommu.regs tables.raw@0x10000 --source 0x18 --pasid 5 --iova 0x7f0012345678 --refs-only");
  o.positional("snapshot", "files", -1);
  auto text = [](const char *name) { return po::value<std::string>()->value_name(name); };
  o.add()("source,s", text("BDF"), "requester: bb:dd.f, ssss:bb:dd.f or a number (SMMU: the StreamID)")(
      "pasid,p", text("N")->default_value("-"), "PASID or SubstreamID; - is none")("iova,i", text("ADDR"), "address")(
      "access,a", text("r|w|x")->default_value("r"), "read, write, or read with execute; rp, wp, xp: privileged")(
      "type,t", text("TYPE")->default_value("untranslated"), "untranslated, translation-request or translated")(
      "refs-only", "the references and the answer, a line each")("format", text("text|json")->default_value("text"),
                                                                 "json: for programs")(
      "caches", "let the caches take part, sized as configured")("warm", "likewise, after the same request before");
  add_config_options(o, "what the snapshot says");
  if (!o.parse(argc, argv))
    return 0;
  if (!o.has("snapshot"))
    fail("walk: no snapshot, expected files: *.regs, ELF64 cores, FILE@ADDRESS");
  std::string format = o.text("format");
  if (format != "text" && format != "json")
    fail("walk: --format: found %s, expected text or json", quoted(format).c_str());
  if (format == "json" && o.has("refs-only"))
    fail("walk: --refs-only goes with --format text");
  bool warm = o.has("warm");
  Snapshot snapshot(o.list("snapshot"), config_sources(o),
                    warm || o.has("caches") ? Snapshot::CACHES_CONFIGURED : Snapshot::CACHES_NONE);
  ims_request request = request_of(o, snapshot.arch());
  if (warm) {
    ims_result before;
    ims_translate(snapshot.iommu(), &request, &before);
  }
  Explain told;
  explain(snapshot.iommu(), request, &told);
  if (format == "json") {
    print_json(told);
  } else {
    ExplainStyle style;
    style.colour = wants_colour();
    style.refs_only = o.has("refs-only");
    told.print(std::cout, style);
  }
  std::cout.flush();
  return 0;
}

} // namespace ims
