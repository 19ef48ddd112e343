// SPDX-License-Identifier: Apache-2.0
// Memory behind areas: of a process, of a file, of a dma-buf. Pinned while some domain or access needs it, each page once;
// counted for the process, against its RLIMIT_MEMLOCK (Facts 3.4; Linux 7.x, iommufd/pages.c).
#include "uapi/iommufd/iommufd_internal.h"
#include <stdlib.h>

// ---- Making, releasing ----------------------------------------------------------------------------------------------

static int new_pages(struct ictx *ctx, struct ims_process *mm, uint64_t uva, uint64_t length, bool writable,
                     struct pages **out) {
  uint64_t off = uva & (kernel_page(ctx->k) - 1);
  if (!length || length > ~0ull - IMS_PAGE_SIZE)
    return -EINVAL;
  struct pages *p = calloc(1, sizeof *p);
  if (!p)
    return -ENOMEM;
  p->ctx = ctx;
  p->mm = mm;
  ims_process_get(mm);
  p->uva = uva - off;
  p->npages = (length + off - 1) / IMS_PAGE_SIZE + 1;
  p->writable = writable;
  p->account = mm->caps & IMS_CAP_IPC_LOCK ? ACCOUNT_NONE : ctx->rlimit_mode ? ACCOUNT_MM : ACCOUNT_USER;
  p->refs = 1;
  *out = p;
  return 0;
}

int ims_pages_of_user(struct ictx *ctx, struct ims_process *mm, uint64_t uva, uint64_t length, bool writable,
                      struct pages **out) {
  uint64_t end;
  if (__builtin_add_overflow(uva, length, &end))
    return -EOVERFLOW;
  return new_pages(ctx, mm, uva, length, writable, out);
}

// What the number stands for: a file of this kernel, or one of the program's.
static int open_file(struct ims_process *p, int fd, struct memfile **ours, bool *foreign, uint64_t *file) {
  struct ims_file *f = ims_process_file(p, fd);
  *ours = NULL;
  *foreign = false;
  if (f) {
    *ours = ims_memfile_of(f);
    return 0;
  }
  if (!p->user.file_open)
    return -EBADF;
  *foreign = true;
  return p->user.file_open(p->user.ctx, fd, file);
}

static void close_file(struct ims_process *p, struct memfile *ours, bool foreign, uint64_t file) {
  if (foreign && p->user.file_close)
    p->user.file_close(p->user.ctx, file);
  if (ours)
    ims_memfile_put(ours);
}

int ims_pages_of_file(struct ictx *ctx, struct ims_process *p, int fd, uint64_t start, uint64_t length, bool writable,
                      struct pages **out) {
  uint64_t last, file = 0;
  struct memfile *ours;
  bool foreign;
  if (!length)
    return -EINVAL;
  if (__builtin_add_overflow(start, length - 1, &last))
    return -EOVERFLOW;
  int err = open_file(p, fd, &ours, &foreign, &file);
  if (err)
    return err;
  bool buf = ours && ours->dmabuf;
  if (ours)
    ours->refs++;
  if (buf && last >= ours->size)
    err = -EINVAL;
  if (!err)
    err = new_pages(ctx, p, start, length, writable, out);
  if (!err && buf && ours->revoked) {
    ims_pages_put(*out);
    err = -ENODEV;
  }
  if (err) {
    close_file(p, ours, foreign, file);
    return err;
  }
  struct pages *made = *out;
  made->kind = buf ? PAGES_DMABUF : PAGES_FILE;
  made->opener = p;
  ims_process_get(p);
  made->memfile = ours;
  made->foreign = foreign;
  made->file = file;
  if (buf) {
    made->account = ACCOUNT_NONE;
    made->next_of_buf = ours->users;
    ours->users = made;
  }
  return 0;
}

void ims_pages_put(struct pages *p) {
  if (--p->refs)
    return;
  if (p->kind == PAGES_DMABUF)
    for (struct pages **at = &p->memfile->users; *at; at = &(*at)->next_of_buf)
      if (*at == p) {
        *at = p->next_of_buf;
        break;
      }
  if (p->opener) {
    close_file(p->opener, p->memfile, p->foreign, p->file);
    ims_process_put(p->opener);
  }
  ims_process_put(p->mm);
  free(p->pin);
  free(p);
}

// ---- What a process has pinned --------------------------------------------------------------------------------------

int ims_pages_charge(struct ims_process *p, unsigned account, uint64_t npages) {
  uint64_t *locked = account == ACCOUNT_MM ? &p->locked_mm : &p->locked_user;
  if (account != ACCOUNT_NONE) {
    if (npages > p->memlock / IMS_PAGE_SIZE || *locked > p->memlock / IMS_PAGE_SIZE - npages)
      return -ENOMEM;
    *locked += npages;
  }
  p->pinned += npages;
  return 0;
}

