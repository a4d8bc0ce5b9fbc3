#include "daemon/kept_logs.h"

#include <algorithm>

#include "catch.h"
#include "core/names.h"
#include "sys/files.h"
#include "temp_dir.h"

namespace mvr::daemon {
namespace {

class Host {
 public:
  Host() {
    config_.state_dir = dir_.path();
    config_.network.subnet = "10.231.0.0/16";
    config_.history.logs_max_size = Bytes{10'000};
  }

  // A VM with logs of so many bytes each has ended.
  void end(KeptLogs& logs, const std::string& vm, std::size_t size) {
    const core::SlotNames names = core::slot_names(config_, 0);
    REQUIRE(sys::make_directories(names.directory, 0700));
    for (const std::string which : {"console", "agent"}) {
      const std::string path = names.directory + "/" + which + ".log";
      REQUIRE(sys::write_file(path, std::string(size, 'x'), 0600));
    }
    REQUIRE(logs.keep(config_, names, vm));
    CHECK(sys::list_directory(names.directory)->empty());
  }

  [[nodiscard]] std::vector<std::string> kept() const {
    auto names = sys::list_directory(config_.state_dir + "/logs").value();
    std::ranges::sort(names);
    return names;
  }
  [[nodiscard]] std::size_t kept_bytes() const {
    std::size_t all = 0;
    for (const auto& name : kept()) {
      all += sys::read_file(config_.state_dir + "/logs/" + name, 1 << 20)->size();
    }
    return all;
  }

 private:
  test::TempDir dir_;
  core::Config config_;
};

TEST_CASE("logs of a VM are kept under its name, also where one of them is missing") {
  Host host;
  KeptLogs logs;
  host.end(logs, "small-a", 10);
  host.end(logs, "small-b", 10);
  CHECK(host.kept() == std::vector<std::string>{"small-a.agent.log", "small-a.console.log",
                                                "small-b.agent.log", "small-b.console.log"});
}

TEST_CASE("the oldest kept logs make room, whoever kept them") {
  Host host;
  KeptLogs former;
  for (int vm = 0; vm < 4; ++vm) host.end(former, "old-" + std::to_string(vm), 1000);
  KeptLogs logs;  // of the next daemon
  for (int vm = 0; vm < 20; ++vm) {
    host.end(logs, "new-" + std::to_string(vm), 1000);
    CHECK(host.kept_bytes() <= 10'000);
    CHECK(host.kept_bytes() >= 7000);
  }
  const auto kept = host.kept();
  CHECK(std::ranges::count(kept, "new-19.console.log") == 1);
  CHECK(std::ranges::none_of(kept, [](const auto& name) { return name.starts_with("old-"); }));
}

TEST_CASE("a log that alone is over the budget is not kept") {
  Host host;
  KeptLogs logs;
  host.end(logs, "small-a", 100);
  host.end(logs, "huge", 20'000);
  CHECK(host.kept() == std::vector<std::string>{"small-a.agent.log", "small-a.console.log"});
}

}  // namespace
}  // namespace mvr::daemon
