// SPDX-License-Identifier: Apache-2.0
// Units, devices and IOMMU groups, as discovery finds them; how drivers reach a unit.
#include "uapi/kernel_internal.h"
#include <stdlib.h>

static const struct host_ops *const drivers[] = {&ims_vtd_host_ops, &ims_smmuv3_host_ops, &ims_smmuv2_host_ops};

static const struct host_ops *driver_of(const struct ims_iommu *hw) {
  for (unsigned i = 0; i < sizeof drivers / sizeof *drivers; i++)
    if (!strcmp(drivers[i]->arch, hw->ops->arch))
      return drivers[i];
  return NULL;
}

static int unit_index(const struct ims_kernel *k, unsigned index) { return index < k->units ? (int)index : -1; }

int ims_kernel_add_unit(struct ims_kernel *k, const char *name, struct ims_iommu *hw, unsigned *index) {
  const struct host_ops *driver = driver_of(hw);
  if (!driver)
    return IMS_ERR_UNSUP;
  if (k->units >= 1u << 14) // vectors: ims_kernel_message
    return IMS_ERR_NOSPACE;
  struct host_unit **more = realloc(k->unit, (k->units + 1) * sizeof *more);
  if (!more)
    return IMS_ERR_NOMEM;
  k->unit = more;
  struct host_unit *u = calloc(1, sizeof *u);
  char *copy = u ? malloc(strlen(name) + 1) : NULL;
  if (!copy) {
    free(u);
    return IMS_ERR_NOMEM;
  }
  strcpy(copy, name);
  u->k = k;
  u->index = k->units;
  u->name = copy;
  u->hw = hw;
  u->ops = driver;
  k->unit[k->units++] = u; // interrupts may come from now on
  u->id[ID_DOMAIN].used[0] = (1ull << DID_FIRST_FREE) - 1;
  u->id[ID_ASID].used[0] = 1;
  int err = u->ops->setup(u);
  if (err) {
    k->units--;
    free(u->name);
    free(u);
    return err;
  }
  if (index)
    *index = u->index;
  ims_kernel_interrupts(k);
  return IMS_ERR_OK;
}

bool ims_kernel_unit_scalable(const struct ims_kernel *k, unsigned index) {
  return unit_index(k, index) >= 0 && k->unit[index]->ops == &ims_vtd_host_ops && k->unit[index]->vtd.scalable;
}

uint64_t ims_kernel_unit_root(const struct ims_kernel *k, unsigned index) {
  return unit_index(k, index) >= 0 ? k->unit[index]->ops->root(k->unit[index]) : 0;
}

uint64_t ims_unit_read(struct host_unit *u, uint32_t offset, unsigned bytes) {
  return u->k->units_gone ? 0 : ims_iommu_read(u->hw, offset, bytes);
}

void ims_unit_write(struct host_unit *u, const char *name, uint32_t offset, unsigned bytes, uint64_t value) {
  if (u->k->units_gone)
    return;
  u->k->count.mmio_writes++;
  if (u->k->cfg.hooks.observe)
    ims_note(u->k, &(struct ims_note){.kind = IMS_NOTE_MMIO_WRITE,
                                      .arch = u->ops->note,
                                      .unit = (uint16_t)u->index,
                                      .source = ~0u,
                                      .what = name,
                                      .addr = offset,
                                      .words = 1,
                                      .bytes = (uint8_t)bytes,
                                      .word = {value}});
  ims_iommu_write(u->hw, offset, bytes, value);
}

bool ims_unit_relax(struct host_unit *u, unsigned looks) {
  const struct ims_kernel_hooks *h = &u->k->cfg.hooks;
  if (u->k->units_gone)
    return false;
  return h->relax ? h->relax(h->ctx) : looks < u->k->cfg.wait_limit;
}

// Vectors. x86: the unit's index is spread over destination and data; Arm: one doorbell, the index in the data.
enum { DOORBELL_OFFSET = 0x40 };
static bool is_x86(const struct host_unit *u) { return u->ops == &ims_vtd_host_ops; }

uint64_t ims_unit_vector_addr(const struct host_unit *u) {
  return is_x86(u) ? 0xfee00000u | (u->index & 0xff) << 12 : u->k->cfg.msi_doorbell + DOORBELL_OFFSET;
}

