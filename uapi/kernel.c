// SPDX-License-Identifier: Apache-2.0
// The kernel as a whole: making and releasing it, its log, its interrupts.
#include "uapi/kernel.h"
#include "uapi/kernel_internal.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void ims_kernel_config_default(struct ims_kernel_config *c) {
  *c = (struct ims_kernel_config){
      .dialect = IMS_DIALECT_V7,
      .cpu_levels = 4,
      .msi_doorbell = 0x08090000,
      .s2_levels = 4,
      .pasid_quota = IMS_PASID_QUOTA,
      .dma_entry_limit = 65535,
      .wait_limit = 1000,
  };
}

// Second-stage tables lie in pages of the pool; stores to them are shown to the observer.
static int table_load(void *ctx, uint64_t addr, uint64_t *value) {
  return ims_mem_load64(((struct ims_kernel *)ctx)->mem, addr, value);
}

static int table_store(void *ctx, uint64_t addr, uint64_t value) {
  return ims_store(ctx, NULL, ~0u, "second-stage table entry", addr, value);
}

static int table_alloc(void *ctx, unsigned log2size, uint64_t *addr) { return ims_pool_page(ctx, log2size, addr); }

static void table_free(void *ctx, uint64_t addr, unsigned log2size) { ims_pool_free(ctx, addr, log2size); }

static int table_cas(void *ctx, uint64_t addr, uint64_t old, uint64_t desired, uint64_t *seen) {
  return ims_cas(ctx, "second-stage table entry", addr, old, desired, seen);
}

int ims_kernel_new(struct ims_kernel **out, const struct ims_kernel_config *config) {
  *out = NULL;
  if (!config->mem || config->dialect >= IMS_DIALECT_COUNT || config->iommu_h > IMS_IOMMU_H_B ||
      config->cpu_format >= IMS_CPU_FORMATS || (config->msi_doorbell & (IMS_PAGE_SIZE - 1)) ||
      config->selftest > IMS_SELFTEST_7_3 || (config->cpu_levels != 4 && config->cpu_levels != 5) ||
      config->s2_levels < 3 || config->s2_levels > 5)
    return IMS_ERR_INVAL;
  struct ims_kernel *k = calloc(1, sizeof *k);
  if (!k)
    return IMS_ERR_NOMEM;
  k->cfg = *config;
  k->mem = config->mem;
  k->next_process = 1;
  k->next_device = 1;
  k->sva.deliver = ims_sva_deliver;
  k->tables = (struct ims_pgt_mem){k, table_load, table_store, table_alloc, table_free, table_cas};
  int err = ims_page_pool_init(&k->pool, k->mem, config->pool_base, config->pool_size);
  if (!err && config->cpu_format != IMS_CPU_X86_64)
    err = ims_doorbell_reserve(k);
  if (!err)
    err = ims_pasid_space_init(&k->pasids, IMS_PASID_BITS);
  if (!err)
    err = ims_pasid_set_quota(&k->pasids, 0, UINT32_MAX); // owner 0: the kernel's own PASIDs, of SVA
  if (!err) {
    ims_pasid_set_default_quota(&k->pasids, config->pasid_quota);
    err = ims_frames_init(k);
    k->fault = calloc(IMS_FAULT_LOG, sizeof *k->fault);
    if (config->selftest)
      k->frames.pin = calloc(config->pool_size >> IMS_PAGE_SHIFT, sizeof *k->frames.pin);
    uint8_t byte;
    if (err || !k->fault || (config->selftest && !k->frames.pin))
      err = IMS_ERR_NOMEM;
    else if (ims_mem_read(k->mem, config->pool_base, &byte, 1) ||
             ims_mem_read(k->mem, config->pool_base + config->pool_size - 1, &byte, 1))
      err = IMS_ERR_BUS;
  }
  if (err) {
    ims_kernel_free(k);
    return err;
  }
  *out = k;
  return IMS_ERR_OK;
}

void ims_kernel_forget_units(struct ims_kernel *k) { k->units_gone = true; }

void ims_kernel_free(struct ims_kernel *k) {
  if (!k)
    return;
  // Exit frees a process, unless devices are bound to it or files of others name it; those files go, too.
  for (struct ims_process *p = k->processes; p;) {
    bool alive = !p->exited;
    if (alive)
      ims_process_exit(p);
    p = alive ? k->processes : p->next;
  }
  while (k->processes) {
    struct ims_process *p = k->processes;
    if (p->svas) {
      p->svas->users = 1;
      ims_sva_unbind(p->svas); // the last one frees it
    } else {
      ims_process_free(p);
    }
  }
  struct ims_device *d, *next_d;
  HASH_ITER(hh, k->devices, d, next_d) {
    ims_iopf_drop(d, ~0u);
    d->unit->ops->device_fini(d);
    HASH_DEL(k->devices, d);
    free(d);
  }
  struct ims_group *g, *next_g;
  HASH_ITER(hh, k->groups, g, next_g) {
    HASH_DEL(k->groups, g);
    free(g);
  }
  for (unsigned i = 0; i < k->units; i++) {
    if (!k->units_gone)
      k->unit[i]->ops->shutdown(k->unit[i]);
    free(k->unit[i]->name);
    free(k->unit[i]);
  }
  free(k->unit);
  free(k->mock);
  ims_pasid_space_fini(&k->pasids);
  ims_page_pool_fini(&k->pool);
  free(k->frames.pin);
  ims_frames_fini(k);
  free(k->fault);
  free(k);
}

