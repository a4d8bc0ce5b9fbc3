// Retries and rate limits of the client.
#include <algorithm>
#include <chrono>

#include "base/text.h"
#include "catch.h"
#include "github/client.h"
#include "samples.h"
#include "scripted_server.h"

namespace mvr::github {
namespace {

using namespace mvr::test;
using Log = std::vector<std::string>;
using Records = std::vector<RunnerRecord>;

const std::string kRunners = "GET /repos/acme/app/actions/runners";
const std::string kDelete = "DELETE /repos/acme/app/actions/runners/5";

Result<Records> runners(const Bench& bench) {
  return bench.wait<Records>(
      [&](auto done) { bench.client->list_runners(repository_scope(), std::move(done)); });
}

Answer limited(const std::string& retry_after) {
  Answer made = refusal(403, "API rate limit exceeded");
  made.headers["Retry-After"] = retry_after;
  return made;
}

}  // namespace

TEST_CASE("a GET is tried again when GitHub fails") {
  const Bench bench;
  Answer hang_up;
  hang_up.hangs_up = true;
  bench.server->add(kRunners, refusal(502));
  bench.server->add(kRunners, hang_up);
  bench.server->add(kRunners, refusal(503));
  bench.server->add(kRunners, answer(std::string(kRunnersPage)));
  const auto records = runners(bench);
  REQUIRE(records);
  CHECK(records->size() == 2);
  CHECK(bench.server->log().size() == 4);
}

TEST_CASE("a GET is tried again when the answer does not come in time") {
  Tuning tuning = quick();
  tuning.deadline = Duration{50};
  const Bench bench(tuning);
  Answer silent;
  silent.is_silent = true;
  bench.server->add(kRunners, silent);
  bench.server->add(kRunners, answer(std::string(kRunnersPage)));
  CHECK(runners(bench));
}

TEST_CASE("the tries of a GET come to an end") {
  const Bench bench;
  bench.server->always(kRunners, refusal(500, "boom"));
  const auto records = runners(bench);
  REQUIRE_FALSE(records);
  CHECK(records.error().code == Errc::unavailable);
  CHECK(records.error().what.find("\"boom\"") != std::string::npos);
  CHECK(bench.server->log().size() == 4);
}

TEST_CASE("a refusal that will not pass is not tried again") {
  for (const int status : {400, 401, 403, 404, 410, 422}) {
    const Bench bench;
    bench.server->always(kRunners, refusal(status));
    REQUIRE_FALSE(runners(bench));
    CHECK(bench.server->log().size() == 1);
  }
}

TEST_CASE("a server that cannot be reached is unavailable") {
  Bench bench;
  bench.server.reset();
  const auto records = runners(bench);
  REQUIRE_FALSE(records);
  CHECK(records.error().code == Errc::unavailable);
}

TEST_CASE("a request that waits for its next try does not hold up others") {
  Tuning tuning = quick();
  tuning.retry_backoff = {Duration{200}, Duration{200}};
  const Bench bench(tuning);
  bench.server->add(kRunners, refusal(502));
  bench.server->add(kRunners, answer(std::string(kRunnersPage)));
  Answer gone;
  gone.status = 204;
  bench.server->add(kDelete, gone);
  int answered = 0;
  bench.client->list_runners(repository_scope(), [&](auto) { ++answered; });
  bench.client->delete_runner(repository_scope(), 5, [&](auto) { ++answered; });
  bench.run_until([&] { return answered == 2; });
  CHECK(bench.server->log() == Log{kRunners, kDelete, kRunners});
}

TEST_CASE("a missing permission is no rate limit") {
  const Bench bench;
  bench.server->always(kRunners, refusal(403, "Resource not accessible"));
  CHECK(runners(bench).error().code == Errc::denied);
  CHECK(bench.client->not_before(repository_scope()) == Instant{});
}

TEST_CASE("a rate limit sets the time before which nothing is sent") {
  const Bench bench;
  bench.server->add(kRunners, limited("30"));
  const Instant before = bench.loop->now();
  const auto records = runners(bench);
  REQUIRE_FALSE(records);
  CHECK(records.error().code == Errc::rate_limited);
  CHECK(bench.client->not_before(repository_scope()) >= before + Duration{30'000});
  CHECK(bench.client->not_before(repository_scope()) <= bench.loop->now() + Duration{35'000});
}

TEST_CASE("a request that would wait too long for a rate limit fails at once, unsent") {
  Tuning tuning = quick();
  tuning.longest_wait = Duration{10'000};
  const Bench bench(tuning);
  bench.server->add(kRunners, limited("1800"));
  REQUIRE_FALSE(runners(bench));
  const auto second = runners(bench);
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Errc::rate_limited);
  CHECK(bench.server->log().size() == 1);
}

TEST_CASE("requests behind a short rate limit wait for its end") {
  const Bench bench;
  bench.server->add(kRunners, limited("1"));
  bench.server->add(kRunners, answer(std::string(kRunnersPage)));
  CHECK(runners(bench).error().code == Errc::rate_limited);
  const Instant end = bench.client->not_before(repository_scope());
  std::optional<Instant> answered;
  bench.client->list_runners(repository_scope(), [&](auto) { answered = bench.loop->now(); });
  while (!answered && bench.loop->now() < end + Duration{5'000}) {
    REQUIRE(bench.loop->run_once(Duration{1'000}));
  }
  REQUIRE(answered);
  CHECK(*answered >= end);
}

TEST_CASE("a limit without a time waits a minute, then longer each time") {
  const Bench bench;
  bench.server->always(kRunners, refusal(403, "You have exceeded a secondary rate limit"));
  CHECK(runners(bench).error().code == Errc::rate_limited);
  const Duration wait = bench.client->not_before(repository_scope()) - bench.loop->now();
  CHECK(wait > Duration{55'000});
  CHECK(wait <= Duration{125'000});
}

TEST_CASE("changes are spaced out after a burst") {
  Tuning tuning = quick();
  tuning.change_gap = Duration{40};
  const Bench bench(tuning);
  Answer gone;
  gone.status = 204;
  bench.server->always(kDelete, gone);
  int answered = 0;
  const Instant begin = bench.loop->now();
  for (int i = 0; i < 9; ++i) {
    bench.client->delete_runner(repository_scope(), 5, [&](auto) { ++answered; });
  }
  bench.run_until([&] { return answered == 9; });
  CHECK(bench.loop->now() - begin >= Duration{3 * 40});
}

TEST_CASE("a low budget is told to those who poll") {
  const Bench bench;
  Answer low = answer(std::string(kRunnersPage));
  low.headers["X-RateLimit-Limit"] = "5000";
  low.headers["X-RateLimit-Remaining"] = "100";
  bench.server->add(kRunners, low);
  CHECK(bench.client->stretch(repository_scope()) == 1);
  REQUIRE(runners(bench));
  CHECK(bench.client->stretch(repository_scope()) == 4);
}

TEST_CASE("what must go at once goes before looks for jobs") {
  Tuning tuning = quick();
  tuning.point_gap = Duration{20};
  const Bench bench(tuning);
  const std::string queued = "GET /repos/acme/app/actions/runs?status=queued";
  const std::string others = "GET /repos/acme/app/actions/runs?status=in_progress";
  bench.server->always(queued, answer(runs_json("")));
  bench.server->always(others, answer(runs_json("")));
  Answer gone;
  gone.status = 204;
  bench.server->always(kDelete, gone);
  int answered = 0;
  for (int i = 0; i < 3; ++i) {
    bench.client->queued_jobs(repository_scope(), [&](auto) { ++answered; });
  }
  bench.client->delete_runner(repository_scope(), 5, [&](auto) { ++answered; });
  bench.run_until([&] { return answered == 4; });
  const Log log = bench.server->log();
  const auto at = std::find(log.begin(), log.end(), kDelete) - log.begin();
  CHECK(at <= 1);
}

TEST_CASE("looks for jobs stop when their share of the limit is used up, other requests go on") {
  Tuning tuning = quick();
  tuning.longest_wait = Duration{1'000};
  Bench bench(tuning);
  bench.settings.quota_share = 0.5;
  (void)bench.client->renew(bench.settings, {});
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::system_clock::now().time_since_epoch());
  Answer none = answer(runs_json(""));
  none.headers["x-ratelimit-limit"] = "8";
  none.headers["x-ratelimit-remaining"] = "7";
  none.headers["x-ratelimit-reset"] = std::to_string(now.count() + 3'500);
  bench.server->always("GET /repos/acme/app/actions/runs?status=queued", none);
  bench.server->always("GET /repos/acme/app/actions/runs?status=in_progress", none);
  bench.server->always(kRunners, answer(std::string(kRunnersPage)));
  Result<JobListing> listing = fail(Errc::invalid, "none");
  int looks = 0;
  for (; looks < 10; ++looks) {
    listing = bench.wait<JobListing>(
        [&](auto done) { bench.client->queued_jobs(repository_scope(), std::move(done)); });
    if (!listing) break;
  }
  REQUIRE_FALSE(listing);
  CHECK(listing.error().code == Errc::rate_limited);
  CHECK(listing.error().what.find("github.quota_share") != std::string::npos);
  CHECK(bench.server->log().size() <= 4);
  CHECK(bench.client->poll_not_before(repository_scope()) > bench.loop->now());
  CHECK(bench.client->not_before(repository_scope()) == Instant{});
  CHECK(runners(bench));
  const auto accounts = bench.client->accounts();
  REQUIRE(accounts.size() == 1);
  CHECK(accounts[0].limit == 8);
  CHECK(accounts[0].allowance == 4);
  CHECK(accounts[0].charged >= 2);
}

}  // namespace mvr::github
