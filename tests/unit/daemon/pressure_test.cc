#include "daemon/pressure.h"

#include <csignal>

#include "catch.h"
#include "daemon/post_mortem.h"
#include "sys/host.h"
#include "sys/kernel_log.h"

namespace {

using namespace mvr;
using daemon::PressureFacts;

core::HostSettings reserves() {
  core::HostSettings settings;
  settings.reserve_memory = gib(4);
  settings.reserve_disk = gib(20);
  return settings;
}

std::string pressure(const PressureFacts& facts, bool before) {
  return daemon::pressure_of(facts, reserves(), before);
}

}  // namespace

TEST_CASE("pressure begins below half of a reserve and ends above three quarters") {
  CHECK(pressure({gib(2), gib(10), 0}, false).empty());
  CHECK_FALSE(pressure({gib(3) - Bytes{1}, gib(100), 0}, true).empty());
  CHECK(pressure({gib(3), gib(15), 0}, true).empty());
  CHECK(pressure({gib(1), gib(100), 0}, false) ==
        "1GiB of memory left, less than host.reserve_memory (4GiB) allows");
  CHECK(pressure({gib(64), gib(9), 0}, false) ==
        "9GiB of disk left, less than host.reserve_disk (20GiB) allows");
}

TEST_CASE("a host whose tasks stand still for memory is under pressure") {
  CHECK(pressure({gib(64), gib(100), 19.9}, false).empty());
  CHECK(pressure({gib(64), gib(100), 33.4}, false) == "all tasks wait for memory 33 % of the time");
  CHECK_FALSE(pressure({gib(64), gib(100), 6}, true).empty());
  CHECK(pressure({gib(64), gib(100), 4.9}, true).empty());
}

TEST_CASE("the kernel's pressure file is read strictly") {
  CHECK(sys::parse_memory_stall("some avg10=9.00 avg60=1.00 avg300=0.10 total=5\n"
                                "full avg10=7.25 avg60=0.00 avg300=0.00 total=3\n") == 7.25);
  for (const char* text :
       {"", "full", "full avg10=", "full avg10=x", "full avg10=-3", "full avg10=1000"}) {
    CHECK(sys::parse_memory_stall(text) == 0);
  }
}

static daemon::Death death_of(std::string_view reason, std::optional<sys::Exit> exit,
                              std::string_view console) {
  return daemon::post_mortem(daemon::EndFacts{reason, exit, console, false});
}

TEST_CASE("a kernel's panic on the console is why a VM ended") {
  const daemon::Death panic = death_of(
      "guest-reset", sys::Exit{0, 0},
      "[ 1.0] x\r\n[ 1.1] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n[ 1.2] y");
  CHECK(panic.cause == core::EndCause::panicked);
  CHECK(panic.text == "Kernel panic - not syncing: VFS: Unable to mount root fs");
  CHECK(death_of("guest-panic", sys::Exit{0, 0}, "").cause == core::EndCause::panicked);
  CHECK(death_of("guest-panic", sys::Exit{0, 0},
                 "Kernel panic - not syncing: System is deadlocked on memory\n")
            .cause == core::EndCause::guest_oom);
}

TEST_CASE("how the VMM ended tells a crash from a guest that went by itself") {
  const daemon::Death crash = death_of("", sys::Exit{0, SIGSEGV}, "quiet");
  CHECK(crash.cause == core::EndCause::vmm_crashed);
  CHECK(crash.text == "the VMM ended by itself: killed by SIGSEGV");
  CHECK(death_of("", sys::Exit{1, 0}, "").cause == core::EndCause::vmm_crashed);
  // What it said itself is told, and what the guest says of a crash is not.
  CHECK(death_of("", sys::Exit{3, 0}, "[ 1.0] x\r\nError: NetworkNamespace\n").text ==
        "the VMM ended by itself: exit 3: Error: NetworkNamespace");
  CHECK(death_of("", sys::Exit{1, 0}, "qemu-system-x86_64: no such device\n").text ==
        "the VMM ended by itself: exit 1: qemu-system-x86_64: no such device");
  CHECK(death_of("", sys::Exit{0, SIGSEGV}, "Error: it was you").text == crash.text);
  CHECK(death_of("", sys::Exit{0, 0}, "").cause == core::EndCause::vm_died);
  CHECK(death_of("", std::nullopt, "").cause == core::EndCause::vm_died);
  const daemon::Death reset = death_of("guest-reset", sys::Exit{0, 0}, "");
  CHECK(reset.cause == core::EndCause::vm_died);
  CHECK(reset.text == "guest-reset");
  // Also where nobody learns the exit, which an adopted process has.
  const daemon::Death by_log =
      death_of("vmm-error 148: a system call that it may not make", std::nullopt, "");
  CHECK(by_log.cause == core::EndCause::vmm_crashed);
  CHECK(by_log.text ==
        "the VMM ended by itself: vmm-error 148: a system call that it may not make");
  const daemon::EndFacts killed{"", sys::Exit{0, SIGKILL}, "Kernel panic - not syncing: x", true};
  CHECK(daemon::post_mortem(killed).cause == core::EndCause::host_oom);
}

TEST_CASE("the kernel's word that it killed a process is told from others") {
  const char* line =
      "3,812,5160183,-;Out of memory: Killed process 4321 (qemu-system-x86) total-vm:5000kB";
  CHECK(sys::tells_of_oom_kill(line, 4321));
  CHECK(!sys::tells_of_oom_kill(line, 432));
  CHECK(!sys::tells_of_oom_kill(line, 321));
  CHECK(sys::tells_of_oom_kill("Memory cgroup out of memory: Killed process 7 (x) total", 7));
  CHECK(!sys::tells_of_oom_kill("Killed process 7 (x) by somebody", 7));
}

TEST_CASE("what a guest writes to its console cannot break the log") {
  const daemon::Death death =
      death_of("", std::nullopt, "Kernel panic - not syncing: \x1b[31m" + std::string(5'000, 'x'));
  CHECK(death.text.size() < 1'000);
  CHECK(death.text.find('\x1b') == std::string::npos);
}

TEST_CASE("an agent that cannot mount its drives means the image") {
  CHECK(daemon::cause_of_failure("mount /base from /dev/vda: Invalid argument") ==
        core::EndCause::image_unreadable);
  CHECK(daemon::cause_of_failure("configure: no user 'x'") == core::EndCause::agent_failed);
}
