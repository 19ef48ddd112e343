// SPDX-License-Identifier: Apache-2.0
// Processes share open files over fork; those that end, in any way, let go of theirs.
#define _GNU_SOURCE
#include "client.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static void wait_for(pid_t child, int wanted) {
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  if (status != wanted)
    fprintf(stderr, "child: status 0x%x, expected 0x%x\n", (unsigned)status, (unsigned)wanted);
  CHECK(status == wanted);
}

static pid_t real_fork(int how) { return how ? vfork() : fork(); }

// What the child makes, the parent sees; closing is each one's own.
static void shared(int how) {
  int fd = open("/dev/iommu", O_RDWR);
  CHECK(new_ioas(fd) == 1);
  pid_t child = real_fork(how);
  CHECK(child >= 0);
  if (!child) {
    if (new_ioas(fd) != 2)
      _exit(1);
    close(fd);
    _exit(0);
  }
  wait_for(child, 0);
  CHECK(new_ioas(fd) == 3);
  close(fd);
}

// The child goes on when the parent has closed its own.
static void outlives(void) {
  int group = open("/dev/vfio/7", O_RDWR), go[2];
  char byte = 0;
  CHECK(group >= 0 && pipe(go) == 0);
  pid_t child = fork();
  if (!child) {
    close(go[1]);
    if (read(go[0], &byte, 1) != 1)
      _exit(1);
    uint32_t status[2] = {8, 0};
    _exit(ioctl(group, VFIO_GROUP_GET_STATUS, status) || status[1] != 1);
  }
  close(group);
  FAILS(open("/dev/vfio/7", O_RDWR), EBUSY);
  CHECK(write(go[1], &byte, 1) == 1);
  wait_for(child, 0);
  group = open("/dev/vfio/7", O_RDWR);
  CHECK(group >= 0);
  close(group);
}

// Ends without a word: what it held is free for others as soon as it is gone.
static void killed(int how) {
  int ready[2];
  char byte = 0;
  CHECK(pipe(ready) == 0);
  pid_t child = fork();
  if (!child) {
    int device = open("/dev/vfio/devices/vfio1", O_RDWR), iommufd = open("/dev/iommu", O_RDWR);
    bind_device(device, iommufd);
    int group = open("/dev/vfio/7", O_RDWR);
    if (group < 0 || write(ready[1], &byte, 1) != 1)
      _exit(1);
    if (how == 1)
      abort();
    if (how == 2)
      execl("/bin/true", "true", (char *)NULL);
    pause();
  }
  CHECK(read(ready[0], &byte, 1) == 1);
  if (how == 0) {
    FAILS(open("/dev/vfio/7", O_RDWR), EBUSY);
    kill(child, SIGKILL);
  }
  wait_for(child, how == 0 ? SIGKILL : how == 1 ? SIGABRT : 0);
  int group = open("/dev/vfio/7", O_RDWR);
  CHECK(group >= 0);
  close(group);
  int device = open("/dev/vfio/devices/vfio1", O_RDWR), iommufd = open("/dev/iommu", O_RDWR);
  bind_device(device, iommufd);
  close(device);
  close(iommufd);
  close(ready[0]);
  close(ready[1]);
}

// Killed, and not waited for yet: the kernel has closed its files all the same.
static void zombie(void) {
  int ready[2];
  char byte = 0;
  CHECK(pipe(ready) == 0);
  pid_t child = fork();
  if (!child) {
    int group = open("/dev/vfio/8", O_RDWR);
    if (group < 0 || write(ready[1], &byte, 1) != 1)
      _exit(1);
    pause();
  }
  CHECK(read(ready[0], &byte, 1) == 1);
  kill(child, SIGKILL);
  siginfo_t info;
  CHECK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0);
  int group = open("/dev/vfio/8", O_RDWR);
  CHECK(group >= 0);
  close(group);
  wait_for(child, SIGKILL);
}

// The grandchild of a process that is gone still shares.
static void grandchild(void) {
  int fd = open("/dev/iommu", O_RDWR), done[2];
  char byte = 0;
  CHECK(pipe(done) == 0);
  pid_t child = fork();
  if (!child) {
    if (!fork()) {
      byte = new_ioas(fd) == 1 ? 'y' : 'n';
      if (write(done[1], &byte, 1) != 1)
        _exit(1);
      _exit(0);
    }
    _exit(0);
  }
  wait_for(child, 0);
  CHECK(read(done[0], &byte, 1) == 1 && byte == 'y');
  CHECK(new_ioas(fd) == 2);
  close(fd);
}

// Memory that a child mapped is that child's: shared pages stay reachable when it is gone.
static void memory(void) {
  int fd = open("/dev/iommu", O_RDWR), device = open("/dev/vfio/devices/vfio0", O_RDWR);
  uint32_t ioas = new_ioas(fd);
  bind_device(device, fd);
  CHECK(attach_device(device, ioas) == 0);
  char *common = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  char *own = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pid_t child = fork();
  if (!child) {
    int bad = map_fixed(fd, ioas, common, 8192, 0x10000) || map_fixed(fd, ioas, own, 8192, 0x20000);
    exit(bad);
  }
  wait_for(child, 0);
  FAILS(map_fixed(fd, ioas, common, 8192, 0x10000), EEXIST);
  CHECK(unmap(fd, ioas, 0x10000, 8192) == 0);
  CHECK(unmap(fd, ioas, 0x20000, 8192) == 0);
  close(fd);
  close(device);
}

// The C library forks by itself, and the parent is gone without a word.
static void becomes_a_daemon(void) {
  int fd = open("/dev/iommu", O_RDWR), group = open("/dev/vfio/7", O_RDWR);
  CHECK(new_ioas(fd) == 1 && group >= 0);
  pid_t parent = getpid();
  CHECK(daemon(1, 1) == 0);
  while (getppid() == parent)
    usleep(1000);
  CHECK(new_ioas(fd) == 2);
  FAILS(open("/dev/vfio/7", O_RDWR), EBUSY);
  close(group);
  CHECK(open("/dev/vfio/7", O_RDWR) >= 0);
  printf("well\n");
}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "memory")) {
    memory();
    return 0;
  }
  if (argc > 1 && !strcmp(argv[1], "daemon")) {
    becomes_a_daemon();
    return 0;
  }
  for (int how = 0; how < 2; how++)
    shared(how);
  outlives();
  for (int how = 0; how < 3; how++)
    killed(how);
  zombie();
  grandchild();
  return 0;
}
