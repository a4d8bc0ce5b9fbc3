#include "sys/host.h"

#include <sys/utsname.h>
#include <unistd.h>

#include "helpers.h"
#include "sys/cgroup_paths.h"

namespace mvr::sys {
namespace {

TEST_CASE("the host has memory, a CPU and names") {
  const auto facts = host_facts();
  REQUIRE(facts);
  CHECK(facts->memory >= mib(64));
  CHECK(facts->cpus >= 1);
  CHECK(facts->cpus <= static_cast<std::uint32_t>(::sysconf(_SC_NPROCESSORS_CONF)));
  utsname names{};
  REQUIRE(::uname(&names) == 0);
  CHECK(facts->hostname == &names.nodename[0]);
  CHECK(facts->kernel == &names.release[0]);
  CHECK(facts->machine == &names.machine[0]);
}

constexpr const char* kHybrid =
    "30 29 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n"
    "31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
    "34 30 0:30 / /sys/fs/cgroup/memory rw shared:15 - cgroup cgroup rw,memory\n"
    "35 30 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:16 - cgroup cgroup rw,cpu,cpuacct\n";

TEST_CASE("the cgroup mounts of a hybrid host are found") {
  CHECK(find_cgroup_mount(kHybrid) == CgroupMount{"/sys/fs/cgroup/unified", "/"});
  CHECK(find_cgroup_mount(kHybrid, "memory") == CgroupMount{"/sys/fs/cgroup/memory", "/"});
  CHECK(find_cgroup_mount(kHybrid, "cpu") == CgroupMount{"/sys/fs/cgroup/cpu,cpuacct", "/"});
  CHECK_FALSE(find_cgroup_mount(kHybrid, "pids"));
}

TEST_CASE("escaped paths and a mounted subtree are understood") {
  const char* text = "42 1 0:5 /a\\040b /mnt/c\\134d rw - cgroup2 none rw\n";
  CHECK(find_cgroup_mount(text) == CgroupMount{"/mnt/c\\d", "/a b"});
}

TEST_CASE("what is no mountinfo has no mount") {
  for (const char* text :
       {"", "\n", "cgroup2", " - cgroup2", "1 2 3 - cgroup2 x y",
        "31 30 0:27 / /x rw cgroup2 cgroup2 rw", "31 30 0:27 / /x rw - cgroup2"}) {
    CAPTURE(text);
    CHECK_FALSE(find_cgroup_mount(text));
  }
}

TEST_CASE("the own group is the line of its hierarchy") {
  const char* text =
      "4:memory:/mem\n3:cpu,cpuacct:/cpus\n1:name=systemd:/s\n0::/system.slice/x.service\n";
  CHECK(find_own_cgroup(text) == "/system.slice/x.service");
  CHECK(find_own_cgroup(text, "memory") == "/mem");
  CHECK(find_own_cgroup(text, "cpu") == "/cpus");
  CHECK(find_own_cgroup("0::/with:colon\n") == "/with:colon");
  CHECK_FALSE(find_own_cgroup("4:memory:/\n"));
  CHECK_FALSE(find_own_cgroup("garbage"));
}

TEST_CASE("the directory of a group lies below its mount") {
  CHECK(cgroup_directory({"/cg", "/"}, "/") == "/cg");
  CHECK(cgroup_directory({"/cg", "/"}, "/a/b") == "/cg/a/b");
  CHECK(cgroup_directory({"/cg", "/a"}, "/a/b") == "/cg/b");
  CHECK(cgroup_directory({"/cg", "/a"}, "/a") == "/cg");
  CHECK_FALSE(cgroup_directory({"/cg", "/a"}, "/ab"));
  CHECK_FALSE(cgroup_directory({"/cg", "/a"}, "/b"));
  CHECK_FALSE(cgroup_directory({"/cg", "/"}, "/../outside"));
}

}  // namespace
}  // namespace mvr::sys
