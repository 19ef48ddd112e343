// SPDX-License-Identifier: Apache-2.0
// Events at an SMMUv3's queues, as a driver works them without a kernel: commands in, events and page requests out. Arm
// IHI 0070 3.5 (queues), 4 (commands), 7 (events), 8.1 (page requests).
#include "iommu/smmuv3/commands.h"
#include "trace/player_internal.h"
#include "trace/smmu_entries.h"

#include <cinttypes>

namespace ims {

namespace {

// A queue by its registers.
struct Queue {
  uint64_t base;
  unsigned log2size, entry; // bytes of an entry
  uint32_t prod_offset, cons_offset, prod, cons;

  uint32_t mask() const { return (2u << log2size) - 1; } // index and wrap bit
  bool empty() const { return ((prod ^ cons) & mask()) == 0; }
  bool full() const { return ((prod ^ cons) & mask()) == 1u << log2size; }
  uint64_t at(uint32_t index) const { return base + uint64_t(index & ((1u << log2size) - 1)) * entry; }
};

Queue queue_of(ims_iommu *u, ims_smmuv3_reg base, ims_smmuv3_reg prod, ims_smmuv3_reg cons, unsigned entry) {
  Queue q = {};
  uint64_t value = ims_iommu_read(u, ims_smmuv3_regs[base].offset, 8);
  q.log2size = std::min(static_cast<unsigned>(value & 31), 19u);
  q.entry = entry;
  // The base is aligned to the queue's size, and to 32 bytes at least (6.3.25).
  uint64_t size = std::max<uint64_t>(uint64_t(entry) << q.log2size, 32);
  q.base = value & IMS_SMMUV3_BITS(CMDQ_BASE_ADDR) & ~(size - 1);
  q.prod_offset = ims_smmuv3_regs[prod].offset;
  q.cons_offset = ims_smmuv3_regs[cons].offset;
  q.prod = static_cast<uint32_t>(ims_iommu_read(u, q.prod_offset, 4));
  q.cons = static_cast<uint32_t>(ims_iommu_read(u, q.cons_offset, 4));
  return q;
}

const char *const queue_errors[] = {"no error", "illegal command", "the command could not be read",
                                    "a device did not answer an ATC invalidation"};

// Fields of a command that hold the upper bits of an address.
unsigned address_shift(const char *field) {
  std::string name = field;
  return name == "ADDR" ? 12 : name == "MSIADDR" ? 2 : 0;
}

// An entry of the page request queue, 8.1.
struct RequestField {
  const char *name;
  unsigned low, bits, shift;
};
const RequestField request_fields[] = {
    {"SID", 0, 32, 0}, {"SSID", 32, 20, 0}, {"PRIV", 58, 1, 0}, {"X", 59, 1, 0},   {"R", 60, 1, 0},
    {"W", 61, 1, 0},   {"LAST", 62, 1, 0},  {"SSV", 63, 1, 0},  {"PRG", 64, 9, 0}, {"ADDR", 76, 52, 12},
};

} // namespace

Unit &PlayerImpl::smmuv3_named() const {
  Unit &u = named(units);
  if (std::string(u.arch->name) != "smmuv3")
    fail(arg("NAME")->at, quote(u.name) + " is " + u.arch->a_unit + ": expected an SMMUv3");
  return u;
}

// The command at PROD, then PROD: what a driver does.
void PlayerImpl::command_event() {
  Unit &u = smmuv3_named();
  uint64_t words[2] = {};
  std::string name = text("COMMAND"), said = name;
  for (unsigned i = 0; const ims_smmuv3_command_info *c = ims_smmuv3_commands(i); i++)
    if (name == c->name)
      ims_smmuv3_command_set(words, IMS_SMMUV3_COMMAND_OP_FIELD, c->opcode);
  if (const Value *v = arg("words")) {
    if (v->sums.size() != 2)
      fail(v->at, format("a command has 2 words, found %zu", v->sums.size()));
    for (unsigned i = 0; i < 2; i++)
      words[i] = eval(v->sums[i]);
    said += " " + hex(words[0]) + " " + hex(words[1]);
  }
  for (const Arg &a : event->args) {
    if (event->info->param(a.key))
      continue;
    for (unsigned i = 0; i < IMS_SMMUV3_COMMAND_FIELD_COUNT; i++) {
      const ims_smmuv3_command_place &p = ims_smmuv3_command_places[i];
      if (a.key != p.name)
        continue;
      uint64_t value = eval(a.value), low = value & ((1ull << address_shift(p.name)) - 1);
      value >>= address_shift(p.name);
      if (low || (p.bits < 64 && value >> p.bits))
        fail(a.value.at, hex(eval(a.value)) + (low ? " is not aligned to " + bytes_text(1ull << address_shift(p.name))
                                                   : format(" does not fit the %u bits of this field", p.bits)));
      ims_smmuv3_command_set(words, static_cast<ims_smmuv3_command_field>(i), value);
      if (value)
        said +=
            format(" %s %s", p.name,
                   address_shift(p.name) || value > 65535 ? hex(eval(a.value)).c_str() : std::to_string(value).c_str());
    }
  }
  Queue q = queue_of(u.iommu, IMS_SMMUV3_CMDQ_BASE, IMS_SMMUV3_CMDQ_PROD, IMS_SMMUV3_CMDQ_CONS, 16);
  begin(u.name + ": command " + said);
  if (q.full())
    fail("the command queue is full: the unit has not taken what stands in it");
  count.descriptors++;
  int err = ims_mem_write(&mem, q.at(q.prod), words, sizeof words);
  if (!err)
    ims_iommu_write(u.iommu, q.prod_offset, 4, (q.prod + 1) & q.mask());
  uint32_t cons = static_cast<uint32_t>(ims_iommu_read(u.iommu, q.cons_offset, 4));
  uint32_t prod = static_cast<uint32_t>(ims_iommu_read(u.iommu, q.prod_offset, 4));
  bool stopped =
      (ims_iommu_read(u.iommu, IMS_SMMUV3_OFF_GERROR, 4) ^ ims_iommu_read(u.iommu, IMS_SMMUV3_OFF_GERRORN, 4)) &
      IMS_SMMUV3_BITS(GERROR_CMDQ_ERR);
  unsigned code = static_cast<unsigned>(IMS_SMMUV3_GET(cons, CMDQ_CONS_ERR));
  put_number("cons", cons & q.mask());
  put_number("prod", prod & q.mask());
  put_word("stopped", stopped ? "yes" : "no");
  put_number("err", code);
  if (stopped)
    result(format("the queue has stopped: CMDQ_CONS.ERR %u, %s", code, code < 4 ? queue_errors[code] : "unknown"),
           false);
  else if (((prod ^ cons) & q.mask()) != 0)
    result("the unit has not taken it", false);
  put_error(err);
}

// The fields that a record has, under their names; addresses as addresses.
void PlayerImpl::put_event_fields(const uint64_t *record) {
  const ims_smmuv3_event_info *info = ims_smmuv3_event_find(static_cast<unsigned>(record[0] & 255));
  for (unsigned i = 0; i < IMS_SMMUV3_EVENT_FIELD_COUNT; i++) {
    if (info && !(info->fields >> i & 1))
      continue;
    auto field = static_cast<ims_smmuv3_event_field>(i);
    uint64_t value = ims_smmuv3_event_get(record, field) << smmu_event_shift(field);
    put_number(ims_smmuv3_event_places[i].name, value, ims_smmuv3_event_places[i].bits > 20);
  }
}

static std::string words_of(const std::vector<Field> &fields) {
  std::string text;
  for (const Field &f : fields)
    text += (text.empty() ? "" : ", ") + field_words(f);
  return text;
}

// The oldest event that software has not read, then CONS (3.5.2).
void PlayerImpl::event_read_event() {
  if (lookup(files, text("NAME")))
    return queue_read_event(file_named());
  Unit &u = smmuv3_named();
  Queue q = queue_of(u.iommu, IMS_SMMUV3_EVENTQ_BASE, IMS_SMMUV3_EVENTQ_PROD, IMS_SMMUV3_EVENTQ_CONS, 32);
  begin(u.name + ": read an event");
  bool overflow = (q.prod ^ q.cons) >> 31;
  put_word("overflow", overflow ? "yes" : "no");
  if (q.empty()) {
    put("event", Type::FAULT, 0).arch = u.arch;
    put_number("left", 0);
    result("holds nothing");
    return put_error(IMS_ERR_OK);
  }
  uint64_t record[4] = {};
  int err = ims_mem_read(&mem, q.at(q.cons), record, sizeof record);
  if (!err) {
    put("event", Type::FAULT, record[0] & 255).arch = u.arch;
    put_list("record", {record[0], record[1], record[2], record[3]});
    put_event_fields(record);
    result(words_of(decode_smmu_event(record)));
    // Acknowledged with it: an overflow that was seen (7.4).
    uint32_t cons = ((q.cons + 1) & q.mask()) | (q.prod & 1u << 31);
    ims_iommu_write(u.iommu, q.cons_offset, 4, cons);
    put_number("left", (q.prod - q.cons - 1) & q.mask());
  }
  put_error(err);
}

// The oldest page request that software has not read, then CONS (8.1).
void PlayerImpl::request_read_event() {
  Unit &u = smmuv3_named();
  Queue q = queue_of(u.iommu, IMS_SMMUV3_PRIQ_BASE, IMS_SMMUV3_PRIQ_PROD, IMS_SMMUV3_PRIQ_CONS, 16);
  begin(u.name + ": read a page request");
  put_word("overflow", (q.prod ^ q.cons) >> 31 ? "yes" : "no");
  if (q.empty()) {
    put_number("left", 0);
    result("holds nothing");
    return put_error(IMS_ERR_OK);
  }
  uint64_t words[2] = {};
  int err = ims_mem_read(&mem, q.at(q.cons), words, sizeof words);
  if (!err) {
    std::string said;
    for (const RequestField &f : request_fields) {
      uint64_t value = ims_bits_get(words, f.low, f.bits) << f.shift;
      put_number(f.name, value, f.shift != 0);
      if (value)
        said += (said.empty() ? "" : ", ") + std::string(f.name) + " " + (f.shift ? hex(value) : std::to_string(value));
    }
    result(said);
    ims_iommu_write(u.iommu, q.cons_offset, 4, ((q.cons + 1) & q.mask()) | (q.prod & 1u << 31));
    put_number("left", (q.prod - q.cons - 1) & q.mask());
  }
  put_error(err);
}

std::vector<std::string> page_request_field_names() {
  std::vector<std::string> names;
  for (const RequestField &f : request_fields)
    names.push_back(f.name);
  return names;
}

} // namespace ims
