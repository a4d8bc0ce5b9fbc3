#include "vmm/jailer.h"

#include "catch.h"
#include "firecracker_fixture.h"

namespace mvr::vmm {
namespace {

constexpr const char* kProgram = "/opt/firecracker-v1.16.1";

std::string read(const std::string& path) { return sys::read_file(path).value_or("?"); }

Jail jail_in(const JailFiles& files) { return jail_of(files.spec, kProgram).value(); }

Jail made_in(const JailFiles& files) {
  Jail jail = jail_in(files);
  const auto made = make_jail(jail, files.spec, "{}");
  INFO((made ? "" : made.error().what));
  REQUIRE(made);
  return jail;
}

TEST_CASE("the jailer becomes the VMM, under limits and a user of its own") {
  MachineSpec spec;
  spec.name = "ci-abcdef";
  spec.directory = "/s/vms/7";
  spec.uid = 2'000'007;
  spec.tap_name = "mvt7";
  spec.netns = "/run/netns/mv";
  spec.console_limit = mib(8);
  const Jail jail = jail_of(spec, kProgram).value();
  CHECK(jail.root == "/s/vms/7/firecracker-v1.16.1/ci-abcdef/root");
  CHECK(jailer_arguments(spec, {"/opt/jailer", kProgram}, jail) ==
        std::vector<std::string>{"/opt/jailer",   "--id",
                                 "ci-abcdef",     "--exec-file",
                                 kProgram,        "--uid",
                                 "2000007",       "--gid",
                                 "2000007",       "--chroot-base-dir",
                                 "/s/vms/7",      "--resource-limit",
                                 "no-file=1024",  "--resource-limit",
                                 "fsize=8388608", "--netns",
                                 "/run/netns/mv", "--",
                                 "--config-file", "/vm.json",
                                 "--api-sock",    "/run/api.sock"});
}

TEST_CASE("a machine without a network stays where it is started") {
  MachineSpec spec;
  spec.name = "probe";
  spec.uid = 1;
  const auto words = jailer_arguments(spec, {"j", "f"}, jail_of(spec, "f").value());
  CHECK(std::find(words.begin(), words.end(), "--netns") == words.end());
}

TEST_CASE("a machine that the jailer would not take has no jail") {
  MachineSpec spec;
  spec.name = "ci";
  spec.uid = 1;
  CHECK(jail_of(spec, kProgram));
  SECTION("a name with a path in it") { spec.name = "../ci"; }
  SECTION("a name with an underscore") { spec.name = "a_b"; }
  SECTION("no name") { spec.name = ""; }
  SECTION("a long name") { spec.name = std::string(65, 'a'); }
  SECTION("no user of its own") { spec.uid = 0; }
  SECTION("a tap in no namespace") { spec.tap_name = "mvt0"; }
  CHECK(jail_of(spec, kProgram).error().code == Errc::invalid);
}

TEST_CASE("a jail has the VM's files as links, and takes no space for them") {
  const JailFiles files;
  const Jail jail = made_in(files);
  CHECK(read(jail.root + "/vm.json") == "{}");
  CHECK((status_of(jail.root + "/vm.json").st_mode & 07777U) == 0444);
  CHECK(status_of(jail.root + "/kernel").st_ino == status_of(files.spec.kernel).st_ino);
  CHECK(status_of(jail.root + "/initramfs").st_ino == status_of(files.spec.initramfs).st_ino);
  for (const Drive& drive : files.spec.drives) {
    CHECK(status_of(jail.root + "/drive-" + drive.serial).st_ino == status_of(drive.path).st_ino);
  }
}

TEST_CASE("what the VMM writes to is its user's, in a directory of its user's") {
  const JailFiles files;
  const Jail jail = made_in(files);
  for (const char* name : {"/run", "/run/firecracker.log", "/run/metrics.log", "/drive-scratch",
                           "/run/vsock.sock_1024"}) {
    INFO(name);
    CHECK(status_of(jail.root + name).st_uid == files.spec.uid);
    CHECK(status_of(jail.root + name).st_gid == (is_root() ? files.spec.uid : ::getegid()));
    CHECK((status_of(jail.root + name).st_mode & 0077U) == 0);
  }
}

TEST_CASE("the log has a name that the VMM cannot change") {
  const JailFiles files;
  const Jail jail = made_in(files);
  CHECK(jail.log == files.directory / "firecracker.log");
  CHECK(is_jailed(files.spec.monitor_socket));
  CHECK(status_of(jail.log).st_ino == status_of(jail.root + "/run/firecracker.log").st_ino);
}

TEST_CASE("the VMM's way to the agent's listener is the listener itself") {
  JailFiles files;
  const Jail jail = made_in(files);
  const std::string inside = jail.root + "/run/vsock.sock_1024";
  REQUIRE(sys::connect_unix(inside));
  CHECK(sys::accept_unix(files.listener).value().has_value());

  SECTION("and the new one after a restart") {
    REQUIRE(files.listener.close());
    CHECK_FALSE(sys::connect_unix(inside));
    files.listen();
    CHECK_FALSE(sys::connect_unix(inside));
    REQUIRE(offer_agent_socket(files.spec));
    REQUIRE(sys::connect_unix(inside));
    CHECK(sys::accept_unix(files.listener).value().has_value());
  }
}

TEST_CASE("a jail without anybody who listens for the agent is not made") {
  JailFiles files;
  REQUIRE(sys::remove_file(files.spec.agent_socket));
  const auto made = make_jail(jail_in(files), files.spec, "{}");
  CHECK(made.error().code == Errc::not_found);
  CHECK(made.error().what.find(files.spec.agent_socket) != std::string::npos);
}

TEST_CASE("a jail takes the place of what an earlier one left") {
  const JailFiles files;
  const Jail jail = made_in(files);
  REQUIRE(sys::make_directories(jail.root + "/dev/net"));
  REQUIRE(sys::write_file(jail.root + "/dev/net/tun", ""));
  const auto stale = sys::listen_unix(jail.root + "/run/api.sock", 0600);
  REQUIRE(stale);
  made_in(files);
  CHECK_FALSE(sys::exists(jail.root + "/dev"));
  CHECK_FALSE(sys::exists(jail.root + "/run/api.sock"));
}

TEST_CASE("removing a jail leaves the VM's own files, and may be done again") {
  const JailFiles files;
  const Jail jail = made_in(files);
  REQUIRE(remove_jail(jail, files.spec));
  REQUIRE(remove_jail(jail, files.spec));
  CHECK_FALSE(sys::exists(jail.directory));
  CHECK_FALSE(sys::exists(jail.log));
  CHECK(find_api_socket(files.spec.monitor_socket).error().code == Errc::not_found);
  for (const std::string& path : {files.spec.kernel, files.spec.initramfs, files.spec.agent_socket,
                                  files.spec.drives[0].path, files.spec.drives[1].path}) {
    CHECK(sys::exists(path));
  }
}

TEST_CASE("a file that VMs share must not be theirs to write") {
  JailFiles files;
  SECTION("writable for all") { REQUIRE(::chmod(files.spec.drives[0].path.c_str(), 0646) == 0); }
  SECTION("writable for its group") { REQUIRE(::chmod(files.spec.kernel.c_str(), 0464) == 0); }
  SECTION("not readable") { REQUIRE(::chmod(files.spec.initramfs.c_str(), 0400) == 0); }
  SECTION("the VM's own") {
    REQUIRE(sys::change_owner(files.spec.drives[0].path, files.spec.uid, files.spec.uid));
  }
  SECTION("a directory") { files.spec.drives[0].path = files.directory.path(); }
  CHECK(make_jail(jail_in(files), files.spec, "{}").error().code == Errc::invalid);
}

TEST_CASE("a file that a VM writes must be its own alone") {
  JailFiles files;
  SECTION("readable for others") { REQUIRE(::chmod(files.spec.drives[1].path.c_str(), 0644) == 0); }
  SECTION("another user's") {
    if (!is_root()) return;
    REQUIRE(sys::change_owner(files.spec.drives[1].path, 0, 0));
  }
  const auto made = make_jail(jail_in(files), files.spec, "{}");
  CHECK(made.error().code == Errc::invalid);
  CHECK(made.error().what.find("drive-scratch") != std::string::npos);
}

TEST_CASE("a missing file is named") {
  JailFiles files;
  files.spec.kernel = files.directory / "none";
  const auto made = make_jail(jail_in(files), files.spec, "{}");
  CHECK(made.error().code == Errc::not_found);
  CHECK(made.error().what.find(files.spec.kernel) != std::string::npos);
}

TEST_CASE("files of another file system cannot be in a jail") {
  JailFiles files;
  const std::string elsewhere = "/dev/shm/mvr-test-" + std::to_string(::getpid());
  if (!sys::write_file(elsewhere, "kernel", 0444)) return;
  if (status_of(elsewhere).st_dev != status_of(files.directory.path()).st_dev) {
    files.spec.kernel = elsewhere;
    const auto made = make_jail(jail_in(files), files.spec, "{}");
    CHECK(made.error().code == Errc::unsupported);
    CHECK(made.error().remedy.find("one file system") != std::string::npos);
  }
  CHECK(sys::remove_file(elsewhere));
}

TEST_CASE("the API's socket is found once it is there, whatever the length of its path") {
  JailFiles files;
  files.spec.directory = files.directory / std::string(120, 'd');
  files.spec.monitor_socket = files.spec.directory + "/monitor.sock";
  REQUIRE(sys::make_directories(files.spec.directory));
  const Jail jail = made_in(files);
  CHECK(find_api_socket(files.spec.monitor_socket).error().code == Errc::not_found);
  const auto api = sys::listen_unix(jail.root + "/run/api.sock", 0600);
  REQUIRE(api);
  const auto found = find_api_socket(files.spec.monitor_socket);
  REQUIRE(found);
  REQUIRE(sys::connect_unix("/proc/self/fd/" + std::to_string(found->get())));
  CHECK(sys::accept_unix(*api).value().has_value());
}

TEST_CASE("a VMM cannot lead us out of its jail") {
  const JailFiles files;
  const Jail jail = made_in(files);
  const auto precious = sys::listen_unix(files.directory / "precious.sock", 0600);
  REQUIRE(precious);
  const std::string run = jail.root + "/run";
  SECTION("by a link in place of the socket") {
    REQUIRE(::symlink((files.directory / "precious.sock").c_str(), (run + "/api.sock").c_str()) ==
            0);
    CHECK_FALSE(find_api_socket(files.spec.monitor_socket));
  }
  SECTION("by a link in place of the directory") {
    REQUIRE(sys::make_directories(files.directory / "other"));
    REQUIRE(::link((files.directory / "precious.sock").c_str(),
                   (files.directory / "other/api.sock").c_str()) == 0);
    REQUIRE(sys::remove_tree(run));
    REQUIRE(::symlink((files.directory / "other").c_str(), run.c_str()) == 0);
    CHECK_FALSE(find_api_socket(files.spec.monitor_socket));
    CHECK_FALSE(offer_agent_socket(files.spec));
    CHECK(sys::list_directory(files.directory / "other").value().size() == 1);
  }
  SECTION("by something that is no socket") {
    REQUIRE(sys::write_file(run + "/api.sock", ""));
    CHECK(find_api_socket(files.spec.monitor_socket).error().code == Errc::invalid);
  }
  CHECK_FALSE(sys::accept_unix(*precious).value().has_value());
}

TEST_CASE("a link to anything but a jail's socket is not followed") {
  const TempDir directory;
  REQUIRE(::symlink("/etc/passwd", (directory / "m").c_str()) == 0);
  CHECK(find_api_socket(directory / "m").error().code == Errc::invalid);
  CHECK_FALSE(is_jailed(directory / "m"));
  REQUIRE(sys::write_file(directory / "f", ""));
  CHECK_FALSE(find_api_socket(directory / "f"));
}

TEST_CASE("a machine that begins from a state has no document but the places of its logs") {
  MachineSpec spec;
  spec.name = "ci";
  spec.uid = 1;
  spec.restore_from = "/s/saved/1";
  const auto words = jailer_arguments(spec, {"j", "f"}, jail_of(spec, "f").value());
  const auto rest = std::find(words.begin(), words.end(), "--");
  CHECK(std::vector<std::string>(rest, words.end()) ==
        std::vector<std::string>{"--", "--log-path", "/run/firecracker.log", "--level", "Info",
                                 "--show-level", "--metrics-path", "/run/metrics.log", "--api-sock",
                                 "/run/api.sock"});
}

TEST_CASE("a state is taken out of the jail only as files of their own") {
  JailFiles files;
  const Jail jail = jail_of(files.spec, "f").value();
  REQUIRE(make_jail(jail, files.spec, "{}"));
  const std::string kept = files.directory / "kept";
  REQUIRE(sys::make_directories(kept));
  REQUIRE(sys::write_file(jail.root + "/run/state.machine", "machine"));
  SECTION("both are there") {
    REQUIRE(sys::write_file(jail.root + "/run/state.memory", "memory"));
    REQUIRE(take_state(files.spec.monitor_socket, kept));
    CHECK(sys::read_file(kept + "/state.machine").value() == "machine");
    const struct stat info = status_of(kept + "/state.memory");
    CHECK(info.st_uid == ::geteuid());
    CHECK((info.st_mode & 07777U) == 0444);
    CHECK_FALSE(sys::exists(jail.root + "/run/state.memory"));
  }
  SECTION("one is not") { CHECK_FALSE(take_state(files.spec.monitor_socket, kept)); }
  SECTION("one is a link") {
    REQUIRE(sys::write_file(files.directory / "victim", "precious"));
    const std::string path = jail.root + "/run/state.memory";
    REQUIRE(::symlink((files.directory / "victim").c_str(), path.c_str()) == 0);
    CHECK_FALSE(take_state(files.spec.monitor_socket, kept));
  }
  SECTION("one has another name") {
    const std::string path = jail.root + "/run/state.memory";
    REQUIRE(::link(files.spec.drives[1].path.c_str(), path.c_str()) == 0);
    CHECK(take_state(files.spec.monitor_socket, kept).error().code == Errc::invalid);
  }
}

}  // namespace
}  // namespace mvr::vmm
