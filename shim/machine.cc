// SPDX-License-Identifier: Apache-2.0
// The machine of the system file: events memory, kernel, iommu and device of the trace format, played by the player.
#include "iommu/device.h"
#include "shim/arena.h"
#include "shim/shim_internal.h"
#include "trace/events.h"
#include "trace/player.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <iterator>
#include <string>
#include <sys/syscall.h>

namespace {

using namespace ims;

// A VT-d machine with two devices, as most servers have them.
const char built_in[] = R"(iommusim-trace 1
memory hpa=0x0 size=4G
kernel pool=256M pool_size=2G
iommu iommu0
device dev0 iommu=iommu0 source=00:03.0 group=7 pasid_bits=20 ats pri
device dev1 iommu=iommu0 source=00:04.0 group=8 pasid_bits=20 ats pri
)";

struct Machine {
  Trace trace;
  PlayObserver observer;
  Player player;
  explicit Machine(Trace &&t) : trace(std::move(t)), player(trace, PlayOptions(), &observer) {}
};

bool read_file(const char *path, std::string *text) {
  char buf[16384];
  long fd = shim_sys(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0), n = fd;
  while (n >= 0 && (n = shim_sys(SYS_read, fd, buf, sizeof buf)) > 0)
    text->append(buf, static_cast<size_t>(n));
  if (fd >= 0)
    shim_sys(SYS_close, fd);
  return n == 0;
}

bool describes_machine(const Event &e) {
  switch (e.info->id) {
  case EventId::MEMORY:
  case EventId::KERNEL:
  case EventId::IOMMU:
  case EventId::DEVICE:
  case EventId::DEVICE_SET:
  case EventId::LET:
  case EventId::SAY: return true;
  default: return false;
  }
}

void add_device(shim *s, const Machine &m, const DeviceView &view) {
  const std::vector<UnitView> units = m.player.units();
  for (unsigned unit = 0; unit < units.size(); unit++) {
    ims_device *d = ims_kernel_device(s->kernel, unit, static_cast<uint16_t>(view.endpoint->config.source));
    if (!d || units[unit].unit != view.endpoint->unit)
      continue;
    const ims_device_config *c = ims_device_config_of(d);
    shim_device *out = &s->device[s->devices++];
    snprintf(out->name, sizeof out->name, "%s", view.name.c_str());
    out->source = view.endpoint->config.source;
    out->pci = !c->not_pci;
    snprintf(out->bdf, sizeof out->bdf, "%04x:%02x:%02x.%x", unit, out->source >> 8 & 0xff, out->source >> 3 & 0x1f,
             out->source & 7);
    out->has_group = c->group != IMS_NO_GROUP;
    out->group = c->group;
    out->cdev = ims_device_cdev(d);
    out->device = d;
    return;
  }
}

// Bits of the host addresses that a unit puts out (VT-d: HAW; SMMU: OAS, Arm IHI 0070 6.3.6, of which a descriptor of a 4 KB
// granule holds 48).
unsigned output_bits(const UnitView &u) {
  static const unsigned oas[] = {32, 36, 40, 42, 44, 48, 48};
  Config config = *u.config;
  if (const ims_option *o = u.arch->find_option("haw"))
    return ims_option_get(u.arch->config(config), o);
  const ims_option *o = u.arch->find_option("oas");
  unsigned n = o ? ims_option_get(u.arch->config(config), o) : 5;
  return n < std::size(oas) ? oas[n] : 48;
}

// Pages of programs lie where no simulated memory is and all units reach.
bool place_programs(shim *s, const Player &p) {
  unsigned bits = 52;
  for (const UnitView &u : p.units())
    bits = std::min(bits, output_bits(u));
  s->hpa_last = (1ull << bits) - 1;
  s->hpa_first = bits > 48 ? 1ull << 48 : 1ull << (bits - 1);
  if (s->mem->regions) {
    const ims_mem_region &top = s->mem->region[s->mem->regions - 1];
    s->hpa_first = std::max<uint64_t>(s->hpa_first, (top.base + top.size + SHIM_CHUNK - 1) & ~(SHIM_CHUNK - 1));
  }
  return s->hpa_first < s->hpa_last;
}

} // namespace

bool shim_machine_build(struct shim *s, char *why, size_t size) {
  const char *path = s->system_path;
  std::string text = built_in, name = "(built in)";
  if (path) {
    name = path;
    text.clear();
    if (!read_file(path, &text)) {
      snprintf(why, size, "%s: cannot be read", path);
      return false;
    }
  }
  Machine *m = nullptr;
  try {
    Trace trace = parse_trace(text, name);
    for (const Event &e : trace.events)
      if (!describes_machine(e))
        throw TraceError(name, e.at,
                         std::string("found `") + e.info->name +
                             "`, expected the machine only: memory, kernel, iommu, device");
    m = new Machine(std::move(trace));
    m->player.run();
    if (!m->player.kernel())
      throw TraceError(name, {1, 1}, "found no event `kernel`, expected one: programs need a kernel to speak to");
    // The view of the player is for those who look on; here is the one who acts.
    s->kernel = const_cast<ims_kernel *>(m->player.kernel());
    s->mem = m->player.memory();
    if (!place_programs(s, m->player))
      throw TraceError(name, {1, 1},
                       "memory reaches as far as the IOMMUs do: no addresses are left for pages of programs");
    const std::vector<DeviceView> devices = m->player.devices();
    s->device = static_cast<shim_device *>(shim_zalloc((devices.size() + 1) * sizeof(shim_device)));
    if (!s->device)
      throw std::bad_alloc();
    for (const DeviceView &d : devices)
      add_device(s, *m, d);
    s->system = static_cast<char *>(shim_alloc(text.size() + 1));
    if (s->system)
      std::memcpy(s->system, text.c_str(), text.size() + 1);
  } catch (const std::exception &e) {
    snprintf(why, size, "%s", e.what());
    delete m;
    return false;
  }
  s->machine = m;
  return true;
}
