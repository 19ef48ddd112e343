// SPDX-License-Identifier: Apache-2.0
// Virtual machines: guest physical memory is memory of the VMM, slot by slot, as with KVM.
#include "uapi/kernel_internal.h"
#include <stdlib.h>

struct slot {
  uint64_t gpa, va, size;
};

enum { VM_MAX_LOG2 = 40 };

// Blocks given back, a stack for each size.
struct block_stack {
  uint64_t *gpa;
  size_t count, room;
};

struct ims_vm {
  struct ims_process *vmm;
  struct ims_vm *next;
  struct slot *slot;
  size_t slots;
  uint64_t pool, pool_end, pool_next;
  struct block_stack freed[VM_MAX_LOG2 + 1];
};

int ims_vm_new(struct ims_process *vmm, struct ims_vm **out) {
  struct ims_vm *vm = calloc(1, sizeof *vm);
  *out = vm;
  if (!vm)
    return IMS_ERR_NOMEM;
  vm->vmm = vmm;
  vm->next = vmm->vms;
  vmm->vms = vm;
  return IMS_ERR_OK;
}

void ims_vm_free_all(struct ims_process *p) {
  while (p->vms) {
    struct ims_vm *vm = p->vms;
    p->vms = vm->next;
    for (unsigned i = 0; i <= VM_MAX_LOG2; i++)
      free(vm->freed[i].gpa);
    free(vm->slot);
    free(vm);
  }
}

int ims_vm_add_slot(struct ims_vm *vm, uint64_t gpa, uint64_t va, uint64_t size) {
  if (!size || ((gpa | va | size) & (IMS_PAGE_SIZE - 1)) || gpa + size < gpa || va + size < va)
    return IMS_ERR_INVAL;
  for (size_t i = 0; i < vm->slots; i++)
    if (gpa < vm->slot[i].gpa + vm->slot[i].size && vm->slot[i].gpa < gpa + size)
      return IMS_ERR_OVERLAP;
  struct slot *s = realloc(vm->slot, (vm->slots + 1) * sizeof *s);
  if (!s)
    return IMS_ERR_NOMEM;
  vm->slot = s;
  s[vm->slots++] = (struct slot){gpa, va, size};
  return IMS_ERR_OK;
}

// hpa of a guest byte and how far the page goes on.
static int page(struct ims_vm *vm, uint64_t gpa, unsigned prot, uint64_t *hpa, uint64_t *left) {
  for (size_t i = 0; i < vm->slots; i++) {
    const struct slot *s = &vm->slot[i];
    if (gpa - s->gpa >= s->size)
      continue;
    if (ims_mm_page(vm->vmm, s->va + (gpa - s->gpa), prot, hpa, left))
      return IMS_ERR_BUS;
    if (*left > s->size - (gpa - s->gpa))
      *left = s->size - (gpa - s->gpa);
    return IMS_ERR_OK;
  }
  return IMS_ERR_BUS;
}

static int copy(struct ims_vm *vm, uint64_t gpa, uint8_t *b, size_t len, bool write) {
  while (len) {
    uint64_t hpa, left;
    int err = page(vm, gpa, write ? IMS_PROT_WRITE : IMS_PROT_READ, &hpa, &left);
    size_t n = !err && left < len ? (size_t)left : len;
    if (!err)
      err = write ? ims_mem_write(vm->vmm->k->mem, hpa, b, n) : ims_mem_read(vm->vmm->k->mem, hpa, b, n);
    if (err)
      return err;
    b += n;
    gpa += n;
    len -= n;
  }
  return IMS_ERR_OK;
}

int ims_vm_read(struct ims_vm *vm, uint64_t gpa, void *buf, size_t len) { return copy(vm, gpa, buf, len, false); }

int ims_vm_write(struct ims_vm *vm, uint64_t gpa, const void *buf, size_t len) {
  return copy(vm, gpa, (uint8_t *)(uintptr_t)buf, len, true);
}

int ims_vm_translate(struct ims_vm *vm, uint64_t gpa, uint64_t *hpa) {
  uint64_t left;
  return page(vm, gpa, IMS_PROT_READ, hpa, &left);
}

int ims_vm_set_pool(struct ims_vm *vm, uint64_t gpa, uint64_t size) {
  if (vm->pool_end || !size || ((gpa | size) & (IMS_PAGE_SIZE - 1)) || gpa + size < gpa)
    return IMS_ERR_INVAL;
  vm->pool = vm->pool_next = gpa;
  vm->pool_end = gpa + size;
  return IMS_ERR_OK;
}

int ims_vm_alloc(struct ims_vm *vm, unsigned log2size, uint64_t *gpa) {
  static const uint8_t zero[4096];
  unsigned shift = log2size < IMS_PAGE_SHIFT ? IMS_PAGE_SHIFT : log2size;
  if (shift > VM_MAX_LOG2)
    return IMS_ERR_NOSPACE;
  uint64_t size = 1ull << shift, at;
  struct block_stack *freed = &vm->freed[shift];
  bool again = freed->count > 0;
  if (again) {
    at = freed->gpa[freed->count - 1];
  } else {
    at = (vm->pool_next + size - 1) & ~(size - 1);
    if (at < vm->pool_next || at >= vm->pool_end || vm->pool_end - at < size)
      return IMS_ERR_NOSPACE;
  }
  for (uint64_t off = 0; off < size; off += sizeof zero) {
    int err = ims_vm_write(vm, at + off, zero, sizeof zero);
    if (err)
      return err;
  }
  if (again)
    freed->count--;
  else
    vm->pool_next = at + size;
  *gpa = at;
  return IMS_ERR_OK;
}

void ims_vm_free_page(struct ims_vm *vm, uint64_t gpa, unsigned log2size) {
  unsigned shift = log2size < IMS_PAGE_SHIFT ? IMS_PAGE_SHIFT : log2size;
  if (shift > VM_MAX_LOG2)
    return;
  struct block_stack *freed = &vm->freed[shift];
  if (freed->count == freed->room) {
    size_t room = freed->room ? 2 * freed->room : 16;
    uint64_t *more = realloc(freed->gpa, room * sizeof *more);
    if (!more)
      return; // the page is lost to the guest
    freed->gpa = more;
    freed->room = room;
  }
  freed->gpa[freed->count++] = gpa;
}

static int guest_load(void *ctx, uint64_t gpa, uint64_t *value) { return ims_vm_read(ctx, gpa, value, 8); }

static int guest_store(void *ctx, uint64_t gpa, uint64_t value) { return ims_vm_write(ctx, gpa, &value, 8); }

static int guest_alloc(void *ctx, unsigned log2size, uint64_t *gpa) { return ims_vm_alloc(ctx, log2size, gpa); }

static void guest_free(void *ctx, uint64_t gpa, unsigned log2size) { ims_vm_free_page(ctx, gpa, log2size); }

static int guest_cas(void *ctx, uint64_t gpa, uint64_t old, uint64_t desired, uint64_t *seen) {
  struct ims_vm *vm = ctx;
  uint64_t hpa, left;
  int err = page(vm, gpa, IMS_PROT_WRITE, &hpa, &left);
  return err ? err : ims_mem_cas64(vm->vmm->k->mem, hpa, old, desired, seen);
}

struct ims_pgt_mem ims_vm_pgt_mem(struct ims_vm *vm) {
  return (struct ims_pgt_mem){vm, guest_load, guest_store, guest_alloc, guest_free, guest_cas};
}
