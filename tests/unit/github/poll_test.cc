#include "github/poll.h"

#include "catch.h"

namespace mvr::github {
namespace {

core::Profile profile(std::string name, std::vector<std::string> labels) {
  core::Profile made;
  made.name = std::move(name);
  made.labels = std::move(labels);
  return made;
}

core::JobHint job(std::int64_t id, std::vector<std::string> labels) {
  core::JobHint hint;
  hint.id = id;
  hint.labels = std::move(labels);
  return hint;
}

}  // namespace

TEST_CASE("a poll's pause is the interval and up to a tenth more") {
  bool differ = false;
  for (std::uint64_t round = 0; round < 100; ++round) {
    const Duration pause = poll_pause(Duration{10'000}, 1, "acme/app", round);
    CHECK(pause >= Duration{10'000});
    CHECK(pause <= Duration{11'000});
    differ = differ || pause != poll_pause(Duration{10'000}, 1, "acme/app", round + 1);
  }
  CHECK(differ);
}

TEST_CASE("a low budget stretches the pause") {
  CHECK(poll_pause(Duration{10'000}, 4, "acme/app", 3) >= Duration{40'000});
}

TEST_CASE("there is a pause even without an interval") {
  CHECK(poll_pause(Duration{0}, 1, "acme/app", 3) >= Duration{1'000});
}

TEST_CASE("a failed poll comes again later and later, within a minute") {
  const Instant now{Duration{5'000'000}};
  for (std::uint32_t failures = 1; failures < 40; ++failures) {
    const Instant at = retry_at(now, Instant{}, "acme/app", failures);
    CHECK(at > now);
    CHECK(at <= now + Duration{60'000});
  }
  CHECK(retry_at(now, Instant{}, "x", 20) > retry_at(now, Instant{}, "x", 1));
}

TEST_CASE("a failed poll waits for GitHub's own time when that is later") {
  const Instant now{Duration{5'000'000}};
  CHECK(retry_at(now, now + Duration{900'000}, "x", 1) == now + Duration{900'000});
}

TEST_CASE("jobs become the demand of the first profile that serves them") {
  core::Config config;
  config.profiles = {profile("small", {"mv-small"}), profile("large", {"mv-large", "mv-small"})};
  core::Scope scope;
  scope.owner = "acme";
  scope.repository = "app";
  JobListing listing;
  listing.as_of = Instant{Duration{77}};
  listing.jobs = {job(1, {"mv-large"}), job(2, {"MV-Small"}), job(3, {"ubuntu-latest"}),
                  job(4, {"mv-small"})};
  const core::DemandSeen seen = demand_of(config, scope, listing);
  CHECK(seen.scope == "acme/app");
  CHECK(seen.as_of == Instant{Duration{77}});
  CHECK(seen.demands ==
        std::vector<core::Demand>{{"large", {listing.jobs[0]}, {}},
                                  {"small", {listing.jobs[1], listing.jobs[3]}, {}}});
  CHECK(seen.unmatched == std::vector<core::JobHint>{listing.jobs[2]});
}

}  // namespace mvr::github
