// SPDX-License-Identifier: Apache-2.0
// Start, the lock, processes: who there is, fork, and burying those that are gone.
#define _GNU_SOURCE
#include "shim/arena.h"
#include "shim/record.h"
#include "shim/shim_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct shim *shim_state;
struct shim_proc *shim_me;
uint64_t shim_fd_bits[SHIM_MAX_FD / 64];
bool shim_strip_huge;

static void forked(void);

static pthread_once_t once = PTHREAD_ONCE_INIT;

long shim_sys(long number, ...) {
  va_list ap;
  long a[6];
  va_start(ap, number);
  for (int i = 0; i < 6; i++)
    a[i] = va_arg(ap, long);
  va_end(ap);
  int saved = errno;
  long ret = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (ret == -1) {
    ret = -errno;
    errno = saved;
  }
  return ret;
}

static void shared_mutex(pthread_mutex_t *m) {
  pthread_mutexattr_t attr;
  pthread_mutexattr_init(&attr);
  pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(m, &attr);
  pthread_mutexattr_destroy(&attr);
}

static struct shim_proc *proc_new(struct shim *s) {
  struct shim_proc *p = shim_zalloc(sizeof *p);
  if (!p)
    return NULL;
  p->shim = s;
  p->id = s->next_proc++;
  p->record = -1;
  shared_mutex(&p->alive);
  p->next = s->procs;
  s->procs = p;
  return p;
}

// Huge pages that the machine does not have cannot be asked for: then MAP_HUGETLB is dropped, unless the user says keep.
static bool strip_huge(void) {
  const char *word = getenv("IOMMUSIM_HUGETLB");
  if (word && !strcmp(word, "strip"))
    return true;
  if (word && !strcmp(word, "keep"))
    return false;
  char text[32] = "";
  long fd = shim_sys(SYS_openat, AT_FDCWD, "/proc/sys/vm/nr_hugepages", O_RDONLY | O_CLOEXEC, 0);
  if (fd >= 0) {
    shim_sys(SYS_read, fd, text, sizeof text - 1);
    shim_sys(SYS_close, fd);
  }
  return strtoul(text, NULL, 10) == 0;
}

// A variable that names a file, from where the program was started.
static char *path_from(const char *variable) {
  const char *value = getenv(variable);
  char cwd[4096] = "";
  if (!value || !*value)
    return NULL;
  if (*value != '/')
    shim_sys(SYS_getcwd, cwd, sizeof cwd);
  size_t n = strlen(cwd), len = strlen(value);
  char *path = shim_alloc(n + len + 2);
  if (path)
    sprintf(path, "%s%s%s", cwd, n ? "/" : "", value);
  return path;
}

static void start(void) {
  int saved = errno;
  if (shim_arena_init()) {
    struct shim *s = shim_zalloc(sizeof *s);
    if (s) {
      shared_mutex(&s->lock);
      s->next_proc = 1;
      struct shim_proc *p = proc_new(s);
      if (p) {
        p->pid = getpid();
        pthread_mutex_lock(&p->alive);
        p->started = true;
        shim_strip_huge = strip_huge();
        s->system_path = path_from("IOMMUSIM_SYSTEM");
        s->record_path = path_from("IOMMUSIM_RECORD");
        shim_me = p;
        shim_state = s;
        pthread_atfork(NULL, NULL, forked);
      }
    }
  }
  if (!shim_state)
    dprintf(2, "iommusim: no address space for the simulator: off\n");
  errno = saved;
}

bool shim_start(void) {
  if (!shim_state)
    pthread_once(&once, start);
  return shim_state != NULL;
}

__attribute__((constructor)) static void at_start(void) { shim_start(); }
__attribute__((destructor)) static void at_end(void) { shim_process_over(); }

// ---- Processes that are gone ----------------------------------------------------------------------------------------

