// SPDX-License-Identifier: Apache-2.0
// /dev/vfio/devices/vfioN: a device opened by itself, bound to an iommufd, and its regions (Facts 3.9; Linux 7.x,
// vfio/device_cdev.c, vfio/vfio_main.c and, for what a PCI device says of itself, vfio/pci/vfio_pci_core.c).
#include "uapi/iommufd/iommufd_internal.h"
#include <stdlib.h>

// An open file. Any number may be open; one of them is bound at a time.
struct cdev {
  struct ims_device *dev;
  struct idev *idev; // NULL: not bound, and good for nothing else yet
};

static void release(struct open_file *o) {
  struct cdev *c = o->state;
  if (c->idev) {
    ims_idev_detach_all(c->idev);
    ims_idev_unbind(c->idev);
    c->dev->group->cdevs--;
  }
  free(c);
}

// ---- Binding and attaching ------------------------------------------------------------------------------------------

// Devices here have no tokens: whoever brings one is told so, once it could be read (PCI).
static int check_token(const struct ims_file *f, const struct cdev *c, const struct ims_vfio_device_bind_iommufd *b) {
  uint8_t uuid[16];
  if (!(b->flags & IMS_BIND_IOMMUFD_TOKEN))
    return 0;
  if (!c->dev->cfg.not_pci && !ims_user_read(f->process, uuid, b->token_uuid_ptr, sizeof uuid))
    return -EFAULT;
  return -EINVAL;
}

static long bind(struct ims_file *f, uint64_t arg) {
  struct cdev *c = f->open->state;
  struct ims_vfio_device_bind_iommufd b;
  uint32_t argsz;
  if (!ims_user_read(f->process, &argsz, arg, sizeof argsz))
    return -EFAULT;
  if (argsz < offsetof(struct ims_vfio_device_bind_iommufd, token_uuid_ptr))
    return -EINVAL;
  int err = ims_copy_struct(f->process, &b, sizeof b, arg, argsz);
  if (err)
    return err;
  if ((int32_t)b.iommufd < 0 || (b.flags & ~(uint32_t)IMS_BIND_IOMMUFD_TOKEN))
    return -EINVAL;
  if (c->dev->group->opened)
    return -EBUSY;
  if (c->idev)
    return -EINVAL;
  err = check_token(f, c, &b);
  if (err)
    return err;
  struct ims_file *i = ims_process_file(f->process, (int)b.iommufd);
  if (!i)
    return -EBADF;
  if (i->open->ops->kind != IMS_FILE_IOMMUFD)
    return -EBADFD;
  if (c->dev->idev)
    return -EINVAL; // through another open file
  struct idev *d;
  err = ims_idev_bind(i->open->state, c->dev, &d);
  if (err)
    return err;
  b.out_devid = d->obj.id;
  if (!ims_user_write(f->process, arg + offsetof(struct ims_vfio_device_bind_iommufd, out_devid), &b.out_devid, 4)) {
    ims_idev_unbind(d);
    return -EFAULT;
  }
  c->idev = d;
  c->dev->group->cdevs++;
  return 0;
}

// The field behind the first `min` bytes, which is there with the flag PASID alone.
static int get_pasid(const struct ims_file *f, uint64_t arg, uint32_t argsz, uint32_t min, uint32_t *pasid) {
  const struct cdev *c = f->open->state;
  if (c->dev->cfg.not_pci)
    return -EOPNOTSUPP;
  if (argsz < min + 4)
    return -EINVAL;
  return ims_user_read(f->process, pasid, arg + min, 4) ? 0 : -EFAULT;
}

// Attaches, or takes the place of what is attached.
static long attach(struct ims_file *f, uint64_t arg) {
  const struct cdev *c = f->open->state;
  struct ims_vfio_device_attach_iommufd_pt a = {0};
  if (!ims_user_read(f->process, &a, arg, 12))
    return -EFAULT;
  if (a.argsz < 12 || (a.flags & ~(uint32_t)IMS_ATTACH_PT_PASID))
    return -EINVAL;
  int err = a.flags & IMS_ATTACH_PT_PASID ? get_pasid(f, arg, a.argsz, 12, &a.pasid) : 0;
  if (err)
    return err;
  if ((a.flags & IMS_ATTACH_PT_PASID) && !a.pasid)
    return -EINVAL;
  err = ims_idev_hwpt(c->idev, a.pasid) ? ims_idev_replace(c->idev, a.pasid, &a.pt_id)
                                        : ims_idev_attach(c->idev, a.pasid, &a.pt_id);
  if (err)
    return err;
  if (ims_user_write(f->process, arg + 8, &a.pt_id, 4))
    return 0;
  ims_idev_detach(c->idev, a.pasid);
  return -EFAULT;
}

