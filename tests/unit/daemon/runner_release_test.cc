#include "daemon/runner_release.h"

#include "base/text.h"
#include "catch.h"

namespace mvr::daemon {
namespace {

const Release kRelease{"runner r sha256:1", "runner release 2.300.0", "2.300.0",
                       "mvrunner runner install"};
constexpr Duration kDay{86'400'000};

WallTime now() { return *parse_iso8601("2026-11-20T10:00:00Z"); }

ReleaseState judged(Duration left) {
  return judge_release(kRelease, {now() + left, std::nullopt}, now());
}

core::Config config_with_scope() {
  core::Config config;
  core::Scope scope;
  scope.owner = "acme";
  config.github.scopes = {scope};
  return config;
}

}  // namespace

TEST_CASE("a release is good until two weeks before its end") {
  CHECK(judge_release(kRelease, {}, now()).verdict == ReleaseVerdict::good);
  CHECK(judged(kDay * 15).verdict == ReleaseVerdict::good);
  CHECK(judged(kDay * 15).text.empty());
  CHECK(judged(kDay * 14).verdict == ReleaseVerdict::warning);
  CHECK(judged(kDay * 3 + Duration{1}).verdict == ReleaseVerdict::warning);
  CHECK(judged(kDay * 3).verdict == ReleaseVerdict::urgent);
  CHECK(judged(Duration{1}).verdict == ReleaseVerdict::urgent);
  CHECK(judged(Duration{0}).verdict == ReleaseVerdict::out);
  CHECK(judged(-kDay * 100).verdict == ReleaseVerdict::out);
}

TEST_CASE("the first of the two dates is the end") {
  const WallTime early = now() + kDay;
  const WallTime late = now() + kDay * 2;
  CHECK_FALSE(end_of({}));
  CHECK(end_of({early, late}) == early);
  CHECK(end_of({late, early}) == early);
  CHECK(end_of({std::nullopt, late}) == late);
  CHECK(end_of({late, std::nullopt}) == late);
}

TEST_CASE("what is said names the release, the date and the remedy") {
  CHECK(judged(-kDay).text ==
        "runner release 2.300.0 is no longer accepted by GitHub since 2026-11-19: "
        "mvrunner runner install");
  CHECK(judged(kDay).text ==
        "GitHub accepts runner release 2.300.0 until 2026-11-21 only, for 1d: "
        "mvrunner runner install");
}

TEST_CASE("a refused release is out of use for new VMs, and no other is") {
  const auto loop = sys::Loop::create();
  REQUIRE(loop);
  ReleaseWatch watch(**loop);
  CHECK_FALSE(watch.knows_any());
  CHECK(watch.why_not(kRelease).empty());
  watch.refused(kRelease);
  CHECK(watch.knows_any());
  const std::string why = watch.why_not(kRelease);
  CHECK(why.starts_with("runner release 2.300.0 is no longer accepted by GitHub since "));
  Release other = kRelease;
  other.key = "runner r sha256:2";
  CHECK(watch.why_not(other).empty());
  CHECK_FALSE(watch.left());
  // Nothing that happens now and then forgets it before its day is over.
  watch.tend(config_with_scope(), nullptr, other);
  CHECK(watch.why_not(kRelease) == why);
}

TEST_CASE("images bring their own release unless one is configured") {
  core::Config config;
  config.state_dir = "/nonexistent";
  CHECK_FALSE(configured_release(config));
  config.runner = "r";
  CHECK_FALSE(configured_release(config));  // it is not installed, which is said elsewhere
  CHECK_FALSE(release_of(config, core::Profile{}));
}

}  // namespace mvr::daemon
