#include "github/errors.h"

#include "base/text.h"
#include "catch.h"
#include "github/clock.h"

namespace mvr::github {
namespace {

using core::ScopeKind;
using Headers = std::map<std::string, std::string>;

WallTime now() { return *parse_iso8601("2026-11-20T10:00:00Z"); }
constexpr std::uint64_t kNowSeconds = 1795168800;

CallInfo call(Endpoint endpoint, ScopeKind scope = ScopeKind::repository) {
  return CallInfo{endpoint, scope, "GET /repos/o/r/x"};
}

const Authority kToken{Authority::Kind::token, "/etc/mvrunner/token", {}};
const Authority kApp{Authority::Kind::app, "/etc/mvrunner/app.pem", "Iv23li"};
const Authority kInstallation{Authority::Kind::installation, "/etc/mvrunner/app.pem", "Iv23li"};

Refusal refusal(int status, const std::string& body, const Headers& headers = {},
                Endpoint endpoint = Endpoint::list_runs) {
  return explain_refusal(sys::HttpResponse{status, headers, body}, call(endpoint), kToken,
                         Clocks{now(), Duration{0}});
}

bool says(const Refusal& refusal, std::string_view text) {
  return full_text(refusal.error).find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("each status has its code") {
  struct Case {
    int status;
    Endpoint endpoint;
    Errc code;
  };
  const std::vector<Case> cases{{401, Endpoint::list_runs, Errc::unauthorized},
                                {403, Endpoint::list_runs, Errc::denied},
                                {404, Endpoint::list_runs, Errc::not_found},
                                {409, Endpoint::generate_jit, Errc::exists},
                                {410, Endpoint::list_runs, Errc::unsupported},
                                {422, Endpoint::generate_jit, Errc::invalid},
                                {422, Endpoint::delete_runner, Errc::busy},
                                {429, Endpoint::list_runs, Errc::rate_limited},
                                {500, Endpoint::list_runs, Errc::unavailable},
                                {502, Endpoint::list_runs, Errc::unavailable},
                                {503, Endpoint::list_runs, Errc::unavailable},
                                {400, Endpoint::list_runs, Errc::protocol},
                                {418, Endpoint::list_runs, Errc::protocol},
                                {304, Endpoint::list_runs, Errc::protocol},
                                {0, Endpoint::list_runs, Errc::protocol}};
  for (const Case& c : cases) {
    INFO(c.status);
    CHECK(refusal(c.status, "{}", {}, c.endpoint).error.code == c.code);
  }
}

TEST_CASE("an error names the request, the status, GitHub's words and the remedy") {
  const Refusal r = refusal(401, R"({"message": "Bad credentials"})");
  CHECK(says(r, "GET /repos/o/r/x: HTTP 401 \"Bad credentials\": "));
  CHECK(says(r, "/etc/mvrunner/token"));
}

TEST_CASE("a denied request names the permission its endpoint needs") {
  const std::string body = R"({"message": "Resource not accessible by personal access token"})";
  CHECK(says(refusal(403, body), "Actions: read"));
  CHECK(says(refusal(403, body, {}, Endpoint::generate_jit), "Administration: write"));
  const Refusal organization =
      explain_refusal(sys::HttpResponse{403, {}, body},
                      call(Endpoint::generate_jit, ScopeKind::organization), kToken, Clocks{});
  CHECK(says(organization, "Self-hosted runners: write"));
  CHECK(says(organization, "admin:org"));
}

TEST_CASE("a denied request repeats the permissions GitHub would accept") {
  CHECK(says(refusal(403, "{}", {{"x-accepted-github-permissions", "actions=read"}}),
             "actions=read"));
}

TEST_CASE("what an App lacks is said of the App, not of a token") {
  const Refusal denied = explain_refusal(sys::HttpResponse{403, {}, "{}"},
                                         call(Endpoint::generate_jit), kInstallation, Clocks{});
  CHECK(says(denied, "the GitHub App Iv23li needs \"Administration: write\""));
  CHECK_FALSE(says(denied, "classic"));
  CHECK_FALSE(says(denied, "token needs"));
}

TEST_CASE("an App that is not installed, suspended or removed is told so") {
  const auto told = [](int status, Endpoint endpoint) {
    return explain_refusal(sys::HttpResponse{status, {}, "{}"}, call(endpoint), kApp, Clocks{});
  };
  CHECK(says(told(404, Endpoint::find_installation), "not installed"));
  CHECK(says(told(404, Endpoint::create_token), "app.installation"));
  CHECK(says(told(403, Endpoint::create_token), "suspended"));
}

TEST_CASE("a refused signature names key and id, or the clock when that is off") {
  const auto told = [](Duration offset) {
    return explain_refusal(sys::HttpResponse{401, {}, "{}"}, call(Endpoint::create_token), kApp,
                           Clocks{now(), offset});
  };
  CHECK(says(told(Duration{0}), "/etc/mvrunner/app.pem"));
  CHECK(says(told(Duration{20'000}), "app.id"));
  CHECK(says(told(Duration{720'000}), "12m ahead of GitHub's"));
  CHECK(says(told(Duration{-720'000}), "12m behind GitHub's"));
  CHECK(says(told(Duration{-720'000}), "timedatectl"));
}

TEST_CASE("clocks differ only as far as no delay explains it") {
  const WallTime date = now();
  const auto offset = [&](int sent, int received) {
    return clock_offset(date, date + Duration{sent}, date + Duration{received});
  };
  CHECK(offset(0, 0) == Duration{0});
  CHECK(offset(-20'000, 20'000) == Duration{0});
  CHECK(offset(900, 999) == Duration{0});  // Date is cut to seconds
  CHECK(offset(61'000, 62'000) == Duration{60'000});
  CHECK(offset(-90'000, -60'000) == Duration{-60'000});
  CHECK_FALSE(is_clock_off(Duration{30'000}));
  CHECK(is_clock_off(Duration{30'001}));
  CHECK(is_clock_off(Duration{-30'001}));
}

TEST_CASE("a token not authorised for single sign-on is told so") {
  const Refusal r = refusal(403, "{}", {{"x-github-sso", "required; url=https://x"}});
  CHECK(r.error.code == Errc::denied);
  CHECK(says(r, "single sign-on"));
}

TEST_CASE("a used-up budget waits for its reset") {
  const std::string reset = std::to_string(kNowSeconds + 90);
  for (const int status : {403, 429}) {
    const Refusal r =
        refusal(status, "{}", {{"x-ratelimit-remaining", "0"}, {"x-ratelimit-reset", reset}});
    CHECK(r.error.code == Errc::rate_limited);
    CHECK(r.wait == Duration{91'000});
  }
}

TEST_CASE("retry-after counts before the reset") {
  const Refusal r = refusal(403, "{}",
                            {{"retry-after", "30"},
                             {"x-ratelimit-remaining", "0"},
                             {"x-ratelimit-reset", std::to_string(kNowSeconds + 900)}});
  CHECK(r.error.code == Errc::rate_limited);
  CHECK(r.wait == Duration{30'000});
}

TEST_CASE("retry-after may be a date") {
  const Refusal r = refusal(429, "{}", {{"retry-after", "Fri, 20 Nov 2026 10:00:20 GMT"}});
  CHECK(r.wait == Duration{20'000});
}

TEST_CASE("the secondary limit is known by its text") {
  const Refusal r =
      refusal(403, R"({"message": "You have exceeded a secondary rate limit. Please wait"})");
  CHECK(r.error.code == Errc::rate_limited);
  CHECK_FALSE(r.wait.has_value());
}

TEST_CASE("a wait is never negative and never longer than an hour") {
  const auto wait = [](const Headers& headers) { return *refusal(403, "{}", headers).wait; };
  CHECK(wait({{"retry-after", "0"}}) == Duration{1'000});
  CHECK(wait({{"retry-after", "99999999999999"}}) == Duration{3'600'000});
  CHECK(wait({{"retry-after", "Fri, 20 Nov 2020 10:00:20 GMT"}}) == Duration{1'000});
  CHECK(wait({{"x-ratelimit-remaining", "0"}, {"x-ratelimit-reset", "5"}}) == Duration{1'000});
  CHECK(wait({{"x-ratelimit-remaining", "0"}, {"x-ratelimit-reset", "18446744073709551615"}}) ==
        Duration{3'600'000});
}

TEST_CASE("a limit without a readable time has none") {
  CHECK_FALSE(refusal(403, "{}", {{"x-ratelimit-remaining", "0"}}).wait.has_value());
  CHECK_FALSE(refusal(429, "{}", {{"retry-after", "soon"}}).wait.has_value());
}

TEST_CASE("a missing permission is no rate limit while budget is left") {
  CHECK(refusal(403, R"({"message": "Must have admin rights to Repository."})",
                {{"x-ratelimit-remaining", "4999"}, {"x-ratelimit-reset", "5"}})
            .error.code == Errc::denied);
}

TEST_CASE("an error text of a proxy's page holds none of it") {
  const Refusal r = refusal(502, "<html>\x1b[31mBad Gateway</html>");
  CHECK(r.error.code == Errc::unavailable);
  CHECK_FALSE(says(r, "html"));
}

TEST_CASE("polling slows down as the budget runs low") {
  CHECK(stretch_for({5000, 5000}) == 1);
  CHECK(stretch_for({5000, 500}) == 1);
  CHECK(stretch_for({5000, 499}) == 2);
  CHECK(stretch_for({5000, 149}) == 4);
  CHECK(stretch_for({5000, 0}) == 4);
}

TEST_CASE("the budget is read from both headers or not at all") {
  CHECK(budget_of({{"x-ratelimit-limit", "5000"}, {"x-ratelimit-remaining", "17"}}) ==
        Budget{5000, 17});
  CHECK_FALSE(budget_of({}).has_value());
  CHECK_FALSE(budget_of({{"x-ratelimit-limit", "5000"}}).has_value());
  CHECK_FALSE(budget_of({{"x-ratelimit-limit", "0"}, {"x-ratelimit-remaining", "0"}}).has_value());
}

}  // namespace mvr::github
