// SPDX-License-Identifier: Apache-2.0
// Legacy mode: a context entry of 16 bytes is the whole of a device's attachment. VT-d rev 4.1, 9.1, 9.2.
#include "uapi/vtd_internal.h"

int ims_vtdd_legacy_attach(struct ims_device *dev, const struct hdomain *d, uint16_t did) {
  struct host_unit *u = dev->unit;
  const struct paging *p = d->paging;
  uint64_t entry, old;
  int err = ims_vtdd_context_table(dev, &entry);
  if (err)
    return err;
  if (ims_mem_load64(dev->k->mem, entry, &old))
    return -EIO;
  if (old & 1)
    return -EBUSY;
  // TT 01: translation and translated requests too. P comes with the last store.
  ims_store(dev->k, u, dev->cfg.source, "context entry", entry + 8, p->aw | (uint64_t)did << 8);
  ims_store(dev->k, u, dev->cfg.source, "context entry", entry, p->pgt.root | (dev->ats_works ? 1u << 2 : 0u) | 1);
  dev->k->count.entries_written += 2;
  if (!u->vtd.caps.cm) {
    ims_vtdd_write_buffer_flush(u);
    return 0;
  }
  struct vtd_desc context = ims_desc_context(VTD_CTX_DEVICE, 0, dev->cfg.source); // not-present ones carry DID 0
  struct vtd_desc iotlb = ims_desc_iotlb_domain(u, did);
  err = ims_vtdd_submit(u, &context, 1, 0);
  return err ? err : ims_vtdd_submit(u, &iotlb, 1, 0);
}

void ims_vtdd_legacy_detach(struct ims_device *dev, uint16_t did) {
  struct host_unit *u = dev->unit;
  uint64_t entry;
  if (ims_vtdd_context_table(dev, &entry))
    return;
  ims_store(dev->k, u, dev->cfg.source, "context entry", entry, 0);
  struct vtd_desc d[] = {ims_desc_context(VTD_CTX_DEVICE, did, dev->cfg.source), ims_desc_iotlb_domain(u, did),
                         ims_desc_device_tlb(dev, 0, VTD_PAGE_BITS)};
  for (unsigned i = 0; i < (dev->ats_works ? 3u : 2u); i++)
    ims_vtdd_submit(u, &d[i], 1, 0);
  ims_store(dev->k, u, dev->cfg.source, "context entry", entry + 8, 0);
}
