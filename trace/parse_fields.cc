// SPDX-License-Identifier: Apache-2.0
// Keys that the table of events does not fix: capabilities, fields of ioctls, registers, structures, commands, events.
#include "iommu/smmuv3/commands.h"
#include "trace/names.h"
#include "trace/parse_internal.h"
#include "trace/structures.h"

namespace ims {

Values::Want Fields::want_of(const ParamInfo &p) {
  Want w;
  w.type = p.type;
  w.words = p.words;
  w.kinds = p.kinds;
  w.what = p.name;
  w.constants = p.type == Type::BITS && !p.kinds;
  return w;
}

Values::Want Fields::want_of(const OutputInfo &o) {
  Want w;
  w.type = o.type;
  w.words = o.words;
  w.what = o.name;
  w.kinds = o.type == Type::NAME ? unsigned(KIND_IOMMU) : 0;
  return w;
}

Values::Want Fields::want_of(const ims_uapi_field &f) {
  Want w;
  w.type = Type::BITS;
  w.values = f.values;
  w.what = f.name;
  if (f.bytes < 8)
    w.high = (1ull << f.bytes * 8) - 1;
  w.kinds = is_descriptor(f) ? unsigned(KIND_FILE) : 0u;
  return w;
}

// What kind of file an event names first.
ims_uapi_file Fields::file_of_event(const Event &e) const {
  const Value *name = e.find("NAME");
  auto o = name ? objects_.find(name->text) : objects_.end();
  return o != objects_.end() ? o->second.file : IMS_FILE_CONTAINER;
}

// The unit that an event names first.
const Arch &Fields::arch_of_event(const Event &e) const {
  const Value *name = e.find("NAME");
  auto o = name ? objects_.find(name->text) : objects_.end();
  return o != objects_.end() && o->second.arch ? *o->second.arch : *arches()[0];
}

const RegisterField *Fields::register_field(const Arch &arch, std::string_view reg, std::string_view name,
                                            std::vector<std::string> *names) {
  RegisterName r;
  if (!register_by_name(arch, reg, &r) || r.reg < 0 || r.offset)
    return nullptr;
  const RegisterInfo &info = arch.registers[static_cast<size_t>(r.reg)];
  for (const RegisterField &f : info.fields)
    names->push_back(f.name);
  return info.field(name);
}

std::vector<const ims_uapi_struct *> Fields::fault_layouts(const Event &e) {
  for (const Arg &a : e.expects)
    if (a.key == "type" && a.value.sums[0][0].name == "DMA_UNRECOV")
      return {&unrecoverable_layout(), &page_request_layout()};
  return {&page_request_layout(), &unrecoverable_layout()};
}

bool Fields::dynamic_field(const Event &e, std::string_view key, bool output, Want *want,
                           std::vector<std::string> *names) const {
  auto field = [&](const ims_uapi_field *f) {
    if (f)
      *want = want_of(*f);
    return f != nullptr;
  };
  auto merge = [&](const std::vector<std::string> &more) { names->insert(names->end(), more.begin(), more.end()); };
  switch (e.info->id) {
  case EventId::IOMMU:
    if (output)
      return false;
    for (unsigned i = 0; const ims_option *o = arch_->option(i); i++) {
      names->push_back(o->name);
      if (key == o->name) {
        want->low = o->low;
        want->high = o->high;
        want->what = o->name;
        return true;
      }
    }
    return false;
  case EventId::IOCTL: {
    const Value *name = e.find("IOCTL");
    std::vector<std::string> none;
    const ims_uapi_ioctl *row = name ? find_ioctl(dialect_, name->text, &none) : nullptr;
    if (!row)
      return false;
    if (field(place_field(*row, key).field))
      return true;
    if (PlacedBits b = output ? PlacedBits() : place_bits(*row, key); b.part) {
      want->type = Type::BITS;
      want->what = key;
      want->values = b.values;
      if (b.bits + b.shift < 64)
        want->high = (1ull << (b.bits + b.shift)) - 1;
      return true;
    }
    if (!output)
      merge(bits_names(*row));
    if (row->word == IMS_IOMMU_HWPT_GET_DIRTY_BITMAP && key == "bitmap") {
      want->type = Type::BYTES;
      want->what = "bitmap";
      return true;
    }
    merge(field_names(*row));
    if (!output || row->word != IMS_VFIO_IOMMU_GET_INFO)
      return false;
    merge(capability_field_names(dialect_));
    return field(find_capability_field(dialect_, key));
  }
  case EventId::FAULT_READ:
    if (const ims_uapi_struct *layout = read_layout(file_of_event(e))) {
      unsigned index;
      merge(field_names(*layout));
      return output && field(find_record_field(*layout, key, &index));
    }
    // Both kinds have flags, each its own: `type` says which, when it is expected before.
    for (const ims_uapi_struct *layout : fault_layouts(e)) {
      merge(field_names(*layout));
      if (output && field(find_field(*layout, key)))
        return true;
    }
    return false;
  case EventId::PAGE_RESPONSE:
    if (output)
      return false;
    if (const ims_uapi_struct *layout = write_layout(file_of_event(e))) {
      unsigned index;
      merge(field_names(*layout));
      return field(find_record_field(*layout, key, &index));
    }
    merge(field_names(page_response_layout(dialect_)));
    return field(find_field(page_response_layout(dialect_), key));
  case EventId::MMIO_WRITE:
  case EventId::MMIO_READ: {
    if (output != (e.info->id == EventId::MMIO_READ))
      return false;
    const Value *reg = e.find("REGISTER");
    const RegisterField *f = reg ? register_field(arch_of_event(e), reg->text, key, names) : nullptr;
    if (f) {
      want->what = f->name;
      want->high = f->mask();
    }
    return f;
  }
  case EventId::ENTRY: {
    const Value *kind = e.find("KIND");
    const StructureInfo *info = output || !kind ? nullptr : find_structure(kind->text);
    for (const FieldRow &row : info ? *info->rows : std::vector<FieldRow>()) {
      names->push_back(row.name);
      if (key != row.name)
        continue;
      want->what = row.name;
      if (row.width + row.address_lsb < 64)
        want->high = (1ull << (row.width + (row.pointer ? row.address_lsb : 0))) - 1;
      return true;
    }
    return false;
  }
  case EventId::COMMAND: {
    const Value *name = e.find("COMMAND");
    if (output || !name)
      return false;
    for (unsigned i = 0; const ims_smmuv3_command_info *c = ims_smmuv3_commands(i); i++)
      for (unsigned f = 0; name->text == c->name && f < IMS_SMMUV3_COMMAND_FIELD_COUNT; f++) {
        if (!(c->fields >> f & 1) || f == IMS_SMMUV3_COMMAND_OP_FIELD)
          continue;
        const ims_smmuv3_command_place &p = ims_smmuv3_command_places[f];
        names->push_back(p.name);
        if (key != p.name)
          continue;
        want->what = p.name;
        if (p.bits < 50) // wider ones hold addresses
          want->high = (1ull << p.bits) - 1;
        return true;
      }
    return false;
  }
  case EventId::EVENT_READ:
  case EventId::DMA:
  case EventId::OUTCOME:
    if (!output || !arch_of_event(e).event_fields)
      return false;
    for (const ims_smmuv3_event_place &p : ims_smmuv3_event_places) {
      names->push_back(p.name);
      if (key == p.name)
        return true;
    }
    return false;
  case EventId::LET: return !output && is_name(key);
  default: return false;
  }
}

} // namespace ims
