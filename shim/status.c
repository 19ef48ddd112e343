// SPDX-License-Identifier: Apache-2.0
// What a process may, and what it has pinned: its capabilities and limits are those that the real kernel knows, told to the
// simulated one before each ioctl; and /proc/PID/status says in VmLck and VmPin what the simulated kernel has pinned.
#define _GNU_SOURCE
#include "shim/arena.h"
#include "shim/record.h"
#include "shim/shim_internal.h"
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

// A capability that a container withholds from everybody says nothing about the simulated machine: root has it there.
static bool has_cap(const struct __user_cap_data_struct *data, unsigned cap) {
  if (data[cap / 32].effective >> cap % 32 & 1)
    return true;
  return shim_sys(SYS_prctl, (long)PR_CAPBSET_READ, (long)cap) == 0 && shim_sys(SYS_geteuid) == 0;
}

void shim_tell_rights(struct shim_proc *p) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
  struct rlimit64 limit = {RLIM64_INFINITY, RLIM64_INFINITY};
  shim_sys(SYS_capget, &header, data);
  const unsigned caps = (has_cap(data, CAP_IPC_LOCK) ? (unsigned)IMS_CAP_IPC_LOCK : 0u) |
                        (has_cap(data, CAP_SYS_RESOURCE) ? (unsigned)IMS_CAP_SYS_RESOURCE : 0u) |
                        (has_cap(data, CAP_SYS_RAWIO) ? (unsigned)IMS_CAP_SYS_RAWIO : 0u);
  shim_sys(SYS_prlimit64, 0L, (long)RLIMIT_MEMLOCK, NULL, &limit);
  ims_process_set_caps(p->process, caps);
  ims_process_set_memlock(p->process, limit.rlim_cur);
  shim_record_rights(p->shim, p, caps, limit.rlim_cur);
}

// /proc/self/status, /proc/PID/status.
static struct shim_proc *process_of(const char *path) {
  char *end;
  if (strncmp(path, "/proc/", 6))
    return NULL;
  long pid = strtol(path + 6, &end, 10);
  if (!strncmp(path + 6, "self/", 5)) {
    pid = getpid();
    end = (char *)(uintptr_t)path + 10;
  }
  if (strcmp(end, "/status"))
    return NULL;
  struct shim_proc *p = shim_state->procs;
  while (p && (p->gone || p->pid != pid))
    p = p->next;
  return p && p->process ? p : NULL;
}

// Copies a line, with `pages` added to the number of kB in it.
static size_t put_line(char *to, const char *line, size_t len, uint64_t pages) {
  if (!pages) {
    memcpy(to, line, len);
    return len;
  }
  return (size_t)sprintf(to, "%.6s\t%8llu kB\n", line, strtoul(line + 6, NULL, 10) + pages * (SHIM_PAGE / 1024));
}

long shim_status_file(const char *path) {
  if (!shim_state || !shim_state->built || !path || strncmp(path, "/proc/", 6) || !strstr(path, "/status"))
    return -1;
  struct shim_guard g = shim_enter();
  struct shim_proc *p = process_of(path);
  struct ims_pin_counts pins = {0, 0, 0};
  if (p)
    ims_process_pins(p->process, &pins);
  shim_leave(g);
  if (!p || !(pins.pinned | pins.locked))
    return -1;
  char text[8192], out[8192 + 128];
  long from = shim_sys(SYS_openat, (long)AT_FDCWD, path, (long)(O_RDONLY | O_CLOEXEC), 0L);
  long n = from >= 0 ? shim_sys(SYS_read, from, text, sizeof text - 1) : -1;
  if (from >= 0)
    shim_sys(SYS_close, from);
  if (n <= 0)
    return -1;
  text[n] = 0;
  size_t len = 0;
  for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
    len += put_line(out + len, line, (size_t)(end + 1 - line),
                    !strncmp(line, "VmLck:", 6)   ? pins.locked
                    : !strncmp(line, "VmPin:", 6) ? pins.pinned
                                                  : 0);
  long fd = shim_sys(SYS_memfd_create, "status", 0L);
  if (fd < 0)
    return -1;
  shim_sys(SYS_pwrite64, fd, out, len, 0L);
  return fd;
}
