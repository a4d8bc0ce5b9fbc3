#include "daemon/commands.h"

#include "catch.h"

namespace {

using namespace mvr;

struct Client {
  std::string started;
  std::optional<int> code;
  std::string why;
  bool ended = false;

  daemon::CommandRequest request(const std::string& profile) {
    daemon::CommandRequest made;
    made.profile = profile;
    made.argv = {"true"};
    made.on_started = [this](core::Slot, const std::string& vm) { started = vm; };
    made.on_output = [](int, const std::string&) {};
    made.on_end = [this](const std::string& /*vm*/, std::optional<int> exit_code,
                         const std::string& text) {
      code = exit_code;
      why = text;
      ended = true;
    };
    return made;
  }
};

}  // namespace

TEST_CASE("waiting commands are demand, one level per profile, oldest first") {
  daemon::Commands commands;
  Client a;
  Client b;
  Client c;
  commands.add(a.request("small"));
  commands.add(b.request("small"));
  commands.add(c.request("large"));
  const auto demand = commands.demand(Instant{});
  REQUIRE(demand.demands.size() == 2);
  CHECK(demand.scope == core::kCommandScope);
  CHECK(demand.demands[0].profile == "large");
  CHECK(demand.demands[1].jobs.size() == 2);
  CHECK(demand.demands[1].jobs[0].id < demand.demands[1].jobs[1].id);
}

TEST_CASE("a VM gets the oldest waiting command of its profile, and asking again gives the same") {
  daemon::Commands commands;
  Client a;
  Client b;
  const auto first = commands.add(a.request("small"));
  commands.add(b.request("small"));
  CHECK(commands.assign("large", 0) == nullptr);
  REQUIRE(commands.assign("small", 4) != nullptr);
  CHECK(commands.assign("small", 4)->id == first);
}

TEST_CASE("a started command is no demand any more, and its end reaches the client") {
  daemon::Commands commands;
  Client a;
  commands.add(a.request("small"));
  commands.assign("small", 4);
  commands.mark_started(4, "small-x");
  CHECK(a.started == "small-x");
  CHECK(commands.demand(Instant{}).demands.empty());
  commands.finish(4, "vm", 7, "");
  CHECK(a.ended);
  CHECK(a.code == 7);
  CHECK(commands.empty());
}

TEST_CASE("a cancelled command names the VM to end, and nobody is called") {
  daemon::Commands commands;
  Client a;
  Client b;
  const auto waiting = commands.add(a.request("small"));
  CHECK(commands.cancel(waiting) == std::nullopt);
  const auto bound = commands.add(b.request("small"));
  commands.assign("small", 9);
  CHECK(commands.cancel(bound) == 9U);
  commands.finish(9, "vm", 0, "");
  CHECK_FALSE(a.ended);
  CHECK_FALSE(b.ended);
}

TEST_CASE("commands that wait for a VM of a profile that is gone fail, and say so") {
  core::Config config;
  config.profiles.emplace_back().name = "small";
  daemon::Commands commands;
  Client gone;
  Client served;
  Client kept;
  commands.add(served.request("gone"));
  commands.assign("gone", 4);
  commands.add(gone.request("gone"));
  commands.add(kept.request("small"));
  commands.finish_unserved(config);
  CHECK(gone.ended);
  CHECK(gone.code == std::nullopt);
  CHECK(gone.why == "profile 'gone' is no longer configured: the command did not run");
  CHECK_FALSE(kept.ended);
  CHECK_FALSE(served.ended);  // it ends with its VM
  REQUIRE(commands.find(4) != nullptr);
  const auto demand = commands.demand(Instant{});
  CHECK(demand.demands.size() == 2);
}