int ims_kernel_set_pasid_quota(struct ims_kernel *k, uint32_t quota) {
  if (k->cfg.dialect != IMS_DIALECT_V1)
    return -EACCES;
  k->cfg.pasid_quota = quota;
  ims_pasid_set_default_quota(&k->pasids, quota);
  return 0;
}

void ims_kernel_count(const struct ims_kernel *k, struct ims_kernel_counters *out) { *out = k->count; }

uint64_t ims_kernel_memory_in_use(const struct ims_kernel *k) { return k->pool.in_use; }

enum { IRQ_ROUNDS = 65536 };

bool ims_kernel_interrupts(struct ims_kernel *k) {
  bool any = false;
  if (k->in_interrupts || k->units_gone)
    return false;
  k->in_interrupts = true;
  for (unsigned i = 0; i < k->units; i++)
    k->irq_pending |= k->unit[i]->polled;
  // Bounded: a device may answer each response with the next request.
  for (unsigned round = 0; k->irq_pending && round < IRQ_ROUNDS; round++) {
    k->irq_pending = false;
    for (unsigned i = 0; i < k->units; i++)
      any |= k->unit[i]->ops->interrupt(k->unit[i]);
  }
  k->in_interrupts = false;
  return any;
}

void ims_fault_logged(struct ims_kernel *k, const struct ims_kernel_fault *f) {
  k->fault[k->count.faults++ % IMS_FAULT_LOG] = *f;
}

uint64_t ims_kernel_faults(const struct ims_kernel *k) { return k->count.faults; }

bool ims_kernel_fault_at(const struct ims_kernel *k, uint64_t index, struct ims_kernel_fault *out) {
  if (index >= k->count.faults || k->count.faults - index > IMS_FAULT_LOG)
    return false;
  *out = k->fault[index % IMS_FAULT_LOG];
  return true;
}

void ims_note(struct ims_kernel *k, const struct ims_note *note) {
  if (k->cfg.hooks.observe)
    k->cfg.hooks.observe(k->cfg.hooks.ctx, note);
}

void ims_log(struct ims_kernel *k, enum ims_log_level level, const struct host_unit *u, const char *fmt, ...) {
  char text[256];
  va_list ap;
  if (!k->cfg.hooks.observe)
    return;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  ims_note(k, &(struct ims_note){.kind = IMS_NOTE_LOG,
                                 .level = (uint8_t)level,
                                 .arch = u ? u->ops->note : (uint8_t)IMS_ARCH_VTD,
                                 .unit = u ? (uint16_t)u->index : 0xffff,
                                 .source = ~0u,
                                 .what = "kernel log",
                                 .text = text});
}

int ims_store(struct ims_kernel *k, const struct host_unit *u, uint32_t source, const char *what, uint64_t hpa,
              uint64_t value) {
  if (k->cfg.hooks.observe) {
    uint64_t old = 0;
    ims_mem_load64(k->mem, hpa, &old);
    ims_note(k, &(struct ims_note){.kind = IMS_NOTE_TABLE,
                                   .arch = u ? u->ops->note : (uint8_t)IMS_ARCH_VTD,
                                   .unit = u ? (uint16_t)u->index : 0xffff,
                                   .source = source,
                                   .what = what,
                                   .addr = hpa,
                                   .old = old,
                                   .words = 1,
                                   .bytes = 8,
                                   .word = {value}});
  }
  return ims_mem_store64(k->mem, hpa, value);
}

int ims_cas(struct ims_kernel *k, const char *what, uint64_t hpa, uint64_t old, uint64_t desired, uint64_t *seen) {
  int err = ims_mem_cas64(k->mem, hpa, old, desired, seen);
  if (!err && *seen == old && k->cfg.hooks.observe)
    ims_note(k, &(struct ims_note){.kind = IMS_NOTE_TABLE,
                                   .unit = 0xffff,
                                   .source = ~0u,
                                   .what = what,
                                   .addr = hpa,
                                   .old = old,
                                   .words = 1,
                                   .bytes = 8,
                                   .word = {desired}});
  return err;
}

int ims_pool_page(struct ims_kernel *k, unsigned log2size, uint64_t *hpa) {
  return ims_page_pool_alloc(&k->pool, log2size, hpa);
}

void ims_pool_free(struct ims_kernel *k, uint64_t hpa, unsigned log2size) {
  ims_page_pool_free(&k->pool, hpa, log2size);
}

int ims_errno(int err) {
  switch (err) {
  case IMS_ERR_OK: return 0;
  case IMS_ERR_NOMEM:
  case IMS_ERR_NOSPACE: return -ENOMEM;
  case IMS_ERR_EXIST:
  case IMS_ERR_OVERLAP: return -EEXIST;
  case IMS_ERR_NOENT: return -ENOENT;
  case IMS_ERR_BUS:
  case IMS_ERR_IO: return -EIO;
  case IMS_ERR_PERM: return -EACCES;
  case IMS_ERR_UNSUP: return -EOPNOTSUPP;
  default: return -EINVAL;
  }
}
