// SPDX-License-Identifier: Apache-2.0
// Client programs under LD_PRELOAD, each run with and checked by its exit status; and programs that have nothing to do with
// the simulator.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace {

struct Ran {
  int status;
  std::string output; // both streams
};

Ran run(const std::string &command, const std::string &environment = "") {
  std::string line = "env " + environment + " LD_PRELOAD=" IMS_SHIM " " + command + " 2>&1";
  Ran r = {-1, ""};
  FILE *f = popen(line.c_str(), "r");
  if (!f)
    return r;
  char buf[4096];
  for (size_t n; (n = fread(buf, 1, sizeof buf, f)) > 0;)
    r.output.append(buf, n);
  int status = pclose(f);
  r.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return r;
}

std::string client(const std::string &name) { return IMS_SHIM_CLIENTS "/" + name; }

void passes(const std::string &command, const std::string &environment = "") {
  Ran r = run(command, environment);
  EXPECT_EQ(r.status, 0) << command << "\n" << r.output;
}

std::string written(const std::string &name, const std::string &text) {
  std::string path = testing::TempDir() + name;
  std::ofstream(path) << text;
  return path;
}

TEST(ShimClient, OpensNodesAndFindsDevices) { passes(client("open")); }
TEST(ShimClient, CopiesAndClosesDescriptors) { passes(client("descriptors")); }
TEST(ShimClient, CallsInAllSpellings) { passes(client("calls")); }
TEST(ShimClient, FortifiedSpellings) { passes(client("fortified") + " 8"); }
TEST(ShimClient, BadPointersAreEfault) { passes(client("efault")); }
TEST(ShimClient, ForkSharesAndDeathReleases) { passes(client("fork")); }
TEST(ShimClient, PagesOfAProcessThatIsGone) { passes(client("fork") + " memory"); }
TEST(ShimClient, ADaemonKeepsWhatItsParentOpened) { EXPECT_EQ(run(client("fork") + " daemon").output, "well\n"); }
TEST(ShimClient, ThreadsProcessesAndSignals) { passes(client("threads")); }

TEST(ShimClient, MemoryAsADeviceSeesIt) { passes(client("dma")); }

// docs/tutorial-shim.md shows this output.
TEST(ShimClient, TheExampleOfTheTutorial) {
  EXPECT_EQ(run(client("example_dma")).output,
            "device 1 is attached to address space 2\n"
            "region 0: 131072 bytes, id 0x414d4449\n"
            "DMA read at 0x100000: status 1, the device has \"written by the program\"\n"
            "DMA write at 0x100800: status 1, the program has \"written by the device\"\n"
            "DMA write at 0x200000: status 2, 0 bytes\n");
}

// Too small a buffer ends the program, as without the shim.
TEST(ShimClient, FortifiedOverflowIsFound) {
  Ran r = run(client("fortified") + " 4096");
  EXPECT_EQ(r.status, 128 + 6) << r.output;
}

TEST(ShimPrograms, GoOnAsEver) {
  EXPECT_EQ(run("echo hello").output, "hello\n");
  EXPECT_EQ(run("bash -c 'x=$(echo a | tr a b); (exit 3); echo $x $?'").output, "b 3\n");
  EXPECT_EQ(run("bash -c 'for i in 1 2 3; do echo $i & done; wait' | sort | tr -d '\\n'").output, "123");
  EXPECT_EQ(run("ls -d /usr").output, "/usr\n");
  EXPECT_EQ(run("sh -c 'echo text | cat | wc -c'").output, "5\n");
  EXPECT_EQ(run("false").status, 1);
}

TEST(ShimPrograms, SeeWhatIsSimulated) {
  EXPECT_EQ(run("ls /dev/vfio").output, "7\n8\ndevices\nvfio\n");
  EXPECT_EQ(run("ls /dev/vfio/devices /sys/class/vfio-dev").output,
            "/dev/vfio/devices:\nvfio0\nvfio1\n\n/sys/class/vfio-dev:\nvfio0\nvfio1\n");
  EXPECT_EQ(run("cat /sys/bus/pci/devices/0000:00:04.0/vfio-dev/vfio1/dev").output, "511:1\n");
  EXPECT_EQ(run("stat -c '%F %t:%T' /dev/iommu").output, "character special file a:7a\n");
}

TEST(ShimPrograms, PythonOpensAnIommufd) {
  Ran r = run("/usr/bin/env python3 -c 'import os, fcntl, struct\n"
              "fd = os.open(\"/dev/iommu\", os.O_RDWR)\n"
              "b = bytearray(struct.pack(\"III\", 12, 0, 0))\n"
              "print(fcntl.ioctl(fd, 0x3b81, b), struct.unpack(\"III\", b)[2])'");
  if (r.status == 127)
    GTEST_SKIP() << "no python3 here";
  EXPECT_EQ(r.output, "0 1\n");
}

TEST(ShimPrograms, LeaveNothingBehind) {
  Ran r = run("sh -c 'ls /dev/vfio >/dev/null; exec true'");
  EXPECT_EQ(r.status, 0);
  r = run("bash -c 'ls /dev/vfio/devices; (ls /dev/vfio >/dev/null); x=$(< /sys/class/vfio-dev/vfio0/dev); echo $$'");
  std::string pid = r.output.substr(r.output.rfind('\n', r.output.size() - 2) + 1);
  EXPECT_EQ(run("sh -c 'ls -d /dev/shm/iommusim-" + pid.substr(0, pid.size() - 1) + "-* 2>/dev/null'").output, "");
}

