// SPDX-License-Identifier: Apache-2.0
// /dev/vfio/devices/vfioN: a device opened by itself, bound to an iommufd (Facts 3.9; Linux 7.x, vfio/device_cdev.c).
#include "uapi/iommufd/internal.h"

static void release(struct open_file *o) {
  struct ims_device *dev = o->state;
  struct idev *d = dev->idev;
  if (d) {
    while (d->group->attaches) {
      bool any = false;
      for (size_t i = 0; i < d->group->attaches && !any; i++)
        if (ims_idev_hwpt(d, d->group->attach[i].pasid)) {
          ims_idev_detach(d, d->group->attach[i].pasid);
          any = true;
        }
      if (!any)
        break;
    }
    ims_idev_unbind(d);
  }
  dev->cdev_open = false;
  dev->group->cdevs--;
}

static long bind(struct ims_file *f, uint64_t arg) {
  struct ims_device *dev = f->open->state;
  struct ims_vfio_device_bind_iommufd b;
  uint32_t argsz;
  if (!ims_user_read(f->process, &argsz, arg, sizeof argsz))
    return -EFAULT;
  if (argsz < 16)
    return -EINVAL;
  int err = ims_copy_struct(f->process, &b, sizeof b, arg, argsz);
  if (err)
    return err;
  if ((int32_t)b.iommufd < 0 || (b.flags & ~(uint32_t)IMS_BIND_IOMMUFD_TOKEN))
    return -EINVAL;
  if (dev->idev)
    return -EINVAL;
  if (b.flags & IMS_BIND_IOMMUFD_TOKEN)
    return -EINVAL; // devices here have no tokens
  struct ims_file *i = ims_process_file(f->process, (int)b.iommufd);
  if (!i)
    return -EBADF;
  if (i->open->ops->kind != IMS_FILE_IOMMUFD)
    return -EBADFD;
  struct idev *d;
  err = ims_idev_bind(i->open->state, dev, &d);
  if (err)
    return err;
  b.out_devid = d->obj.id;
  if (!ims_user_write(f->process, arg + offsetof(struct ims_vfio_device_bind_iommufd, out_devid), &b.out_devid, 4)) {
    ims_idev_unbind(d);
    return -EFAULT;
  }
  return 0;
}

static long attach(struct ims_file *f, uint64_t arg) {
  struct ims_device *dev = f->open->state;
  struct ims_vfio_device_attach_iommufd_pt a = {0};
  if (!ims_user_read(f->process, &a, arg, 12))
    return -EFAULT;
  if (a.argsz < 12 || (a.flags & ~(uint32_t)IMS_ATTACH_PT_PASID))
    return -EINVAL;
  if (a.flags & IMS_ATTACH_PT_PASID) {
    if (a.argsz < 16)
      return -EINVAL;
    if (!ims_user_read(f->process, &a.pasid, arg + 12, 4))
      return -EFAULT;
  }
  int err = ims_idev_attach(dev->idev, a.pasid, &a.pt_id);
  if (err)
    return err;
  if (ims_user_write(f->process, arg + 8, &a.pt_id, 4))
    return 0;
  ims_idev_detach(dev->idev, a.pasid);
  return -EFAULT;
}

static long detach(struct ims_file *f, uint64_t arg) {
  struct ims_device *dev = f->open->state;
  struct ims_vfio_device_detach_iommufd_pt a = {0};
  if (!ims_user_read(f->process, &a, arg, 8))
    return -EFAULT;
  if (a.argsz < 8 || (a.flags & ~(uint32_t)IMS_ATTACH_PT_PASID))
    return -EINVAL;
  if (a.flags & IMS_ATTACH_PT_PASID) {
    if (a.argsz < 12)
      return -EINVAL;
    if (!ims_user_read(f->process, &a.pasid, arg + 8, 4))
      return -EFAULT;
  }
  ims_idev_detach(dev->idev, a.pasid);
  return 0;
}

static long ioctl(struct ims_file *f, uint32_t cmd, uint64_t arg) {
  const struct ims_device *dev = f->open->state;
  if (cmd == IMS_VFIO_DEVICE_BIND_IOMMUFD)
    return bind(f, arg);
  if (!dev->idev)
    return -EINVAL; // nothing else before it is bound
  switch (cmd) {
  case IMS_VFIO_DEVICE_ATTACH_IOMMUFD_PT: return attach(f, arg);
  case IMS_VFIO_DEVICE_DETACH_IOMMUFD_PT: return detach(f, arg);
  default: return -ENOTTY;
  }
}

static const struct file_ops cdev_ops = {.kind = IMS_FILE_DEVICE, .ioctl = ioctl, .release = release};

int ims_cdev_open(struct ims_process *p, uint32_t number, struct ims_file **out) {
  struct ims_device *dev, *next, *found = NULL;
  HASH_ITER(hh, p->k->devices, dev, next)
  if (dev->group && dev->cdev == number)
    found = dev;
  if (!found)
    return -ENOENT;
  if (found->group->opened || found->cdev_open)
    return -EBUSY;
  int fd = ims_file_new(p, &cdev_ops, found, out);
  if (fd >= 0) {
    found->cdev_open = true;
    found->group->cdevs++;
  }
  return fd;
}
