#include "daemon/survey_host.h"

#include <unistd.h>

#include "catch.h"
#include "core/names.h"
#include "daemon/spec_file.h"
#include "sys/files.h"
#include "sys/process.h"

namespace {

using namespace mvr;

class Host {
 public:
  Host() {
    std::string pattern = "/tmp/mvr-survey-XXXXXX";
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    config.state_dir = pattern;
    config.run_dir = pattern + "/run";
    config.instance = "mvr";
    config.network.subnet = "10.231.0.0/24";
    config.host.max_vms = 8;
  }
  ~Host() { (void)sys::remove_tree(config.state_dir); }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  void leave(core::Slot slot, const std::string& spec) const {
    const auto names = core::slot_names(config, slot);
    REQUIRE(sys::make_directories(names.directory));
    if (!spec.empty()) REQUIRE(sys::write_file(names.spec, spec));
  }
  core::Config config;
};

core::SavedVm saved_vm(core::Slot slot, pid_t pid, std::uint64_t start_time) {
  core::SavedVm saved;
  saved.vm.slot = slot;
  saved.vm.name = "small-x";
  saved.vm.phase = core::Phase::running;
  saved.boot_id = sys::boot_id();
  saved.pid = pid;
  saved.start_time = start_time;
  return saved;
}

}  // namespace

TEST_CASE("a host that never ran a VM has no leftovers") {
  const Host host;
  const auto found = daemon::survey_host(host.config);
  REQUIRE(found);
  CHECK(found->empty());
}

TEST_CASE("a live process is recognised by pid, start time and boot; a reused pid is not") {
  const Host host;
  const auto start = sys::process_start_time(::getpid());
  REQUIRE(start);
  host.leave(0, daemon::encode_spec(saved_vm(0, ::getpid(), *start)));
  host.leave(1, daemon::encode_spec(saved_vm(1, ::getpid(), *start + 1)));
  auto other_boot = saved_vm(2, ::getpid(), *start);
  other_boot.boot_id = "another";
  host.leave(2, daemon::encode_spec(other_boot));
  const auto found = daemon::survey_host(host.config);
  REQUIRE(found);
  REQUIRE(found->size() == 3);
  CHECK((*found)[0].process_alive);
  CHECK_FALSE((*found)[1].process_alive);
  CHECK_FALSE((*found)[2].process_alive);
}

TEST_CASE(
    "a directory without a readable spec is a leftover to erase; foreign names are left alone") {
  const Host host;
  host.leave(0, "");
  host.leave(1, "{ not json");
  host.leave(3, daemon::encode_spec(saved_vm(4, 0, 0)));
  REQUIRE(sys::make_directories(host.config.state_dir + "/vms/keep-me"));
  REQUIRE(sys::make_directories(host.config.state_dir + "/vms/99999"));
  REQUIRE(sys::make_directories(host.config.state_dir + "/vms/007"));
  const auto found = daemon::survey_host(host.config);
  REQUIRE(found);
  REQUIRE(found->size() == 3);
  for (const auto& leftover : *found) CHECK_FALSE(leftover.saved);
}
