#include "daemon/status.h"

#include <nlohmann/json.hpp>

#include "catch.h"

namespace {

using namespace mvr;

constexpr Instant kNow{Duration{100'000}};
const WallTime kWall{Duration{1'700'000'000'000}};

core::Config sample() {
  core::Config config;
  config.instance = "mvr";
  config.network.subnet = "10.231.0.0/16";
  config.state_dir = "/s";
  config.run_dir = "/r";
  return config;
}

}  // namespace

TEST_CASE("a VM shows phase, ages, wall time and address") {
  core::World world;
  core::Vm vm;
  vm.slot = 1;
  vm.name = "small-x";
  vm.profile = "small";
  vm.scope = "acme/app";
  vm.phase = core::Phase::running;
  vm.since = kNow - Duration{2'000};
  vm.created = kNow - Duration{5'000};
  vm.job = "build";
  vm.size = core::Resources{gib(2), 2, gib(10)};
  world.vms[1] = vm;
  const auto status = daemon::status_json(sample(), world, core::Plan{}, kNow, kWall);
  const auto& shown = status["vms"][0];
  CHECK(shown["phase"] == "running");
  CHECK(shown["phase_ms"] == 2'000);
  CHECK(shown["age_ms"] == 5'000);
  CHECK(shown["created"] == "2023-11-14T22:13:15.000Z");
  CHECK(shown["address"] == "10.231.0.6");
  CHECK(status["used"]["memory"] == gib(2).value);
  CHECK(status["used"]["vms"] == 1);
}

TEST_CASE("a wait shows its reason as a token and as a sentence") {
  core::Plan plan;
  core::Wait wait;
  wait.scope = "acme/app";
  wait.profile = "large";
  wait.jobs = 3;
  wait.reason = core::NoMemory{gib(16), gib(9)};
  plan.waits.push_back(wait);
  const auto status = daemon::status_json(sample(), core::World{}, plan, kNow, kWall);
  CHECK(status["waits"][0]["reason"] == "no_memory");
  CHECK(status["waits"][0]["jobs"] == 3);
  const std::string text = status["waits"][0]["text"];
  CHECK(text.find("16GiB") != std::string::npos);
  CHECK(text.find("9GiB") != std::string::npos);
}

TEST_CASE("a wait has its oldest job's id, the advice and when it may change") {
  core::Plan plan;
  core::Wait wait;
  wait.scope = "acme/app";
  wait.jobs = 1;
  wait.reason = core::NoProfile{{"gpu"}};
  wait.oldest = core::JobHint{};
  wait.oldest->id = 42;
  wait.oldest->name = "build";
  wait.next = kNow + Duration{60'000};
  plan.waits.push_back(wait);
  const auto status = daemon::status_json(sample(), core::World{}, plan, kNow, kWall);
  const auto& shown = status["waits"][0];
  CHECK(shown["oldest"]["id"] == 42);
  CHECK(shown["oldest"]["job"] == "build");
  CHECK(shown["labels"] == nlohmann::json{"gpu"});
  CHECK(shown["advice"] == core::reason_advice(wait.reason));
  CHECK(shown["next"] == "2023-11-14T22:14:20.000Z");
}

TEST_CASE("draining shows its deadline in wall-clock time, if it has one") {
  core::World world;
  world.draining = true;
  auto status = daemon::status_json(sample(), world, core::Plan{}, kNow, kWall);
  CHECK(status["draining"] == true);
  CHECK_FALSE(status.contains("drain_deadline"));
  world.drain_deadline = kNow + Duration{10'000};
  status = daemon::status_json(sample(), world, core::Plan{}, kNow, kWall);
  CHECK(status["drain_deadline"] == "2023-11-14T22:13:30.000Z");
}

TEST_CASE("jobs are found by id and by name, matched or not") {
  core::World world;
  core::JobHint build;
  build.id = 1;
  build.name = "build";
  core::JobHint other = build;
  other.id = 2;
  other.name = "other";
  core::ScopeState state;
  state.demands = {core::Demand{"small", core::Jobs{build, other}, {}}};
  build.id = 3;
  state.unmatched = {build};
  world.scopes["acme/app"] = state;
  const auto by_name = daemon::about_json(sample(), world, "build", kWall);
  REQUIRE(by_name["jobs"].size() == 2);
  CHECK(by_name["jobs"][0]["profile"] == "small");
  CHECK(by_name["jobs"][1]["id"] == 3);
  CHECK(by_name["jobs"][1]["profile"] == "");
  CHECK(by_name["profile"] == false);
  CHECK(daemon::about_json(sample(), world, "2", kWall)["jobs"].size() == 1);
  CHECK(daemon::about_json(sample(), world, "7", kWall)["jobs"].empty());
}