static long detach(struct ims_file *f, uint64_t arg) {
  const struct cdev *c = f->open->state;
  struct ims_vfio_device_detach_iommufd_pt a = {0};
  if (!ims_user_read(f->process, &a, arg, 8))
    return -EFAULT;
  if (a.argsz < 8 || (a.flags & ~(uint32_t)IMS_ATTACH_PT_PASID))
    return -EINVAL;
  int err = a.flags & IMS_ATTACH_PT_PASID ? get_pasid(f, arg, a.argsz, 8, &a.pasid) : 0;
  if (err)
    return err;
  if (!(a.flags & IMS_ATTACH_PT_PASID) || a.pasid)
    ims_idev_detach(c->idev, a.pasid);
  return 0;
}

// ---- What the device says of itself ---------------------------------------------------------------------------------

enum { CONFIG_SIZE = 256, PCI_IRQS = 5, IRQ_INTX = 0, IRQ_MSI = 1, IRQ_MSIX = 2, IRQ_ERR = 3, IRQ_REQ = 4 };
enum { REGION_SHIFT = 40 };

static uint64_t region_size(const struct ims_device *dev, uint64_t index) {
  const struct ims_device_regions *r = dev->cfg.regions;
  uint64_t size = r && index < IMS_DEVICE_REGIONS ? r->size[index] : 0;
  return size || dev->cfg.not_pci || index != IMS_REGION_CONFIG ? size : CONFIG_SIZE;
}

static uint32_t regions(const struct ims_device *dev) {
  uint32_t n = IMS_DEVICE_REGIONS;
  while (dev->cfg.not_pci && n && !region_size(dev, n - 1))
    n--;
  return n;
}

static long get_info(struct ims_file *f, uint64_t arg) {
  const struct ims_device *dev = ((struct cdev *)f->open->state)->dev;
  struct ims_vfio_device_info i = {0};
  if (!ims_user_read(f->process, &i, arg, 16))
    return -EFAULT;
  if (i.argsz < 16)
    return -EINVAL;
  i.flags = dev->cfg.not_pci ? IMS_DEVICE_INFO_PLATFORM : IMS_DEVICE_INFO_PCI;
  i.num_regions = regions(dev);
  i.num_irqs = dev->cfg.not_pci ? 0 : PCI_IRQS;
  return ims_user_write(f->process, arg, &i, i.argsz < sizeof i ? i.argsz : sizeof i) ? 0 : -EFAULT;
}

static long get_region_info(struct ims_file *f, uint64_t arg) {
  const struct ims_device *dev = ((struct cdev *)f->open->state)->dev;
  struct ims_vfio_region_info i;
  if (!ims_user_read(f->process, &i, arg, sizeof i))
    return -EFAULT;
  if (i.argsz < sizeof i || i.index >= regions(dev))
    return -EINVAL;
  i.size = region_size(dev, i.index);
  if (!dev->cfg.not_pci && i.index > IMS_REGION_CONFIG && !i.size)
    return -EINVAL; // no VGA
  i.offset = (uint64_t)i.index << REGION_SHIFT;
  i.flags = !i.size                                          ? 0
            : i.index == IMS_REGION_ROM && !dev->cfg.not_pci ? IMS_REGION_INFO_READ
                                                             : IMS_REGION_INFO_READ | IMS_REGION_INFO_WRITE;
  return ims_user_write(f->process, arg, &i, sizeof i) ? 0 : -EFAULT;
}

// The interrupts of a PCI device, none of which it has but those for errors and for being asked back.
static long get_irq_info(struct ims_file *f, uint64_t arg) {
  enum { EVENTFD = 1, MASKABLE = 2, AUTOMASKED = 4, NORESIZE = 8 };
  const struct ims_device *dev = ((struct cdev *)f->open->state)->dev;
  struct ims_vfio_irq_info i;
  if (!ims_user_read(f->process, &i, arg, sizeof i))
    return -EFAULT;
  if (i.argsz < sizeof i || dev->cfg.not_pci || i.index >= PCI_IRQS)
    return -EINVAL;
  i.flags = EVENTFD | (i.index == IRQ_INTX ? MASKABLE | AUTOMASKED : NORESIZE);
  i.count = i.index == IRQ_ERR || i.index == IRQ_REQ;
  return ims_user_write(f->process, arg, &i, sizeof i) ? 0 : -EFAULT;
}