// The first thread is gone. The process is too, unless other threads of it live on; after an exec it is another program.
static bool really_gone(pid_t pid) {
  char path[32], text[512] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  long fd = shim_sys(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0)
    return true;
  long n = shim_sys(SYS_read, fd, text, sizeof text - 1);
  shim_sys(SYS_close, fd);
  const char *at = n > 0 ? strrchr(text, ')') : NULL;
  char state;
  long threads;
  if (!at ||
      sscanf(at + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld", &state, &threads) != 2)
    return true;
  return !(state == 'Z' && threads > 1);
}

static bool is_gone(struct shim_proc *p) {
  if (!p->started)
    return p->pid && shim_sys(SYS_kill, (long)p->pid, 0L) == -ESRCH;
  int rc = pthread_mutex_trylock(&p->alive);
  if (rc == EBUSY)
    return false;
  if (rc == EOWNERDEAD || rc == 0) {
    // Put back as it was found: unlocked without being made consistent it answers ENOTRECOVERABLE from now on.
    pthread_mutex_unlock(&p->alive);
  }
  return really_gone(p->pid);
}

// Its descriptors are closed, its memory is nobody's. The struct stays as long as pages are known by its number.
static void bury(struct shim_proc *p) {
  struct shim *s = p->shim;
  for (struct shim_proc **at = &s->procs; *at; at = &(*at)->next)
    if (*at == p) {
      *at = p->next;
      break;
    }
  p->next = s->buried;
  s->buried = p;
  p->gone = true;
  shim_close_all(p, false);
  if (p->process)
    ims_process_exit(p->process);
  p->process = NULL;
  shim_record_exit(s, p);
  shim_free(p->vma);
  p->vma = NULL;
  p->vmas = p->vma_room = 0;
}

static void bury_dead(struct shim *s) {
  for (struct shim_proc *p = s->procs, *next; p; p = next) {
    next = p->next;
    if (p != shim_me && is_gone(p))
      bury(p);
  }
}

struct shim_proc *shim_proc_by_id(uint32_t id) {
  struct shim_proc *p = shim_state->procs;
  while (p && p->id != id)
    p = p->next;
  return p;
}

// ---- The lock -------------------------------------------------------------------------------------------------------

struct shim_guard shim_enter(void) {
  struct shim_guard g = {0};
  uint64_t all = ~0ull;
  int saved = errno;
  shim_sys(SYS_rt_sigprocmask, (long)SIG_BLOCK, &all, &g.signals, 8L);
  if (pthread_mutex_lock(&shim_state->lock) == EOWNERDEAD) {
    // Killed in the middle of a call: what it left is the best there is.
    pthread_mutex_consistent(&shim_state->lock);
    dprintf(2, "iommusim: a process was killed during a call; the machine may be inconsistent\n");
  }
  shim_state->calling = shim_me;
  shim_state->calls++;
  if (shim_state->procs->next)
    bury_dead(shim_state);
  errno = saved;
  return g;
}

void shim_leave(struct shim_guard g) {
  int saved = errno;
  pthread_mutex_unlock(&shim_state->lock);
  shim_sys(SYS_rt_sigprocmask, (long)SIG_SETMASK, &g.signals, NULL, 8L);
  errno = saved;
}

bool shim_machine(void) {
  struct shim *s = shim_state;
  if (s->failed || !shim_me || shim_me->gone)
    return false;
  if (!s->built) {
    char why[512] = "";
    s->built = shim_machine_build(s, why, sizeof why);
    s->failed = !s->built;
    if (s->failed) {
      dprintf(2, "iommusim: %s: off, all calls go to the real kernel\n", why);
      return false;
    }
    struct ims_mem_remote remote = shim_remote(s);
    ims_mem_set_remote(s->mem, &remote);
  }
  if (!shim_me->process) {
    if (ims_process_new(s->kernel, &shim_me->process))
      return false;
    struct ims_user user = shim_user(shim_me);
    shim_record_process(s, shim_me, &user);
    ims_process_set_user(shim_me->process, &user);
  }
  return true;
}

// ---- Fork and the end -----------------------------------------------------------------------------------------------

static __thread bool in_fork; // the fork is ours, and provided for

// The C library's own forks, as daemon() makes them: the child looks after itself.
static void forked(void) {
  if (in_fork || !shim_me || shim_state->failed)
    return;
  struct shim_guard g = shim_enter();
  struct shim_proc *parent = shim_me, *child = proc_new(shim_state);
  if (child) {
    child->pid = getpid();
    pthread_mutex_lock(&child->alive);
    child->started = true;
    if (!shim_share_files(parent, child))
      shim_close_all(child, false);
  }
  shim_me = child;
  shim_leave(g);
}

pid_t shim_fork(void) {
  if (!shim_start())
    return shim_real_fork();
  // Before the machine is there, processes have nothing to share but where it will be: it is made now, in what they share.
  struct shim_guard g = shim_enter();
  struct shim *s = shim_state;
  struct shim_proc *parent = shim_me, *child = NULL;
  if (shim_machine() && (child = proc_new(s)) != NULL && !shim_share_files(parent, child)) {
    bury(child);
    shim_leave(g);
    errno = ENOMEM;
    return -1;
  }
  in_fork = true;
  pid_t pid = shim_real_fork();
  in_fork = false;
  if (pid == 0) { // the lock is the parent's
    shim_me = child;
    if (child) {
      pthread_mutex_lock(&child->alive);
      child->started = true;
      __atomic_store_n(&child->pid, getpid(), __ATOMIC_RELEASE);
    }
    shim_sys(SYS_rt_sigprocmask, (long)SIG_SETMASK, &g.signals, NULL, 8L);
    return 0;
  }
  int saved = errno;
  if (child && pid < 0)
    bury(child);
  else if (child)
    __atomic_store_n(&child->pid, pid, __ATOMIC_RELEASE);
  errno = saved;
  shim_leave(g);
  return pid;
}

void shim_process_over(void) {
  if (!shim_state || !shim_me || shim_me->pid != getpid())
    return;
  struct shim_guard g = shim_enter();
  if (!shim_me->gone) {
    bury(shim_me);
    bool last = !shim_state->procs;
    if (last)
      shim_record_end(shim_state);
    if (last && shim_state->tree[0])
      shim_tree_remove();
  }
  shim_leave(g);
}
