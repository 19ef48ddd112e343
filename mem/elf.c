// SPDX-License-Identifier: Apache-2.0
// Memory out of ELF64 core files. System V gABI, "ELF Header" and "Program Header"; e_phnum = PN_XNUM as gABI says under
// e_phnum. Nothing in the file is trusted: each offset and size is checked against the file before it is used.
//
// The work, n segments: check all headers; cut overlaps out in one sweep over the sorted segments (n log n); join what is
// adjacent; give every piece host memory (the file's mapping, one reservation for all zeros); hand all to the memory.
#define _GNU_SOURCE
#include "mem/backing_internal.h"
#include "mem/file_internal.h"
#include "mem/image.h"
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

// Pieces that share bytes of the file with another one need bytes of their own. Small ones are copied, as long as the
// copies stay within bounds; the others are mapped once more.
#define COPY_PIECE (64u << 10)
#define COPY_TOTAL (256u << 20)

enum from { FROM_FILE, FROM_ZERO, FROM_COPY, FROM_MAP };

// A stretch of memory and where its bytes come from. `rank` is twice the number of its program header, plus one for the
// zeros of it: of two that overlap the lower one counts.
struct piece {
  uint64_t hpa, size, offset, rank;
  enum from from;
};

struct pieces {
  struct piece *v;
  size_t n, capacity;
};

static bool push(struct pieces *p, const struct piece *one) {
  if (p->n == p->capacity) {
    size_t capacity = p->capacity ? p->capacity * 2 : 64;
    struct piece *v = capacity > SIZE_MAX / sizeof *v ? NULL : realloc(p->v, capacity * sizeof *v);
    if (!v)
      return false;
    p->v = v;
    p->capacity = capacity;
  }
  p->v[p->n++] = *one;
  return true;
}

