#include "github/poll.h"

#include "catch.h"
#include "github/quota.h"

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
  const Pause wanted{Duration{10'000}, 1, Duration{1'000}};
  for (std::uint64_t round = 0; round < 100; ++round) {
    const Duration pause = poll_pause(wanted, "acme/app", round);
    CHECK(pause >= Duration{10'000});
    CHECK(pause <= Duration{11'000});
    differ = differ || pause != poll_pause(wanted, "acme/app", round + 1);
  }
  CHECK(differ);
}

TEST_CASE("a low budget stretches the pause") {
  CHECK(poll_pause({Duration{10'000}, 4, Duration{1'000}}, "acme/app", 3) >= Duration{40'000});
}

TEST_CASE("there is a pause even without an interval") {
  CHECK(poll_pause({Duration{0}, 1, Duration{1'000}}, "acme/app", 3) >= Duration{1'000});
}

TEST_CASE("a repository is looked at less often the longer nothing happens there") {
  using std::chrono::hours;
  core::GithubSettings settings;
  settings.poll_interval = Duration{10'000};
  settings.idle_interval = Duration{60'000};
  CHECK(look_interval(settings, Duration{0}) == Duration{10'000});
  CHECK(look_interval(settings, hours(1)) == Duration{10'000});
  CHECK(look_interval(settings, hours(3)) == Duration{30'000});
  CHECK(look_interval(settings, hours(600)) == Duration{60'000});
  settings.idle_interval = Duration{1'000};
  CHECK(look_interval(settings, hours(600)) == Duration{10'000});
}

TEST_CASE("a job is seen within the longest pause and a look at all others") {
  core::GithubSettings settings;
  settings.poll_interval = Duration{10'000};
  settings.idle_interval = Duration{60'000};
  CHECK(worst_latency(settings, 1, Duration{150}, 1) == Duration{66'240});
  CHECK(worst_latency(settings, 500, Duration{150}, 1) == Duration{66'000 + 120'000});
  CHECK(worst_latency(settings, 0, Duration{150}, 4) == Duration{264'000});
}

TEST_CASE("polling takes its share of an hour's limit, half of it at once") {
  const Instant start{Duration{10'000'000}};
  const Duration hour{3'600'000};
  Quota quota(0.4);
  for (int i = 0; i < 10'000; ++i) quota.charge(start);
  CHECK(quota.ready_at(start) == start);  // GitHub has told no limit
  quota = Quota(0.4);
  quota.learn({1'000, 1'000}, start + hour);
  CHECK(quota.allowance() == 400);
  Instant now = start;
  int sent = 0;
  for (; quota.ready_at(now) < start + hour; ++sent) {
    now = quota.ready_at(now);
    quota.charge(now);
    if (sent == 199) CHECK(now == start);
    if (sent == 300) CHECK(now >= start + hour / 2);
  }
  CHECK(sent == 400);
  // GitHub's window is counted, not ours: a whole second more or less is the same one.
  quota.learn({1'000, 500}, start + hour + Duration{900});
  CHECK(quota.ready_at(now) == start + hour + Duration{900});
  quota.learn({1'000, 999}, start + 2 * hour);
  CHECK(quota.ready_at(now) == now);
  CHECK(quota.charged(now) == 0);
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

TEST_CASE("a job whose origin no profile serves is no demand") {
  core::Config config;
  config.profiles = {profile("small", {"mv"}), profile("open", {"mv"})};
  config.profiles[1].public_repositories = true;
  core::Scope scope;
  scope.owner = "acme";
  JobListing listing;
  listing.jobs = {job(1, {"mv"}), job(2, {"mv"}), job(3, {"mv"}), job(4, {"mv"})};
  listing.jobs[1].is_public = true;
  listing.jobs[2].is_fork = true;
  listing.jobs[3].bar = core::GroupBar::hides_repository;
  const core::DemandSeen seen = demand_of(config, scope, listing);
  CHECK(seen.demands == std::vector<core::Demand>{{"open", {listing.jobs[1]}, {}},
                                                  {"small", {listing.jobs[0]}, {}}});
  CHECK(seen.unmatched == std::vector<core::JobHint>{listing.jobs[2], listing.jobs[3]});
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
