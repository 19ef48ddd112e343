// SPDX-License-Identifier: Apache-2.0
// Memory into an ELF64 core. System V gABI; layout: ELF header, section header 0 where there are too many segments for
// e_phnum, program headers, bytes. p_offset and p_paddr agree in their low 12 bits.
#define _GNU_SOURCE
#include "mem/backing_internal.h"
#include "mem/image.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ZERO_RUN (64u << 10) // zeros from here on end a segment's bytes; shorter ones are a hole in the file

struct segment {
  uint64_t hpa, bytes, zeros; // bytes in the file, then zeros
};

struct segments {
  struct segment *v;
  size_t n, capacity;
};

static struct segment *start(struct segments *s, uint64_t hpa) {
  if (!s->v || s->n == s->capacity) {
    size_t capacity = s->capacity ? s->capacity * 2 : 64;
    struct segment *v = capacity > SIZE_MAX / sizeof *v ? NULL : realloc(s->v, capacity * sizeof *v);
    if (!v)
      return NULL;
    s->v = v;
    s->capacity = capacity;
  }
  s->v[s->n] = (struct segment){hpa, 0, 0};
  return &s->v[s->n++];
}

static int cut(void *ctx, uint64_t hpa, const uint8_t *bytes, uint64_t len) {
  struct segments *s = (struct segments *)ctx;
  struct segment *last = s->n ? &s->v[s->n - 1] : NULL;
  bool apart = !last || last->hpa + last->bytes + last->zeros != hpa;
  if (bytes && !apart && last->zeros > 0 && (last->bytes == 0 || last->zeros >= ZERO_RUN))
    apart = true;
  if (apart && !(last = start(s, hpa)))
    return IMS_ERR_NOMEM;
  if (bytes) {
    last->bytes += last->zeros + len;
    last->zeros = 0;
  } else {
    last->zeros += len;
  }
  return 0;
}

struct output {
  int fd;
  const struct segments *s;
  size_t at;       // segment that the scan is in
  uint64_t offset; // of its bytes
};

// First offset from `from` on that agrees with `hpa` in the low 12 bits.
static uint64_t align(uint64_t from, uint64_t hpa) { return from + ((hpa - from) & (IMS_MEM_PAGE - 1)); }

static int put(int fd, const void *bytes, uint64_t len, uint64_t offset) {
  const uint8_t *p = (const uint8_t *)bytes;
  while (len > 0) {
    ssize_t n = pwrite(fd, p, (size_t)len, (off_t)offset);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return IMS_ERR_IO;
    p += n;
    offset += (uint64_t)n;
    len -= (uint64_t)n;
  }
  return IMS_ERR_OK;
}

static int put_piece(void *ctx, uint64_t hpa, const uint8_t *bytes, uint64_t len) {
  struct output *o = (struct output *)ctx;
  if (!bytes)
    return 0;
  const struct segment *g = &o->s->v[o->at];
  while (hpa - g->hpa >= g->bytes) {
    if (g->bytes > 0)
      o->offset += g->bytes;
    g = &o->s->v[++o->at];
    if (g->bytes > 0)
      o->offset = align(o->offset, g->hpa);
  }
  return put(o->fd, bytes, len, o->offset + (hpa - g->hpa));
}

static int write_core(struct ims_mem *m, int fd, const struct segments *s) {
  bool many = s->n >= PN_XNUM;
  Elf64_Ehdr h;
  memset(&h, 0, sizeof h);
  memcpy(h.e_ident, ELFMAG, SELFMAG);
  h.e_ident[EI_CLASS] = ELFCLASS64;
  h.e_ident[EI_DATA] = ELFDATA2LSB;
  h.e_ident[EI_VERSION] = EV_CURRENT;
  h.e_type = ET_CORE;
  h.e_machine = EM_NONE; // memory belongs to no instruction set
  h.e_version = EV_CURRENT;
  h.e_ehsize = sizeof h;
  h.e_phentsize = sizeof(Elf64_Phdr);
  h.e_phnum = many ? PN_XNUM : (Elf64_Half)s->n;
  h.e_phoff = sizeof h;
  if (many) {
    Elf64_Shdr sh;
    memset(&sh, 0, sizeof sh);
    sh.sh_info = (Elf64_Word)s->n;
    h.e_shoff = sizeof h;
    h.e_shentsize = sizeof sh;
    h.e_shnum = 1;
    h.e_phoff += sizeof sh;
    if (put(fd, &sh, sizeof sh, h.e_shoff))
      return IMS_ERR_IO;
  }
  if (put(fd, &h, sizeof h, 0))
    return IMS_ERR_IO;

  Elf64_Phdr batch[256];
  size_t held = 0;
  uint64_t table = h.e_phoff, data = h.e_phoff + s->n * sizeof(Elf64_Phdr), end = data;
  for (size_t i = 0; i < s->n; i++) {
    const struct segment *g = &s->v[i];
    Elf64_Phdr *p = &batch[held++];
    memset(p, 0, sizeof *p);
    p->p_type = PT_LOAD;
    p->p_flags = PF_R | PF_W;
    p->p_vaddr = p->p_paddr = g->hpa;
    p->p_filesz = g->bytes;
    p->p_memsz = g->bytes + g->zeros;
    if (g->bytes > 0) {
      p->p_offset = align(end, g->hpa);
      end = p->p_offset + g->bytes;
    }
    if (held == sizeof batch / sizeof *batch || i + 1 == s->n) {
      if (put(fd, batch, held * sizeof *batch, table))
        return IMS_ERR_IO;
      table += held * sizeof *batch;
      held = 0;
    }
  }

  struct output o = {fd, s, 0, data};
  if (s->n > 0 && s->v[0].bytes > 0)
    o.offset = align(data, s->v[0].hpa);
  return ims_mem_scan(m, put_piece, &o);
}

// A new file beside `path`; its name goes to *name (to free).
static int open_beside(const char *path, char **name) {
  size_t len = strlen(path) + sizeof ".tmp4294967295";
  if (!(*name = malloc(len)))
    return IMS_ERR_NOMEM;
  for (unsigned i = 0; i < 1000; i++) {
    snprintf(*name, len, "%s.tmp%u", path, i);
    int fd = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0)
      return fd;
    if (errno != EEXIST)
      break;
  }
  free(*name);
  *name = NULL;
  return IMS_ERR_IO;
}

int ims_image_save_elf(struct ims_mem *m, const char *path) {
  struct segments s = {NULL, 0, 0};
  char *name = NULL;
  int fd = -1;
  int rc = ims_mem_scan(m, cut, &s);
  if (!rc && s.n > UINT32_MAX) // sh_info
    rc = IMS_ERR_NOMEM;
  if (!rc && (fd = open_beside(path, &name)) < 0)
    rc = fd;
  if (fd >= 0) {
    rc = write_core(m, fd, &s);
    if (close(fd) != 0 && !rc)
      rc = IMS_ERR_IO;
    if (!rc && rename(name, path) != 0)
      rc = IMS_ERR_IO;
    if (rc)
      unlink(name);
  }
  free(name);
  free(s.v);
  return rc;
}