static long ioctl(struct ims_file *f, uint32_t cmd, uint64_t arg) {
  const struct cdev *c = f->open->state;
  if (cmd == IMS_VFIO_DEVICE_BIND_IOMMUFD)
    return bind(f, arg);
  if (!c->idev)
    return -EINVAL; // nothing else before it is bound
  switch (cmd) {
  case IMS_VFIO_DEVICE_ATTACH_IOMMUFD_PT: return attach(f, arg);
  case IMS_VFIO_DEVICE_DETACH_IOMMUFD_PT: return detach(f, arg);
  case IMS_VFIO_DEVICE_GET_INFO: return get_info(f, arg);
  case IMS_VFIO_DEVICE_GET_REGION_INFO: return get_region_info(f, arg);
  case IMS_VFIO_DEVICE_GET_IRQ_INFO: return get_irq_info(f, arg);
  default: return -ENOTTY;
  }
}

// ---- Regions, read and written --------------------------------------------------------------------------------------

// A configuration space that says who the device is and nothing more; writes are lost in it.
static uint64_t config_word(const struct ims_device_regions *r, uint64_t offset) {
  switch (offset & ~3ull) {
  case 0: return r ? r->vendor | (uint32_t)r->device << 16 : 0xffffffffu;
  case 8: return r ? (uint64_t)(r->class_code & 0xffffff) << 8 : 0;
  default: return 0;
  }
}

static uint64_t load(const struct ims_device *dev, unsigned region, uint64_t offset, unsigned bytes) {
  const struct ims_device_regions *r = dev->cfg.regions;
  if (r && r->size[region])
    return r->read ? r->read(r->ctx, region, offset, bytes) : ~0ull;
  uint64_t word = config_word(r, offset);
  if (bytes == 8)
    word |= config_word(r, offset + 4) << 32;
  return word >> offset % 4 * 8;
}

static void put(const struct ims_device *dev, unsigned region, uint64_t offset, unsigned bytes, uint64_t value) {
  const struct ims_device_regions *r = dev->cfg.regions;
  if (r && r->size[region] && r->write)
    r->write(r->ctx, region, offset, bytes, value);
}

// In pieces of 8, 4, 2 or 1 bytes as alignment permits, each copied before the next is touched; what lies beyond the end
// of the region is cut off. A bad pointer is told even where part of it has been done.
static long transfer(struct ims_file *f, uint64_t buf, size_t len, uint64_t offset, bool write) {
  const struct cdev *c = f->open->state;
  uint64_t index = offset >> REGION_SHIFT, pos = offset & ((1ull << REGION_SHIFT) - 1);
  if (!c->idev)
    return -EINVAL;
  if (!len)
    return 0;
  if (index >= regions(c->dev))
    return -EINVAL;
  uint64_t size = region_size(c->dev, index), done = 0;
  if (pos >= size || (write && index == IMS_REGION_ROM && !c->dev->cfg.not_pci))
    return -EINVAL;
  if (len > size - pos)
    len = (size_t)(size - pos);
  while (done < len) {
    unsigned bytes = 8;
    while ((pos + done) % bytes || bytes > len - done)
      bytes /= 2;
    uint64_t value = 0;
    if (write) {
      if (!ims_user_read(f->process, &value, buf + done, bytes))
        return -EFAULT;
      put(c->dev, (unsigned)index, pos + done, bytes, value);
    } else {
      value = load(c->dev, (unsigned)index, pos + done, bytes);
      if (!ims_user_write(f->process, buf + done, &value, bytes))
        return -EFAULT;
    }
    done += bytes;
  }
  return (long)len;
}

static long file_read(struct ims_file *f, uint64_t buf, size_t len, uint64_t offset) {
  return transfer(f, buf, len, offset, false);
}

static long file_write(struct ims_file *f, uint64_t buf, size_t len, uint64_t offset) {
  return transfer(f, buf, len, offset, true);
}

static const struct file_ops cdev_ops = {
    .kind = IMS_FILE_DEVICE, .ioctl = ioctl, .release = release, .read = file_read, .write = file_write};

int ims_cdev_open(struct ims_process *p, uint32_t number, struct ims_file **out) {
  struct ims_device *dev, *next, *found = NULL;
  HASH_ITER(hh, p->k->devices, dev, next)
  if (dev->group && dev->cdev == number)
    found = dev;
  if (!found)
    return -ENOENT;
  struct cdev *c = calloc(1, sizeof *c);
  if (!c)
    return -ENOMEM;
  c->dev = found;
  int fd = ims_file_new(p, &cdev_ops, c, out);
  if (fd < 0)
    free(c);
  return fd;
}
