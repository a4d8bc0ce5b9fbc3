#include "daemon/service.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <vector>

#include "catch.h"
#include "temp_dir.h"

namespace mvr::daemon {
namespace {

core::Vm vm_in(core::Phase phase) {
  core::Vm vm;
  vm.phase = phase;
  return vm;
}

core::Wait wait_of(std::uint32_t jobs) {
  core::Wait wait;
  wait.jobs = jobs;
  return wait;
}

// A service manager that keeps what it is told.
class Manager {
 public:
  Manager() : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    const std::string path = dir_ / "notify";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(&address.sun_path[0], path.c_str(), path.size() + 1);
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets interface
    const auto* raw = reinterpret_cast<const sockaddr*>(&address);
    REQUIRE(::bind(socket_.get(), raw, sizeof address) == 0);
    REQUIRE(::setenv("NOTIFY_SOCKET", path.c_str(), 1) == 0);
  }
  std::vector<std::string> told() {
    std::vector<std::string> all;
    std::array<char, 512> buffer{};
    ssize_t count = 0;
    while ((count = ::recv(socket_.get(), buffer.data(), buffer.size(), 0)) > 0) {
      all.emplace_back(buffer.data(), static_cast<std::size_t>(count));
    }
    return all;
  }

 private:
  test::TempDir dir_;
  Fd socket_;
};

ServiceLink link_to(sys::Loop& loop) {
  auto notifier = sys::Notifier::from_environment();
  REQUIRE(notifier);
  return ServiceLink(loop, std::move(*notifier));
}

TEST_CASE("the status counts VMs, running jobs and waiting ones") {
  core::World world;
  core::Plan plan;
  CHECK(service_status(world, plan) == "0 VMs, 0 jobs running, 0 waiting");
  world.vms[0] = vm_in(core::Phase::running);
  CHECK(service_status(world, plan) == "1 VM, 1 job running, 0 waiting");
  world.vms[1] = vm_in(core::Phase::booting);
  world.vms[4] = vm_in(core::Phase::running);
  plan.waits = {wait_of(3), wait_of(2)};
  world.draining = true;
  CHECK(service_status(world, plan) == "3 VMs, 2 jobs running, 5 waiting; draining");
}

TEST_CASE("systemd is told of each change, and of the status only when it is another") {
  Manager manager;
  const auto loop = sys::Loop::create();
  REQUIRE(loop);
  ServiceLink link = link_to(**loop);
  link.ready();
  link.show("1 VM");
  link.show("1 VM");
  link.show("2 VMs");
  link.stopping();
  CHECK(manager.told() ==
        std::vector<std::string>{"READY=1", "STATUS=1 VM", "STATUS=2 VMs", "STOPPING=1"});
  link.reloading();
  const auto told = manager.told();
  REQUIRE(told.size() == 1);
  CHECK(told.front().rfind("RELOADING=1\nMONOTONIC_USEC=", 0) == 0);
}

TEST_CASE("the watchdog is fed while the loop turns, and only then") {
  Manager manager;
  REQUIRE(::setenv("WATCHDOG_USEC", "40000", 1) == 0);
  const auto loop = sys::Loop::create();
  REQUIRE(loop);
  ServiceLink link = link_to(**loop);
  link.ready();
  CHECK(manager.told() == std::vector<std::string>{"READY=1", "WATCHDOG=1"});
  const Instant due = (*loop)->now() + Duration(100);
  while ((*loop)->now() < due) {
  }
  CHECK(manager.told().empty());  // time alone does not do it
  const Instant limit = (*loop)->now() + Duration(10'000);
  std::size_t fed = 0;
  while (fed < 3 && (*loop)->now() < limit) {
    REQUIRE((*loop)->run_once(Duration(50)));
    for (const auto& text : manager.told()) fed += text == "WATCHDOG=1" ? 1U : 0U;
  }
  CHECK(fed >= 3);
}

}  // namespace
}  // namespace mvr::daemon
