// Labels to profiles, and sizes that labels spell.
#include "core/match.h"

#include <utility>

#include "catch.h"
#include "fixture.h"

namespace mvr::core::test {
namespace {

Config pattern_config() {
  Config made = config();
  Profile flex = made.profiles.front();
  flex.name = "flex";
  flex.labels = {"mv-{cpus}cpu-{memory}gb", "linux"};
  flex.size = Resources{gib(2), 1, gib(20)};
  flex.most = Resources{gib(64), 16, gib(20)};
  flex.max = 2;
  made.profiles.push_back(flex);
  return made;
}

}  // namespace

TEST_CASE("a label that spells a size belongs to an instance of the pattern") {
  const Config settings = pattern_config();
  CHECK(match_profile(settings, {"mv-4cpu-16gb"}) == "flex-4cpu-16gb");
  CHECK(match_profile(settings, {"MV-4CPU-16GB", "linux"}) == "flex-4cpu-16gb");
  CHECK(size_of(settings, "flex-4cpu-16gb") == Resources{gib(16), 4, gib(20)});
  CHECK(labels_of(settings, "flex-4cpu-16gb") == std::vector<std::string>{"mv-4cpu-16gb", "linux"});
  REQUIRE(settings.profile("flex-4cpu-16gb") != nullptr);
  CHECK(settings.profile("flex-4cpu-16gb")->name == "flex");
}

TEST_CASE("sizes beyond the pattern's limits, none, two, or misspelt match nothing") {
  const Config settings = pattern_config();
  for (const char* label :
       {"mv-17cpu-16gb", "mv-4cpu-65gb", "mv-4cpu-1gb", "mv-0cpu-16gb", "mv-04cpu-16gb",
        "mv-4cpu-16gbx", "mv-cpu-16gb", "mv-4cpu-99999gb", "mv-{cpus}cpu-{memory}gb", "mv-"}) {
    CHECK(match_profile(settings, {label}) == std::nullopt);
  }
  CHECK(match_profile(settings, {"mv-2cpu-4gb", "mv-4cpu-4gb"}) == std::nullopt);
  CHECK(match_profile(settings, {"linux"}) == "small");
  CHECK_FALSE(size_of(settings, "flex-4cpu"));
  CHECK_FALSE(size_of(settings, "flex-99cpu-16gb"));
  CHECK(settings.profile("flexible") == nullptr);
}

TEST_CASE("a trial is found by its name and serves no job") {
  Config settings = pattern_config();
  settings.runner = "current";
  Profile trial = settings.profiles.front();
  trial.name = "trial-1";
  trial.size = Resources{gib(3), 3, gib(3)};
  trial.runner = "";
  const std::vector<std::string> labels = std::exchange(trial.labels, {});
  const auto before = match_profile(settings, labels);
  settings.trials.push_back(trial);
  CHECK(match_profile(settings, labels) == before);
  CHECK(match_profile(settings, {"trial-1"}) == std::nullopt);
  REQUIRE(settings.profile("trial-1") != nullptr);
  CHECK(size_of(settings, "trial-1") == trial.size);
  CHECK(settings.is_trial("trial-1"));
  CHECK_FALSE(settings.is_trial(settings.profiles.front().name));
  CHECK(settings.runner_of(*settings.profile("trial-1")).empty());
  CHECK(settings.runner_of(settings.profiles.front()) == "current");
}

TEST_CASE("only one holder of each kind, apart from each other, makes a pattern") {
  CHECK(is_pattern_label("mv-{cpus}cpu-{memory}gb"));
  CHECK(is_pattern_label("{memory}g-{cpus}"));
  for (const char* label : {"mv-{cpus}", "{cpus}{memory}", "{memory}{cpus}", "{cpus}-{cpus}",
                            "{cpus}-{memory}-{x}", "{cpus-{memory}", "plain"}) {
    CHECK_FALSE(is_pattern_label(label));
  }
}

TEST_CASE("instances of all sizes share the limit of their pattern") {
  const Config settings = pattern_config();
  World holder = world();
  holder.scopes[kScope].demands = {Demand{"flex-2cpu-4gb", {job(1), job(2)}, {}},
                                   Demand{"flex-1cpu-2gb", {job(3)}, {}}};
  const Plan made = plan(settings, holder, kNow);
  REQUIRE(made.actions.size() == 2);
  CHECK(std::get<Launch>(made.actions.front()).size == Resources{gib(4), 2, gib(20)});
  CHECK(std::get<Launch>(made.actions.front()).profile == "flex-2cpu-4gb");
  REQUIRE(made.waits.size() == 1);
  CHECK(made.waits.front().reason == Reason{ProfileMax{2}});
}

}  // namespace mvr::core::test
