#include "sys/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <csignal>

#include "helpers.h"
#include "sys/cgroup_paths.h"
#include "sys/process.h"

namespace mvr::sys {
namespace {

constexpr Duration kLong(10'000);

// Our own directory below the real cgroup2 mount, gone afterwards.
class Root {
 public:
  Root() {
    auto root = CgroupRoot::open(unique_name());
    REQUIRE(root);
    root_ = std::move(*root);
  }
  Root(const Root&) = delete;
  Root& operator=(const Root&) = delete;
  ~Root() {
    const auto children = root_.children();
    if (children) {
      for (const std::string& child : *children) (void)root_.remove(child);
    }
    (void)root_.remove_self();
  }
  CgroupRoot* operator->() { return &root_; }

 private:
  CgroupRoot root_;
};

Process sleeper_in(const Cgroup& group) {
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", "sleep 100 & wait"};
  options.cgroup_fd = group.fd();
  auto process = Process::spawn(options);
  REQUIRE(process);
  return std::move(*process);
}

// cgroup.events changes after the last member is reaped; poll it with a bound.
bool becomes_empty(const Cgroup& group) {
  const Instant deadline = monotonic_now() + kLong;
  while (monotonic_now() < deadline) {
    const auto populated = group.populated();
    if (populated && !*populated) return true;
  }
  return false;
}

TEST_CASE("a process starts inside its group and dies with it, children included") {
  MVR_NEEDS_ROOT();
  Root root;
  const auto group = root->create("vm-1");
  REQUIRE(group);
  CHECK(group->populated() == false);
  Process process = sleeper_in(*group);
  CHECK(group->populated() == true);
  const auto own = read_file("/proc/" + std::to_string(process.pid()) + "/cgroup");
  REQUIRE(own);
  CHECK(own->find("/" + unique_name() + "/vm-1\n") != std::string::npos);
  CHECK(root->remove("vm-1").error().code == Errc::busy);
  REQUIRE(group->kill());
  CHECK(process.wait(kLong) == Exit{0, SIGKILL});
  CHECK(becomes_empty(*group));
  CHECK(root->remove("vm-1"));
  CHECK(root->children()->empty());
}

TEST_CASE("making a group twice opens it, removing it twice is ok") {
  MVR_NEEDS_ROOT();
  Root root;
  REQUIRE(root->create("b"));
  REQUIRE(root->create("a"));
  REQUIRE(root->create("a"));
  CHECK(root->children() == std::vector<std::string>{"a", "b"});
  CHECK(root->remove_self().error().code == Errc::busy);
  CHECK(root->remove("a"));
  CHECK(root->remove("a"));
  CHECK(root->remove("b"));
}

TEST_CASE("each limit is applied or reported") {
  MVR_NEEDS_ROOT();
  Root root;
  const auto group = root->create("limits");
  REQUIRE(group);
  CHECK(group->set_limits(CgroupLimits{}) == std::vector<std::string>{});
  CgroupLimits limits;
  limits.memory = mib(64);
  limits.cpu_percent = 150;
  limits.pids = 100;
  const auto missing = group->set_limits(limits);
  REQUIRE(missing);
  for (const char* name : {"memory", "cpu", "pids"}) {
    CAPTURE(name);
    const auto& has = root->controllers();
    const bool is_here = std::find(has.begin(), has.end(), name) != has.end();
    const bool is_missing = std::find(missing->begin(), missing->end(), name) != missing->end();
    CHECK(is_here != is_missing);
    const auto needed = root->missing();
    CHECK((std::find(needed.begin(), needed.end(), name) != needed.end()) == is_missing);
  }
}

TEST_CASE("limits of a disk are applied or reported, never an error") {
  MVR_NEEDS_ROOT();
  Root root;
  const auto group = root->create("io");
  REQUIRE(group);
  CgroupLimits limits;
  limits.io = {disk_below("/"), mib(10), 200};
  if (limits.io.device.empty()) limits.io.device = "259:1048575";  // none has this number
  const auto missing = group->set_limits(limits);
  REQUIRE(missing);
  const std::string file = "/proc/self/fd/" + std::to_string(group->fd()) + "/io.max";
  if (missing->empty()) {
    const std::string text = read_file(file, 4096).value();
    CHECK(text.find("rbps=10485760 wbps=10485760 riops=200 wiops=200") != std::string::npos);
  } else {
    CHECK(*missing == std::vector<std::string>{"io"});
  }
}

TEST_CASE("the disk below a file is a whole one") {
  CHECK(disk_below("/proc/version").empty());
  CHECK(disk_below("/no/such/file").empty());
  const std::string root = disk_below("/");
  if (!root.empty()) CHECK_FALSE(exists("/sys/dev/block/" + root + "/partition"));
}

TEST_CASE("a name cannot leave the directory") {
  MVR_NEEDS_ROOT();
  for (const char* name : {"", ".", "..", "a/b", "../x", "cgroup.procs"}) {
    CAPTURE(name);
    CHECK(CgroupRoot::open(name).error().code == Errc::invalid);
  }
  Root root;
  CHECK(root->create("../x").error().code == Errc::invalid);
  CHECK(root->remove("..").error().code == Errc::invalid);
}

TEST_CASE("a descriptor that is no group is refused by the kernel, and that is said") {
  const TempDir dir;
  const auto fd = open_read(dir.path());
  REQUIRE(fd);
  SpawnOptions options;
  options.argv = {"/bin/true"};
  options.cgroup_fd = fd->get();
  const auto process = Process::spawn(options);
  REQUIRE_FALSE(process);
  CHECK(process.error().what.rfind("spawn /bin/true: clone into the cgroup: ", 0) == 0);
}

// Two groups as systemd makes them for a service and for the one beside it; gone afterwards.
class Units {
 public:
  Units() {
    const auto mount = find_cgroup_mount(read_file("/proc/self/mountinfo", 16U << 20U).value());
    REQUIRE(mount);
    own = mount->path + "/" + unique_name() + ".service";
    beside = mount->path + "/" + unique_name() + "-vms.service";
    REQUIRE(::mkdir(own.c_str(), 0755) == 0);
    REQUIRE(::mkdir(beside.c_str(), 0755) == 0);
    REQUIRE(::setxattr(beside.c_str(), "trusted.delegate", "1", 1, 0) == 0);
  }
  Units(const Units&) = delete;
  Units& operator=(const Units&) = delete;
  ~Units() {
    for (const std::string& path : {beside + "/mvrt", beside + "/daemon", beside, own}) {
      (void)::rmdir(path.c_str());
    }
  }
  std::string own;
  std::string beside;
};

TEST_CASE("groups go to the delegated unit beside ours, where what keeps it makes room") {
  MVR_NEEDS_ROOT();
  const Units units;
  SpawnOptions options;
  options.argv = {"/bin/sleep", "100"};
  const Fd group(::open(units.beside.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  options.cgroup_fd = group.get();
  auto keeper = Process::spawn(options);
  REQUIRE(keeper);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {  // as the service: this process stays where it is
    const bool moved = write_file(units.own + "/cgroup.procs", "0").has_value();
    const bool opened = moved && CgroupRoot::open("mvrt").has_value();
    ::_exit(opened && exists(units.beside + "/mvrt") ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(read_file(units.beside + "/cgroup.procs") == "");
  CHECK(read_file(units.beside + "/daemon/cgroup.procs") == std::to_string(keeper->pid()) + "\n");
  REQUIRE(keeper->signal(SIGKILL));
  CHECK(keeper->wait(kLong));
}

}  // namespace
}  // namespace mvr::sys
