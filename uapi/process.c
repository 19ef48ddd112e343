// SPDX-License-Identifier: Apache-2.0
// Processes: made, ended, and how the kernel reaches the memory they name in calls.
#include "uapi/kernel_internal.h"
#include <stdlib.h>

// Facts: Linux on arm64 has 48-bit addresses for processes, attribute 0 is Normal write-back memory.
static void page_table_format(struct ims_process *p) {
  const struct ims_kernel_config *c = &p->k->cfg;
  if (c->cpu_format == IMS_CPU_X86_64) {
    ims_x86_fs_format(&p->fmt, IMS_MEM_ADDR_BITS, true, false);
    p->pgt = (struct ims_pgt){
        .a_bits = IMS_FS_A, .d_bit = IMS_FS_D, .levels = c->cpu_levels, .in_bits = c->cpu_levels == 5 ? 57 : 48};
  } else {
    enum ims_granule granule = (enum ims_granule)(c->cpu_format - IMS_CPU_ARM_4K);
    ims_vmsa_format(&p->fmt, IMS_PGT_VMSA_S1, granule, false, false, false);
    p->pgt = (struct ims_pgt){.mair = IMS_ARM_MAIR,
                              .a_bits = IMS_VMSA_AF,
                              .d_bit = IMS_VMSA_AP2,
                              .levels = (uint8_t)ims_vmsa_s1_levels(granule, 48),
                              .in_bits = 48,
                              .out_bits = 48,
                              .sh = 3};
  }
  p->pgt.fmt = &p->fmt;
}

int ims_process_new(struct ims_kernel *k, struct ims_process **out) {
  struct ims_process *p = calloc(1, sizeof *p);
  *out = NULL;
  if (!p)
    return IMS_ERR_NOMEM;
  p->k = k;
  p->id = k->next_process++;
  p->mmap_next = 0x7f0000000000ull;
  p->caps = ~0u;
  p->memlock = ~0ull;
  page_table_format(p);
  struct ims_pgt_mem mem = ims_page_pool_pgt_mem(&k->pool);
  int err = ims_pgt_create(&p->pgt, &mem);
  if (err) {
    free(p);
    return err;
  }
  p->next = k->processes;
  if (p->next)
    p->next->prev = p;
  k->processes = p;
  *out = p;
  return IMS_ERR_OK;
}

static int put_leaf(void *ctx, const struct ims_pgt_visit *v) {
  if (v->kind == IMS_PTE_LEAF)
    ims_frames_put(ctx, v->out, v->size);
  return IMS_VISIT_ON;
}

void ims_process_exit(struct ims_process *p) {
  struct ims_pgt_mem mem = ims_page_pool_pgt_mem(&p->k->pool);
  if (p->exited)
    return;
  // exit_mm: devices stop using the page table before its pages go; then the files.
  p->mm_gone = true;
  ims_sva_exit(p);
  for (size_t fd = 0; fd < p->files; fd++)
    if (p->file[fd])
      ims_close(p->file[fd]);
  ims_vm_free_all(p);
  p->exited = true;
  for (size_t i = 0; i < p->vmas; i++)
    if (p->vma[i].file)
      ims_memfile_put(p->vma[i].file);
  p->vmas = 0;
  ims_pgt_iterate(&p->pgt, &mem, 0, UINT64_MAX, put_leaf, p->k);
  ims_pgt_destroy(&p->pgt, &mem);
  struct hidden_page *h, *next;
  HASH_ITER(hh, p->hidden, h, next) {
    HASH_DEL(p->hidden, h);
    ims_frames_put(p->k, h->hpa, 1ull << h->shift);
    free(h);
  }
  ims_kernel_interrupts(p->k);
  if (!p->svas && !p->refs)
    ims_process_free(p);
}

void ims_process_get(struct ims_process *p) { p->refs++; }

void ims_process_put(struct ims_process *p) {
  if (!--p->refs && p->exited && !p->svas)
    ims_process_free(p);
}

// The mm dies: its PASID is free again.
void ims_process_free(struct ims_process *p) {
  struct ims_kernel *k = p->k;
  if (p->sva_pasid)
    ims_pasid_free(&k->pasids, 0, p->sva_pasid);
  if (p->prev)
    p->prev->next = p->next;
  else
    k->processes = p->next;
  if (p->next)
    p->next->prev = p->prev;
  free(p->vma);
  free(p->file);
  free(p);
}

void ims_process_set_user(struct ims_process *p, const struct ims_user *user) {
  p->user = user ? *user : (struct ims_user){0};
}

void ims_process_set_caps(struct ims_process *p, unsigned caps) { p->caps = caps; }

void ims_process_set_memlock(struct ims_process *p, uint64_t bytes) { p->memlock = bytes; }

void ims_process_pins(const struct ims_process *p, struct ims_pin_counts *out) {
  *out = (struct ims_pin_counts){.pinned = p->pinned, .locked = p->locked_mm, .user_locked = p->locked_user};
}

bool ims_user_read(const struct ims_process *p, void *dst, uint64_t src, size_t len) {
  if (!len)
    return true;
  if (p->user.read)
    return p->user.read(p->user.ctx, dst, src, len);
  return !ims_process_read((struct ims_process *)(uintptr_t)p, src, dst, len);
}

bool ims_user_write(const struct ims_process *p, uint64_t dst, const void *src, size_t len) {
  if (!len)
    return true;
  if (p->user.write)
    return p->user.write(p->user.ctx, dst, src, len);
  return !ims_process_write((struct ims_process *)(uintptr_t)p, dst, src, len);
}

uint32_t ims_process_pasid(const struct ims_process *p) { return p->sva_pasid; }