static int by_hpa(const void *a, const void *b) {
  const struct piece *x = (const struct piece *)a, *y = (const struct piece *)b;
  if (x->hpa != y->hpa)
    return x->hpa < y->hpa ? -1 : 1;
  return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static int by_offset(const void *a, const void *b) {
  const struct piece *x = *(struct piece *const *)a, *y = *(struct piece *const *)b;
  if (x->offset != y->offset)
    return x->offset < y->offset ? -1 : 1;
  return x->hpa < y->hpa ? -1 : x->hpa > y->hpa;
}

// --- reading headers --------------------------------------------------------------------------------------------------

#define FAIL(offset, ...) ims_image_fail(err, IMS_ERR_FORMAT, (offset), __VA_ARGS__)
#define AT(type, field)   offsetof(type, field)

static int read_header(const struct ims_file *f, Elf64_Ehdr *h, uint64_t *phnum, struct ims_image_error *err) {
  if (f->size < SELFMAG || memcmp(f->bytes, ELFMAG, SELFMAG) != 0)
    return FAIL(0, "e_ident: found no ELF magic, expected 7f 45 4c 46");
  if (f->size < sizeof *h)
    return FAIL(f->size, "ELF header: found a file of %" PRIu64 " bytes, expected at least %zu", f->size, sizeof *h);
  memcpy(h, f->bytes, sizeof *h);
  if (h->e_ident[EI_CLASS] != ELFCLASS64)
    return FAIL(EI_CLASS, "e_ident[EI_CLASS]: found %u%s, expected 2 (ELF64)", h->e_ident[EI_CLASS],
                h->e_ident[EI_CLASS] == ELFCLASS32 ? " (ELF32)" : "");
  if (h->e_ident[EI_DATA] != ELFDATA2LSB)
    return FAIL(EI_DATA, "e_ident[EI_DATA]: found %u%s, expected 1 (little-endian)", h->e_ident[EI_DATA],
                h->e_ident[EI_DATA] == ELFDATA2MSB ? " (big-endian)" : "");
  if (h->e_ident[EI_VERSION] != EV_CURRENT)
    return FAIL(EI_VERSION, "e_ident[EI_VERSION]: found %u, expected 1", h->e_ident[EI_VERSION]);
  // An executable's p_paddr are physical addresses just as well; relocatable and shared objects have none.
  if (h->e_type != ET_CORE && h->e_type != ET_EXEC)
    return FAIL(AT(Elf64_Ehdr, e_type), "e_type: found %u, expected 4 (core) or 2 (executable)", h->e_type);

  *phnum = h->e_phnum;
  if (h->e_phnum == PN_XNUM) {
    Elf64_Shdr s;
    if (h->e_shentsize != sizeof s)
      return FAIL(AT(Elf64_Ehdr, e_shentsize), "e_shentsize: found %u with e_phnum = PN_XNUM, expected %zu",
                  h->e_shentsize, sizeof s);
    if (h->e_shoff == 0 || h->e_shoff > f->size || f->size - h->e_shoff < sizeof s)
      return FAIL(AT(Elf64_Ehdr, e_shoff),
                  "e_shoff: found 0x%" PRIx64 " with e_phnum = PN_XNUM, expected a section header within 0x%" PRIx64
                  " bytes of file",
                  h->e_shoff, f->size);
    memcpy(&s, f->bytes + h->e_shoff, sizeof s);
    if (s.sh_info == 0)
      return FAIL(
          h->e_shoff + AT(Elf64_Shdr, sh_info),
          "sh_info of section header 0: found 0 with e_phnum = PN_XNUM, expected the number of program headers");
    *phnum = s.sh_info;
  }
  if (*phnum == 0)
    return IMS_ERR_OK;
  if (h->e_phentsize != sizeof(Elf64_Phdr))
    return FAIL(AT(Elf64_Ehdr, e_phentsize), "e_phentsize: found %u, expected %zu", h->e_phentsize, sizeof(Elf64_Phdr));
  if (h->e_phoff > f->size || *phnum > (f->size - h->e_phoff) / sizeof(Elf64_Phdr))
    return FAIL(AT(Elf64_Ehdr, e_phoff),
                "e_phoff: found 0x%" PRIx64 " with %" PRIu64 " program headers, expected them within 0x%" PRIx64
                " bytes of file",
                h->e_phoff, *phnum, f->size);
  return IMS_ERR_OK;
}

static int read_segments(const struct ims_file *f, const Elf64_Ehdr *h, uint64_t phnum, struct pieces *out,
                         struct ims_image_error *err) {
  for (uint64_t i = 0; i < phnum; i++) {
    Elf64_Phdr p;
    uint64_t at = h->e_phoff + i * sizeof p;
    memcpy(&p, f->bytes + at, sizeof p);
    if (p.p_type != PT_LOAD || (p.p_memsz == 0 && p.p_filesz == 0))
      continue;
    if (p.p_memsz < p.p_filesz)
      return FAIL(at + AT(Elf64_Phdr, p_memsz),
                  "program header %" PRIu64 ": p_memsz: found 0x%" PRIx64 ", expected at least p_filesz 0x%" PRIx64, i,
                  p.p_memsz, p.p_filesz);
    if (p.p_paddr >= IMS_MEM_ADDR_END)
      return FAIL(at + AT(Elf64_Phdr, p_paddr),
                  "program header %" PRIu64 ": p_paddr: found 0x%" PRIx64 ", expected at most %d bits", i, p.p_paddr,
                  IMS_MEM_ADDR_BITS);
    if (p.p_memsz > IMS_MEM_ADDR_END - p.p_paddr)
      return FAIL(at + AT(Elf64_Phdr, p_memsz),
                  "program header %" PRIu64 ": p_memsz: found 0x%" PRIx64 " at p_paddr 0x%" PRIx64
                  ", expected an end within %d bits",
                  i, p.p_memsz, p.p_paddr, IMS_MEM_ADDR_BITS);
    if (p.p_filesz > 0 && p.p_offset >= f->size)
      return FAIL(at + AT(Elf64_Phdr, p_offset),
                  "program header %" PRIu64 ": p_offset: found 0x%" PRIx64 ", expected less than the file's 0x%" PRIx64
                  " bytes",
                  i, p.p_offset, f->size);
    if (p.p_filesz > 0 && p.p_filesz > f->size - p.p_offset)
      return FAIL(at + AT(Elf64_Phdr, p_filesz),
                  "program header %" PRIu64 ": p_filesz: found 0x%" PRIx64 " at p_offset 0x%" PRIx64
                  ", expected an end within the file's 0x%" PRIx64 " bytes",
                  i, p.p_filesz, p.p_offset, f->size);
    struct piece bytes = {p.p_paddr, p.p_filesz, p.p_offset, 2 * i, FROM_FILE};
    struct piece zeros = {p.p_paddr + p.p_filesz, p.p_memsz - p.p_filesz, 0, 2 * i + 1, FROM_ZERO};
    if ((bytes.size > 0 && !push(out, &bytes)) || (zeros.size > 0 && !push(out, &zeros)))
      return ims_image_fail(err, IMS_ERR_NOMEM, 0, "out of host memory");
  }
  return IMS_ERR_OK;
}

// --- overlaps ---------------------------------------------------------------------------------------------------------

// A binary heap of the pieces that cover the point of the sweep, lowest rank on top.
static void heap_push(struct piece **heap, size_t n, struct piece *one) {
  size_t i = n;
  for (; i > 0 && heap[(i - 1) / 2]->rank > one->rank; i = (i - 1) / 2)
    heap[i] = heap[(i - 1) / 2];
  heap[i] = one;
}

static void heap_pop(struct piece **heap, size_t n) { // n: size before
  struct piece *last = heap[n - 1];
  size_t i = 0;
  for (size_t k; (k = 2 * i + 1) < n - 1; i = k) {
    if (k + 1 < n - 1 && heap[k + 1]->rank < heap[k]->rank)
      k++;
    if (heap[k]->rank >= last->rank)
      break;
    heap[i] = heap[k];
  }
  heap[i] = last;
}

// Appends, joined with the piece before where both go on alike.
static bool emit(struct pieces *out, const struct piece *from, uint64_t start, uint64_t end) {
  struct piece one = *from;
  one.hpa = start;
  one.size = end - start;
  if (from->from == FROM_FILE)
    one.offset += start - from->hpa;
  if (out->n > 0) {
    struct piece *last = &out->v[out->n - 1];
    if (last->from == one.from && last->hpa + last->size == start &&
        (one.from == FROM_ZERO || last->offset + last->size == one.offset)) {
      last->size += one.size;
      return true;
    }
  }
  return push(out, &one);
}

// Sorts `in`; `out` gets what counts of it: sorted, apart from each other, at most twice as many.
static int sweep(struct pieces *in, struct pieces *out) {
  if (in->n == 0)
    return IMS_ERR_OK;
  struct piece **heap = malloc(in->n * sizeof(struct piece *));
  if (!heap)
    return IMS_ERR_NOMEM;
  qsort(in->v, in->n, sizeof *in->v, by_hpa);

  size_t open = 0, next = 0;
  uint64_t pos = 0;
  bool ok = true;
  while (ok && (next < in->n || open > 0)) {
    if (open == 0)
      pos = in->v[next].hpa;
    for (; next < in->n && in->v[next].hpa == pos; next++)
      heap_push(heap, open++, &in->v[next]);
    struct piece *top = heap[0];
    uint64_t end = top->hpa + top->size;
    if (end <= pos) { // ended while a lower rank covered it
      heap_pop(heap, open--);
      continue;
    }
    if (next < in->n && in->v[next].hpa < end)
      end = in->v[next].hpa;
    ok = emit(out, top, pos, end);
    pos = end;
  }
  free(heap);
  return ok ? IMS_ERR_OK : IMS_ERR_NOMEM;
}

// --- host memory ------------------------------------------------------------------------------------------------------

// Finds file pieces that share bytes with another one, and marks them for a copy or a mapping of their own.
static int unshare(struct pieces *p) {
  struct piece **file = p->n ? malloc(p->n * sizeof(struct piece *)) : NULL;
  if (!file && p->n)
    return IMS_ERR_NOMEM;
  size_t n = 0;
  for (size_t i = 0; i < p->n; i++)
    if (p->v[i].from == FROM_FILE)
      file[n++] = &p->v[i];
  if (n > 0)
    qsort(file, n, sizeof(struct piece *), by_offset);
  uint64_t end = 0, copied = 0;
  for (size_t i = 0; i < n; i++) {
    if (file[i]->offset >= end) {
      end = file[i]->offset + file[i]->size;
    } else if (file[i]->size <= COPY_PIECE && copied + file[i]->size <= COPY_TOTAL) {
      file[i]->from = FROM_COPY;
      copied += file[i]->size;
    } else {
      file[i]->from = FROM_MAP;
    }
  }
  free(file);
  return IMS_ERR_OK;
}

// What a load has set up and gives to the memory at the end, or takes back.
struct host {
  struct ims_file file;
  uint8_t *zeros;
  uint64_t zeros_size, zeros_live, file_live;
  struct ims_mem_backing *maps, *file_node, *zeros_node;
};

static int map_again(struct host *h, const struct piece *p, uint8_t **at) {
  uint64_t lead = p->offset & ((uint64_t)sysconf(_SC_PAGESIZE) - 1);
  struct ims_mem_backing *node = malloc(sizeof *node);
  if (!node)
    return IMS_ERR_NOMEM;
  void *m = mmap(NULL, (size_t)(p->size + lead), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, h->file.fd,
                 (off_t)(p->offset - lead));
  if (m == MAP_FAILED) {
    free(node);
    return IMS_ERR_NOMEM;
  }
  *node = (struct ims_mem_backing){h->maps, (uint8_t *)m, (size_t)(p->size + lead), p->size};
  h->maps = node;
  *at = (uint8_t *)m + lead;
  return IMS_ERR_OK;
}

// Where the next piece of the reservation goes: as far into a page as its hpa is, so that whole pages of the simulated
// machine are whole pages of the host.
static uint64_t place(uint64_t used, uint64_t hpa) { return used + ((hpa - used) & (IMS_MEM_PAGE - 1)); }

static int back(struct host *h, const struct pieces *p, struct ims_mem_region *r) {
  uint64_t used = 0;
  for (size_t i = 0; i < p->n; i++) // cannot wrap: all pieces together are at most 2^52, plus a page for each
    if (p->v[i].from == FROM_ZERO || p->v[i].from == FROM_COPY)
      used = place(used, p->v[i].hpa) + p->v[i].size;
  h->file_node = malloc(sizeof *h->file_node);
  h->zeros_node = malloc(sizeof *h->zeros_node);
  if (!h->file_node || !h->zeros_node)
    return IMS_ERR_NOMEM;
  if (used > 0 && !(h->zeros = ims_mem_map_anon(used)))
    return IMS_ERR_NOMEM;
  h->zeros_size = used;

  used = 0;
  for (size_t i = 0; i < p->n; i++) {
    const struct piece *one = &p->v[i];
    r[i] = (struct ims_mem_region){one->hpa, one->size, NULL, false};
    if (one->from == FROM_FILE) {
      r[i].host = h->file.bytes + one->offset;
      h->file_live += one->size;
    } else if (one->from == FROM_MAP) {
      int rc = map_again(h, one, &r[i].host);
      if (rc)
        return rc;
    } else {
      used = place(used, one->hpa);
      r[i].host = h->zeros + used;
      r[i].anon = true;
      if (one->from == FROM_COPY)
        memcpy(r[i].host, h->file.bytes + one->offset, (size_t)one->size);
      used += one->size;
      h->zeros_live += one->size;
    }
  }
  return IMS_ERR_OK;
}

// Gives everything to `m`. Mappings that no region uses go.
static void keep(struct host *h, struct ims_mem *m) {
  while (h->maps) {
    struct ims_mem_backing *b = h->maps;
    h->maps = b->next;
    ims_mem_own(m, b, b->addr, b->len, b->live);
  }
  if (h->file_live) {
    ims_mem_own(m, h->file_node, h->file.bytes, (size_t)h->file.size, h->file_live);
    h->file_node = NULL;
    h->file.bytes = NULL;
  }
  if (h->zeros) {
    ims_mem_own(m, h->zeros_node, h->zeros, (size_t)h->zeros_size, h->zeros_live);
    h->zeros_node = NULL;
    h->zeros = NULL;
  }
}

static void drop(struct host *h) {
  while (h->maps) {
    struct ims_mem_backing *b = h->maps;
    h->maps = b->next;
    munmap(b->addr, b->len);
    free(b);
  }
  if (h->zeros)
    munmap(h->zeros, (size_t)h->zeros_size);
  free(h->zeros_node);
  free(h->file_node);
  ims_file_unmap(&h->file);
  ims_file_close(&h->file);
}

// --- entry points -----------------------------------------------------------------------------------------------------

bool ims_image_is_elf(const char *path) {
  char magic[SELFMAG];
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return false;
  bool yes = pread(fd, magic, sizeof magic, 0) == SELFMAG && memcmp(magic, ELFMAG, SELFMAG) == 0;
  close(fd);
  return yes;
}

// Adds sound segments to `m`. On OVERLAP *clash is the piece that met other memory.
static int add(struct ims_mem *m, struct host *h, struct pieces *all, struct pieces *some, const struct piece **clash) {
  int rc = sweep(all, some);
  if (!rc)
    rc = unshare(some);
  if (rc || some->n == 0)
    return rc;
  struct ims_mem_region *region = malloc(some->n * sizeof *region);
  if (!region)
    return IMS_ERR_NOMEM;
  size_t at = 0;
  rc = back(h, some, region);
  if (!rc)
    rc = ims_mem_insert(m, region, some->n, &at);
  if (!rc)
    keep(h, m);
  else if (rc == IMS_ERR_OVERLAP)
    *clash = &some->v[at];
  free(region);
  return rc;
}

int ims_image_load_elf(struct ims_mem *m, const char *path, struct ims_image_error *err) {
  struct host h;
  memset(&h, 0, sizeof h);
  int rc = ims_file_open(&h.file, path, err);
  if (rc)
    return rc;

  Elf64_Ehdr header = {.e_phoff = 0};
  uint64_t phnum = 0;
  struct pieces all = {NULL, 0, 0}, some = {NULL, 0, 0};
  rc = read_header(&h.file, &header, &phnum, err);
  if (!rc)
    rc = read_segments(&h.file, &header, phnum, &all, err);
  if (!rc) { // from here on the file is sound; what can go wrong is the host, and the memory there already
    const struct piece *clash = NULL;
    rc = add(m, &h, &all, &some, &clash);
    if (clash)
      ims_image_fail(err, rc, header.e_phoff + clash->rank / 2 * sizeof(Elf64_Phdr),
                     "program header %" PRIu64 ": found 0x%" PRIx64 " bytes at 0x%" PRIx64
                     ", expected no memory there already",
                     clash->rank / 2, clash->size, clash->hpa);
    else if (rc)
      ims_image_fail(err, rc, 0, "cannot map %zu pieces of memory: %s", some.n, ims_strerror(rc));
  }
  free(some.v);
  free(all.v);
  drop(&h);
  return rc;
}
