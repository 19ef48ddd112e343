// SPDX-License-Identifier: Apache-2.0
// Pages that hold data, as opposed to tables: counted, since a page is given back only when its process and all devices
// that it was pinned for have let go of it.
#include "uapi/kernel_internal.h"

static uint32_t *ref_of(struct ims_kernel *k, uint64_t hpa) {
  uint64_t off = hpa - k->pool.base;
  return off < k->pool.size ? &k->frames.ref[off >> IMS_PAGE_SHIFT] : NULL;
}

int ims_frames_alloc(struct ims_kernel *k, unsigned log2size, uint64_t *hpa) {
  int err = ims_page_pool_alloc(&k->pool, log2size, hpa);
  if (!err)
    ims_frames_get(k, *hpa, 1ull << log2size);
  return err;
}

void ims_frames_get(struct ims_kernel *k, uint64_t hpa, uint64_t size) {
  for (uint64_t at = hpa; at < hpa + size; at += IMS_PAGE_SIZE) {
    uint32_t *ref = ref_of(k, at);
    if (ref)
      ++*ref;
  }
}

void ims_frames_pin(struct ims_kernel *k, uint64_t hpa, uint64_t size, bool on) {
  for (uint64_t at = hpa; k->frames.pin && at < hpa + size; at += IMS_PAGE_SIZE) {
    uint64_t off = at - k->pool.base;
    if (off < k->pool.size)
      k->frames.pin[off >> IMS_PAGE_SHIFT] += on ? 1u : ~0u;
  }
  if (on)
    ims_frames_get(k, hpa, size);
  else
    ims_frames_put(k, hpa, size);
}

void ims_frames_put(struct ims_kernel *k, uint64_t hpa, uint64_t size) {
  for (uint64_t at = hpa; at < hpa + size; at += IMS_PAGE_SIZE) {
    uint32_t *ref = ref_of(k, at);
    if (ref && *ref && --*ref == 0)
      ims_page_pool_free(&k->pool, at, IMS_PAGE_SHIFT);
  }
}
