// SPDX-License-Identifier: Apache-2.0
// Several threads on the same and on their own descriptors, with processes and signals in between.
#define _GNU_SOURCE
#include "client.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { THREADS = 4, ROUNDS = 200 };

static int common;
static volatile sig_atomic_t ticks;

// A handler that calls into the shim itself.
static void tick(int signal) {
  (void)signal;
  int saved = errno;
  ticks++;
  struct destroy d = {sizeof d, 0};
  ioctl(common, IOMMU_DESTROY, &d);
  errno = saved;
}

static void *work(void *arg) {
  char *memory = aligned_alloc(4096, 4096);
  uint64_t iova = (uint64_t)(uintptr_t)arg * 0x100000;
  for (int i = 0; i < ROUNDS; i++) {
    uint32_t ioas = new_ioas(common);
    CHECK(map_fixed(common, ioas, memory, 4096, iova) == 0);
    int own = open("/dev/iommu", O_RDWR);
    CHECK(own >= 0 && new_ioas(own) == 1);
    int copy = dup(own);
    CHECK(close(own) == 0);
    CHECK(new_ioas(copy) == 2);
    CHECK(close(copy) == 0);
    struct destroy d = {sizeof d, ioas};
    CHECK(ioctl(common, IOMMU_DESTROY, &d) == 0);
  }
  free(memory);
  return NULL;
}

static void *forks(void *arg) {
  for (int i = 0; i < 20; i++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (!child) {
      new_ioas(common);
      _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
  }
  return arg;
}

int main(void) {
  common = open("/dev/iommu", O_RDWR);
  CHECK(common >= 0);
  struct sigaction sa = {.sa_handler = tick, .sa_flags = SA_RESTART};
  CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
  struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
  CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
  pthread_t thread[THREADS + 1];
  for (int i = 0; i < THREADS; i++)
    CHECK(pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)(i + 1)) == 0);
  CHECK(pthread_create(&thread[THREADS], NULL, forks, NULL) == 0);
  for (int i = 0; i <= THREADS; i++)
    CHECK(pthread_join(thread[i], NULL) == 0);
  CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
  CHECK(ticks > 0);
  // What the children made is left, under whichever numbers were free.
  unsigned left = 0;
  for (uint32_t id = 1; id < 100; id++) {
    struct destroy d = {sizeof d, id};
    left += ioctl(common, IOMMU_DESTROY, &d) == 0;
  }
  CHECK(left == 20);
  return 0;
}