uint32_t ims_unit_vector_data(const struct host_unit *u, unsigned kind) {
  return kind | (is_x86(u) ? u->index >> 8 : u->index) << 2;
}

// Interrupts are only noted when they come, in the middle of whatever the hardware is doing, and handled when the
// processor is at leisure.
void ims_kernel_message(void *kernel, uint64_t addr, uint32_t data) {
  struct ims_kernel *k = kernel;
  bool x86 = (addr & ~0xff000ull) == 0xfee00000;
  // Wires of SMMUv2 units, which do not say whose: all look.
  for (unsigned i = 0; !addr && i < k->units; i++)
    if (k->unit[i]->ops == &ims_smmuv2_host_ops)
      k->unit[i]->ops->message(k->unit[i], 0);
  uint32_t index = x86 ? (uint32_t)(addr >> 12 & 0xff) | (data >> 2 & 0x3f) << 8 : data >> 2;
  if ((!x86 && addr != k->cfg.msi_doorbell + DOORBELL_OFFSET) || index >= k->units || is_x86(k->unit[index]) != x86)
    return;
  k->unit[index]->ops->message(k->unit[index], data & 3);
}

struct ims_group *ims_group_of(struct ims_kernel *k, uint32_t id) {
  struct ims_group *g;
  HASH_FIND(hh, k->groups, &id, sizeof id, g);
  return g;
}

static struct ims_group *group_get(struct ims_kernel *k, uint32_t id) {
  struct ims_group *g = ims_group_of(k, id);
  if (g)
    return g;
  g = calloc(1, sizeof *g);
  if (!g)
    return NULL;
  g->id = id;
  HASH_ADD(hh, k->groups, id, sizeof g->id, g);
  return g;
}

int ims_kernel_add_device(struct ims_kernel *k, const struct ims_device_config *config, struct ims_device **out) {
  *out = NULL;
  if (unit_index(k, config->unit) < 0 || config->pasid_bits > IMS_PASID_BITS)
    return IMS_ERR_INVAL;
  if (ims_kernel_device(k, config->unit, config->source))
    return IMS_ERR_EXIST;
  struct ims_group *g = config->group == IMS_NO_GROUP ? NULL : group_get(k, config->group);
  struct ims_device *d = calloc(1, sizeof *d);
  if (!d || (!g && config->group != IMS_NO_GROUP)) {
    free(d);
    return IMS_ERR_NOMEM;
  }
  d->k = k;
  d->cfg = *config;
  d->unit = k->unit[config->unit];
  d->id = k->next_device++;
  d->key = (uint32_t)config->unit << 16 | config->source;
  d->ats_on = config->ats;
  d->pri_on = config->pri;
  int err = d->unit->ops->device_init(d);
  if (err) {
    free(d);
    return err;
  }
  HASH_ADD(hh, k->devices, key, sizeof d->key, d);
  d->group = g;
  if (g) { // loops over a group go in the order of adding
    struct ims_device **end = &g->devices;
    while (*end)
      end = &(*end)->next_in_group;
    *end = d;
    d->cdev = k->next_cdev++;
  }
  *out = d;
  ims_kernel_interrupts(k);
  return IMS_ERR_OK;
}

struct ims_device *ims_kernel_device(const struct ims_kernel *k, unsigned unit, uint16_t source) {
  uint32_t key = (uint32_t)unit << 16 | source;
  struct ims_device *d;
  HASH_FIND(hh, k->devices, &key, sizeof key, d);
  return d;
}

// NO_GROUP: no driver of VFIO takes it.
unsigned ims_device_cdev(const struct ims_device *d) { return d->group ? d->cdev : IMS_NO_CDEV; }

const struct ims_device_config *ims_device_config_of(const struct ims_device *d) { return &d->cfg; }

uint64_t ims_device_pasid_dir(const struct ims_device *d) { return d->pasid_dir; }

static int change(struct ims_device *d, bool *what, bool on) {
  if (d->attachments)
    return -EBUSY;
  *what = on;
  d->unit->ops->device_changed(d);
  ims_kernel_interrupts(d->k);
  return 0;
}

int ims_device_enable_pri(struct ims_device *d, bool on) { return change(d, &d->pri_on, on && d->cfg.pri); }

int ims_device_enable_ats(struct ims_device *d, bool on) { return change(d, &d->ats_on, on && d->cfg.ats); }