void ims_pages_uncharge(struct ims_process *p, unsigned account, uint64_t npages) {
  p->pinned -= npages;
  if (account == ACCOUNT_MM)
    p->locked_mm -= npages;
  else if (account == ACCOUNT_USER)
    p->locked_user -= npages;
}

// ---- Pinning --------------------------------------------------------------------------------------------------------

// Index of the first pin that ends behind the page.
static size_t pin_at(const struct pages *p, uint64_t index) {
  size_t low = 0, high = p->pins;
  while (low < high) {
    size_t mid = (low + high) / 2;
    if (p->pin[mid].index + p->pin[mid].count <= index)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

static int insert(struct pages *p, size_t i, struct pin pin) {
  if (p->pins == p->room) {
    size_t room = p->room ? 2 * p->room : 1;
    struct pin *more = realloc(p->pin, room * sizeof *more);
    if (!more)
      return -ENOMEM;
    p->pin = more;
    p->room = room;
  }
  memmove(&p->pin[i + 1], &p->pin[i], (p->pins - i) * sizeof pin);
  p->pin[i] = pin;
  p->pins++;
  return 0;
}

static void remove_pins(struct pages *p, size_t i, size_t count) {
  if (!count)
    return;
  memmove(&p->pin[i], &p->pin[i + count], (p->pins - i - count) * sizeof *p->pin);
  p->pins -= count;
}

// Makes `index` a border of pins.
static int split(struct pages *p, uint64_t index) {
  size_t i = pin_at(p, index);
  if (i == p->pins || p->pin[i].index >= index)
    return 0;
  struct pin above = p->pin[i];
  uint64_t below = index - above.index;
  above.index = index;
  above.hpa += below * IMS_PAGE_SIZE;
  above.count -= below;
  int err = insert(p, i + 1, above);
  if (!err)
    p->pin[i].count = below;
  return err;
}

static int page_of(const struct pages *p, uint64_t index, uint64_t *hpa, uint64_t *left) {
  uint64_t at = p->uva + index * IMS_PAGE_SIZE;
  if (p->kind == PAGES_USER)
    return ims_mm_page(p->mm, at, p->writable ? IMS_PROT_READ | IMS_PROT_WRITE : IMS_PROT_READ, hpa, left);
  if (p->memfile)
    return ims_memfile_page(p->memfile, at, hpa, left);
  if (p->foreign && p->opener->user.file_page)
    return p->opener->user.file_page(p->opener->user.ctx, p->file, at, p->writable, hpa, left);
  return -EINVAL; // no file of memory
}

static void pin_memory(const struct pages *p, uint64_t hpa, uint64_t count, bool on) {
  ims_mm_pin(p->opener ? p->opener : p->mm, hpa, count * IMS_PAGE_SIZE, on);
}

static bool follows(const struct pin *a, const struct pin *b) {
  return a->users == b->users && a->index + a->count == b->index && a->hpa + a->count * IMS_PAGE_SIZE == b->hpa;
}

// Pins the pages [first, end), of which none is; they come at place *i, which goes behind them. Undone on error.
static int fill(struct pages *p, size_t *i, uint64_t first, uint64_t end) {
  const size_t begin = *i;
  int err = 0;
  for (uint64_t at = first; at < end && !err;) {
    uint64_t hpa, left;
    err = page_of(p, at, &hpa, &left);
    if (err)
      break;
    uint64_t count = left / IMS_PAGE_SIZE < end - at ? left / IMS_PAGE_SIZE : end - at;
    if (!count) {
      err = -EFAULT; // not a page
      break;
    }
    const struct pin more = {.index = at, .count = count, .hpa = hpa, .users = 1};
    if (*i > begin && follows(&p->pin[*i - 1], &more))
      p->pin[*i - 1].count += count;
    else if ((err = insert(p, *i, more)) == 0)
      ++*i;
    if (!err) {
      pin_memory(p, hpa, count, true);
      at += count;
    }
  }
  if (!err) {
    p->npinned += end - first;
    return 0;
  }
  for (size_t n = begin; n < *i; n++)
    pin_memory(p, p->pin[n].hpa, p->pin[n].count, false);
  remove_pins(p, begin, *i - begin);
  *i = begin;
  return err;
}

// One user less of what is pinned of [first, end). Borders are there already.
static void let_go(struct pages *p, uint64_t first, uint64_t end) {
  size_t begin = pin_at(p, first), kept = begin, i = begin;
  for (; i < p->pins && p->pin[i].index < end; i++) {
    struct pin pin = p->pin[i];
    if (--pin.users == 0) {
      pin_memory(p, pin.hpa, pin.count, false);
      p->npinned -= pin.count;
    } else {
      p->pin[kept++] = pin;
    }
  }
  remove_pins(p, kept, i - kept);
}

// Neighbours with as many users become one again, around and within [first, end].
static void merge(struct pages *p, uint64_t first, uint64_t end) {
  size_t i = pin_at(p, first), kept = i ? i - 1 : 0;
  if (kept >= p->pins)
    return;
  for (i = kept + 1; i < p->pins && p->pin[i].index <= end; i++) {
    if (follows(&p->pin[kept], &p->pin[i]))
      p->pin[kept].count += p->pin[i].count;
    else
      p->pin[++kept] = p->pin[i];
  }
  remove_pins(p, kept + 1, i - kept - 1);
}

int ims_pages_pin(struct pages *p, uint64_t first, uint64_t count) {
  const uint64_t end = first + count, before = p->npinned;
  int err = split(p, first);
  if (!err)
    err = split(p, end);
  uint64_t at = first;
  size_t i = pin_at(p, first);
  while (at < end && !err) {
    uint64_t hole_end = i < p->pins && p->pin[i].index < end ? p->pin[i].index : end;
    if (hole_end > at) {
      err = fill(p, &i, at, hole_end);
      at = err ? at : hole_end;
    } else {
      p->pin[i].users++;
      at += p->pin[i++].count;
    }
  }
  // As Linux does, what was pinned is counted afterwards.
  if (!err && p->npinned > before)
    err = ims_pages_charge(p->mm, p->account, p->npinned - before);
  if (err)
    let_go(p, first, at);
  merge(p, first, end);
  return err;
}

void ims_pages_unpin(struct pages *p, uint64_t first, uint64_t count) {
  const uint64_t before = p->npinned;
  size_t i = pin_at(p, first);
  // The whole of one pin, as most areas have it, or borders that must be made. Without memory for them the pages stay
  // pinned until the end: better than given out too early.
  if (split(p, first) || split(p, first + count))
    return;
  let_go(p, first, first + count);
  if (before > p->npinned)
    ims_pages_uncharge(p->mm, p->account, before - p->npinned);
  if (i < p->pins)
    merge(p, first, first + count);
}

uint64_t ims_pages_hpa(const struct pages *p, uint64_t index, uint64_t *count) {
  size_t i = pin_at(p, index);
  *count = 0;
  if (i == p->pins || p->pin[i].index > index)
    return 0;
  const struct pin *r = &p->pin[i];
  *count = r->count - (index - r->index);
  return r->hpa + (index - r->index) * IMS_PAGE_SIZE;
}

// ---- Copying --------------------------------------------------------------------------------------------------------

// What lies in memory, whoever's it is.
static int copy_memory(const struct pages *p, uint64_t hpa, void *data, uint64_t length, bool write) {
  const struct ims_process *who = p->opener ? p->opener : p->mm;
  const struct ims_kernel *k = who->k;
  if (hpa - k->pool.base >= k->pool.size && who->user.copy)
    return who->user.copy(who->user.ctx, hpa, data, length, write) ? 0 : -EFAULT;
  return (write ? ims_mem_write(k->mem, hpa, data, length) : ims_mem_read(k->mem, hpa, data, length)) ? -EFAULT : 0;
}

// Page by page, as a device would: what is pinned stays what it is, whatever its process has done since.
static int copy_pages(const struct pages *p, uint64_t at, uint8_t *data, uint64_t length, bool write) {
  while (length) {
    uint64_t index = at / IMS_PAGE_SIZE, off = at % IMS_PAGE_SIZE, count, hpa = ims_pages_hpa(p, index, &count);
    if (!count) {
      uint64_t left;
      int err = page_of(p, index, &hpa, &left);
      if (err)
        return err;
      count = left / IMS_PAGE_SIZE;
    }
    uint64_t n = count * IMS_PAGE_SIZE - off < length ? count * IMS_PAGE_SIZE - off : length;
    int err = copy_memory(p, hpa + off, data, n, write);
    if (err)
      return err;
    at += n;
    data += n;
    length -= n;
  }
  return 0;
}

static int copy_user(struct ims_process *p, uint64_t va, void *data, uint64_t length, bool write) {
  if (!p->user.page)
    return write ? ims_process_write(p, va, data, length) : ims_process_read(p, va, data, length);
  return (write ? ims_user_write(p, va, data, length) : ims_user_read(p, data, va, length)) ? 0 : -EFAULT;
}

int ims_pages_copy(struct pages *p, const struct ims_process *caller, uint64_t at, void *data, uint64_t length,
                   unsigned flags) {
  const bool write = flags & ACCESS_WRITE;
  if (write && !p->writable)
    return -EPERM;
  if (p->kind == PAGES_DMABUF)
    return -EINVAL;
  // The program's own memory is reached in its name, which ignores what is pinned; so does Linux.
  if (p->kind == PAGES_USER && !p->mm->exited &&
      ((caller == p->mm && !(flags & ACCESS_SLOW)) || (flags & ACCESS_KTHREAD)))
    return copy_user(p->mm, p->uva + at, data, length, write);
  return copy_pages(p, at, data, length, write);
}

// ---- dma-bufs -------------------------------------------------------------------------------------------------------

void ims_memfile_revoke(struct memfile *f, bool revoked) {
  f->revoked = revoked;
  for (struct pages *p = f->users; p; p = p->next_of_buf)
    if (!p->revoked)
      ims_iopt_revoked(p);
}