TEST(ShimSystem, ComesFromTheFile) {
  std::string file = written("two.system", "iommusim-trace 1\nmemory hpa=0x0 size=1G\nkernel pool=16M pool_size=256M\n"
                                           "iommu mmu arch=smmuv3\ndevice d iommu=mmu source=00:05.0 group=21\n");
  EXPECT_EQ(run("ls /dev/vfio", "IOMMUSIM_SYSTEM=" + file).output, "21\ndevices\nvfio\n");
}

// What a unit cannot put out as an address is no place for the program's pages.
TEST(ShimSystem, PagesAreWithinReachOfTheUnit) {
  for (const char *unit : {"arch=smmuv3", "arch=smmuv3 oas=2", "arch=smmuv3 oas=6", "arch=vtd haw=39", "arch=vtd"}) {
    std::string file =
        written("reach.system", std::string("iommusim-trace 1\nmemory hpa=0x0 size=2G\nkernel pool=16M pool_size=1G") +
                                    (strstr(unit, "smmu") ? " cpu=arm-4K" : "") + "\niommu u " + unit +
                                    "\ndevice d iommu=u source=00:03.0 group=7\n");
    Ran r = run(client("example_dma"), "IOMMUSIM_SYSTEM=" + file);
    EXPECT_NE(r.output.find("the program has \"written by the device\""), std::string::npos) << unit << "\n"
                                                                                             << r.output;
  }
}

TEST(ShimSystem, ABadFileTurnsItOffWithAWord) {
  std::string file = written("bad.system", "iommusim-trace 1\nmemory hpa=0x0 sise=1G\n");
  Ran r = run("ls -d /dev/vfio/devices", "IOMMUSIM_SYSTEM=" + file);
  EXPECT_NE(r.status, 0);
  EXPECT_NE(r.output.find("bad.system:2:"), std::string::npos) << r.output;
  EXPECT_NE(r.output.find("off"), std::string::npos) << r.output;
  file =
      written("call.system", "iommusim-trace 1\nmemory hpa=0x0 size=1G\nkernel pool=16M pool_size=256M\nprocess p\n");
  r = run("ls -d /dev/vfio/devices", "IOMMUSIM_SYSTEM=" + file);
  EXPECT_NE(r.output.find("call.system:4:1: found `process`"), std::string::npos) << r.output;
  r = run("ls -d /dev/vfio/devices /dev/null", "IOMMUSIM_SYSTEM=/nowhere/at/all");
  EXPECT_NE(r.output.find("/nowhere/at/all: cannot be read"), std::string::npos) << r.output;
  EXPECT_NE(r.output.find("/dev/null\n"), std::string::npos) << r.output;
}

// What a program did under the shim, with all its processes and threads, comes out again without it.
class ShimRecord : public testing::TestWithParam<const char *> {};

TEST_P(ShimRecord, ReplaysTheSame) {
  std::string file = testing::TempDir() + "shim_" + std::to_string(getpid()) + ".trace.zst";
  passes(client(GetParam()), "IOMMUSIM_RECORD=" + file);
  FILE *f = popen((std::string(IMS_PROGRAM) + " run " + file + " 2>&1").c_str(), "r");
  ASSERT_TRUE(f);
  std::string said;
  char buf[4096];
  for (size_t n; (n = fread(buf, 1, sizeof buf, f)) > 0;)
    said.append(buf, n);
  EXPECT_EQ(pclose(f), 0) << said.substr(said.size() > 2000 ? said.size() - 2000 : 0);
  EXPECT_NE(said.find(" held, 0 failed"), std::string::npos);
  EXPECT_EQ(said.find("expectations    0 held"), std::string::npos);
  remove(file.c_str());
}

INSTANTIATE_TEST_SUITE_P(Clients, ShimRecord,
                         testing::Values("open", "descriptors", "calls", "efault", "fork", "fork memory", "dma",
                                         "threads", "example_dma"),
                         [](const auto &test) {
                           std::string name = test.param;
                           for (char &c : name)
                             c = c == ' ' ? '_' : c;
                           return name;
                         });

TEST(ShimRecordFile, CannotBeWritten) {
  Ran r = run(client("calls"), "IOMMUSIM_RECORD=/nowhere/at/all");
  EXPECT_EQ(r.status, 0);
  EXPECT_NE(r.output.find("/nowhere/at/all: cannot be written: nothing is recorded"), std::string::npos) << r.output;
}

// A shell that runs a program opens none of the simulated files: the recording is that of the program that does.
TEST(ShimRecordFile, IsThatOfTheProgramThatOpensSomething) {
  std::string name = "shim_" + std::to_string(getpid()) + ".rec", file = testing::TempDir() + name;
  Ran r = run("bash -c 'cd " + testing::TempDir() + "; (true); IOMMUSIM_RECORD=" + name +
              " bash -c \"ls /dev/vfio >/dev/null; " + client("open") + "; true\"'");
  EXPECT_EQ(r.status, 0) << r.output;
  FILE *f = popen((std::string(IMS_PROGRAM) + " run -q " + file + " 2>&1").c_str(), "r");
  ASSERT_TRUE(f);
  EXPECT_EQ(pclose(f), 0);
  std::ifstream in(file, std::ios::ate);
  EXPECT_GT(in.tellg(), 400);
  remove(file.c_str());
}

} // namespace
