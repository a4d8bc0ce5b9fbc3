#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "catch.h"
#include "fixture.h"
#include "sys/memory_file.h"
#include "sys/process.h"
#include "vmm/qemu.h"

namespace mvr::vmm {
namespace {

std::string read(const std::string& path) { return sys::read_file(path).value_or("?"); }

TEST_CASE("the version of the binary is known after make_qemu") {
  const TempDir directory;
  const auto qemu = make_qemu(fake_qemu(directory, "exit 1")).value();
  CHECK(qemu->name() == "qemu");
  CHECK(qemu->version() == "7.2.9");
  CHECK(qemu->channel_style() == ChannelStyle::connect);
}

TEST_CASE("a missing QEMU names the package") {
  const auto qemu = make_qemu("mvr-no-such-qemu");
  CHECK(qemu.error().code == Errc::not_found);
  CHECK(qemu.error().what.find("apt-get install qemu-system-x86") != std::string::npos);
}

TEST_CASE("a QEMU that is too old is refused") {
  const TempDir directory;
  const std::string path = directory / "old";
  REQUIRE(sys::write_file(path, "#!/bin/sh\necho QEMU emulator version 5.2.0\n", 0755));
  CHECK(make_qemu(path).error().code == Errc::unsupported);
}

TEST_CASE("emulation needs more memory beside the guest's than KVM") {
  const TempDir directory;
  const auto qemu = make_qemu(fake_qemu(directory, "exit 1")).value();
  CHECK(qemu->overhead(Accel::tcg) > qemu->overhead(Accel::kvm));
}

TEST_CASE("the VMM starts with its sockets and console open, and no other descriptor") {
  const TempDir directory;
  const auto qemu = make_qemu(fake_qemu(directory, "ls -l /proc/$$/fd >&2")).value();
  const MachineSpec spec = launchable_spec(directory);
  auto process = qemu->launch(spec).value();
  CHECK(process.wait(Duration(10'000)).value().ok());
  std::vector<std::string> numbers;
  const std::string listing = read(spec.console);
  for (const std::string_view line : split(listing, '\n')) {
    const auto arrow = line.find(" -> ");
    if (arrow == std::string_view::npos) continue;
    const std::string_view left = line.substr(0, arrow);
    const std::string number(left.substr(left.rfind(' ') + 1));
    if (number.size() == 1) numbers.push_back(number);  // 10 and more are the shell's own
  }
  CHECK(join(numbers, " ") == "0 1 2 4 5 6");
}

TEST_CASE("what the caller wants kept open is open in the VMM") {
  const TempDir directory;
  const auto qemu = make_qemu(fake_qemu(directory, "readlink /proc/$$/fd/9 >&2")).value();
  MachineSpec spec = launchable_spec(directory);
  REQUIRE(sys::write_file(directory / "pinned", ""));
  const Fd pin = sys::open_read(directory / "pinned").value();
  spec.keep_open = {pin.get()};
  auto process = qemu->launch(spec).value();
  CHECK(process.wait(Duration(10'000)).value().ok());
  CHECK(read(spec.console) == (directory / "pinned") + "\n");
}

TEST_CASE("the VMM sees PATH only and runs in a session of its own") {
  const TempDir directory;
  const auto qemu = make_qemu(fake_qemu(directory,
                                        "tr '\\0' '\\n' </proc/$$/environ | grep -vc ^PATH= >&2; "
                                        "cut -d' ' -f6 /proc/$$/stat >&2; echo $$ >&2"))
                        .value();
  const MachineSpec spec = launchable_spec(directory);
  auto process = qemu->launch(spec).value();
  const std::string pid = std::to_string(process.pid());
  CHECK(process.wait(Duration(10'000)).value().ok());
  CHECK(read(spec.console) == "0\n" + pid + "\n" + pid + "\n");
}

TEST_CASE("no file of the VMM outgrows its largest writable drive") {
  const TempDir directory;
  const auto qemu = make_qemu(fake_qemu(directory, "ulimit -f >&2")).value();
  MachineSpec spec = launchable_spec(directory);
  spec.drives = {{"scratch", directory / "scratch", false}};
  REQUIRE(sys::write_file(directory / "scratch", ""));
  REQUIRE(::truncate((directory / "scratch").c_str(), 64 << 20) == 0);
  auto process = qemu->launch(spec).value();
  CHECK(process.wait(Duration(10'000)).value().ok());
  CHECK(read(spec.console) == std::to_string((64 << 20) / 512) + "\n");
}

TEST_CASE("the sockets are there when launch returns, for us alone") {
  const TempDir directory;
  const auto qemu = make_qemu(fake_qemu(directory, "read line <&4; exit 0")).value();
  const MachineSpec spec = launchable_spec(directory);
  auto process = qemu->launch(spec).value();
  for (const std::string& path : {spec.agent_socket, spec.monitor_socket}) {
    CHECK(std::filesystem::status(path).permissions() == std::filesystem::perms(0600));
  }
  CHECK(process.wait(Duration(10'000)));
}

TEST_CASE("a VM's own user has nothing but its number and one group") {
  if (::geteuid() != 0) return;  // only root gives rights away
  const TempDir directory;
  REQUIRE(::chmod(directory.path().c_str(), 0711) == 0);
  const auto qemu = make_qemu(fake_qemu(directory, "id -u >&2; id -G >&2")).value();
  MachineSpec spec = launchable_spec(directory);
  spec.uid = 2'000'123;
  auto process = qemu->launch(spec).value();
  CHECK(process.wait(Duration(10'000)).value().ok());
  CHECK(read(spec.console) == "2000123\n2000123\n");
}

TEST_CASE("a launch that fails leaves no file behind and names the VM") {
  const TempDir directory;
  const auto qemu = make_qemu(fake_qemu(directory, "exit 0")).value();
  const MachineSpec spec = launchable_spec(directory);
  REQUIRE(sys::remove_file(directory / "fake-qemu"));
  const auto process = qemu->launch(spec);
  REQUIRE_FALSE(process);
  CHECK(process.error().what.find("mvr-test") != std::string::npos);
  CHECK_FALSE(sys::exists(spec.agent_socket));
  CHECK_FALSE(sys::exists(spec.monitor_socket));
  CHECK_FALSE(sys::exists(spec.console));
}

TEST_CASE("a spec that cannot boot is refused before anything is made") {
  const TempDir directory;
  const auto qemu = make_qemu(fake_qemu(directory, "exit 0")).value();
  MachineSpec spec = launchable_spec(directory);
  SECTION("no CPU") {
    spec.vcpus = 0;
    CHECK(qemu->launch(spec).error().code == Errc::invalid);
  }
  SECTION("no memory") {
    spec.memory = mib(1);
    CHECK(qemu->launch(spec).error().code == Errc::invalid);
  }
  SECTION("no kernel") {
    spec.kernel = directory / "none";
    CHECK(qemu->launch(spec).error().code == Errc::not_found);
  }
  SECTION("a missing drive") {
    spec.drives = {{"base", directory / "none", true}};
    CHECK(qemu->launch(spec).error().code == Errc::not_found);
  }
  CHECK_FALSE(sys::exists(spec.console));
}

TEST_CASE("a machine that begins from a state has its files open, then what is kept open") {
  const TempDir directory;
  const auto qemu =
      make_qemu(fake_qemu(directory, "cat <&7 >&2; cat /proc/self/fd/8 >&2; cat <&9 >&2")).value();
  MachineSpec spec = launchable_spec(directory);
  spec.restore_from = directory.path();
  CHECK(qemu->launch(spec).error().code == Errc::not_found);
  REQUIRE(sys::write_file(directory / "machine", "the state, "));
  REQUIRE(sys::write_file(directory / "pinned", "the pin"));
  const Fd pin = sys::open_read(directory / "pinned").value();
  spec.keep_open = {pin.get()};
  const Fd memory = sys::make_memory_file("memory", "the memory, ").value();
  spec.memory_fd = memory.get();
  auto process = qemu->launch(spec).value();
  CHECK(process.wait(Duration(10'000)).value().ok());
  CHECK(read(spec.console) == "the state, the memory, the pin");
}

TEST_CASE("what two machines must have in common is told, and what is their own is not") {
  const TempDir directory;
  const auto qemu = make_qemu(fake_qemu(directory, "exit 1")).value();
  MachineSpec spec = launchable_spec(directory);
  spec.drives = {{"scratch", directory / "scratch", false}};
  REQUIRE(sys::write_file(directory / "scratch", "four"));
  const std::string key = qemu->state_key(spec).value();
  CHECK(key.find("7.2.9") != std::string::npos);
  MachineSpec other = spec;
  SECTION("its own") {
    other.name = "other";
    other.mac = "02:00:00:00:00:01";
    other.command_line = "other";
    other.may_be_saved = true;
    other.memory_fd = 5;
    REQUIRE(sys::write_file(directory / "second", "five"));
    other.drives[0].path = directory / "second";
    CHECK(qemu->state_key(other).value() == key);
  }
  SECTION("memory") { other.memory = mib(640); }
  SECTION("CPUs") { other.vcpus = 2; }
  SECTION("a network") { other.tap_name = "tap"; }
  SECTION("the accelerator") { other.accel = Accel::kvm; }
  SECTION("the size of a drive") { REQUIRE(sys::write_file(directory / "scratch", "three")); }
  SECTION("another drive") { other.drives[0].read_only = true; }
  if (other.name == spec.name) CHECK(qemu->state_key(other).value() != key);
  other.huge_pages = HugePages::reserved;
  CHECK(qemu->state_key(other).error().code == Errc::unsupported);
  other.huge_pages = HugePages::none;
  other.drives[0].path = directory / "none";
  CHECK_FALSE(qemu->state_key(other));
}

}  // namespace
}  // namespace mvr::vmm
