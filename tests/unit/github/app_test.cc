// Clients that act as GitHub Apps, and scopes with credentials of their own.
#include "github/app.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "catch.h"
#include "github/client.h"
#include "keys.h"
#include "samples.h"
#include "scripted_server.h"

namespace mvr::github {
namespace {

using namespace mvr::test;
using Log = std::vector<std::string>;
using Records = std::vector<RunnerRecord>;

const std::string kFind = "GET /repos/acme/app/installation";
const std::string kMint = "POST /app/installations/77/access_tokens";
const std::string kRunners = "GET /repos/acme/app/actions/runners";
const std::string kRuns = "GET /repos/acme/app/actions/runs?status=queued";
const std::string kRunning = "GET /repos/acme/app/actions/runs?status=in_progress";
const std::string kAll = R"("actions": "read", "administration": "write")";

core::Credentials app_credentials(std::int64_t installation = 0) {
  return {"", "", "", core::AppSettings{"Iv23li", "/etc/mvrunner/app.pem", "", installation}};
}

Proof app_proof(const std::string& pem = rsa_key().pkcs1) {
  return Proof{{}, *AppKey::parse(Secret(pem))};
}

core::Scope scope_of(const std::string& name, const core::Credentials& credentials = {}) {
  core::Scope scope = repository_scope();
  scope.repository = name;
  scope.credentials = credentials;
  return scope;
}

// A bench whose client is an App in every scope that has nothing of its own.
struct AppBench : Bench {
  explicit AppBench(std::int64_t installation = 0) {
    settings.credentials = app_credentials(installation);
    settings.scopes = {scope_of("app")};
    Keyring keyring;
    keyring[settings.credentials] = app_proof();
    open(std::move(keyring));
    server->always(kRunners, answer(std::string(kRunnersPage)));
  }
  void open(Keyring keyring) {
    auto made = Client::create(*loop, settings, std::move(keyring), quick());
    REQUIRE(made);
    client = std::move(*made);
  }
  [[nodiscard]] Result<Records> runners(const std::string& name = "app") const {
    return wait<Records>([&](auto done) { client->list_runners(scope_of(name), std::move(done)); });
  }
  [[nodiscard]] Result<JobListing> jobs() const {
    return wait<JobListing>(
        [&](auto done) { client->queued_jobs(repository_scope(), std::move(done)); });
  }
  [[nodiscard]] std::size_t count(const std::string& line) const {
    const Log log = server->log();
    return static_cast<std::size_t>(std::count(log.begin(), log.end(), line));
  }
  [[nodiscard]] std::string bearer() const {
    return server->seen().back().headers.at("authorization");
  }
};

Answer installed(std::int64_t id = 77) {
  return answer(R"({"id": )" + std::to_string(id) + R"(, "suspended_at": null})");
}

// A token that lives `life` seconds by the clock of a GitHub that shows the time it does.
Answer granted(const std::string& token, int life = 3600, const std::string& permissions = kAll) {
  const WallTime now = std::chrono::floor<std::chrono::seconds>(sys::wall_now());
  Answer made = answer(R"({"token": ")" + token + R"(", "expires_at": ")" +
                       format_iso8601(now + std::chrono::seconds{life}) + R"(", "permissions": {)" +
                       permissions + "}}");
  made.status = 201;
  return made;
}

bool says(const Error& error, std::string_view text) {
  return full_text(error).find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("a token is replaced five minutes early, or after half of a short life") {
  const Instant made{Duration{1'000'000}};
  const WallTime date{std::chrono::hours{500'000}};
  const auto after = [&](std::chrono::seconds life) {
    return refresh_time(made, date, date + life) - made;
  };
  CHECK(after(std::chrono::seconds{3600}) == std::chrono::minutes{55});
  CHECK(after(std::chrono::seconds{600}) == std::chrono::minutes{5});
  CHECK(after(std::chrono::seconds{240}) == std::chrono::minutes{2});
  CHECK(after(std::chrono::seconds{0}) == std::chrono::seconds{1});
  CHECK(after(std::chrono::seconds{-7200}) == std::chrono::seconds{1});
  CHECK(after(std::chrono::hours{100'000}) < std::chrono::hours{24});
}

TEST_CASE("an App finds its installation, gets a token there and uses it until it is due") {
  const AppBench bench;
  const std::string token = "ghs_12_" + std::string(900, 'x');
  bench.server->add(kFind, installed());
  bench.server->add(kMint, granted(token));
  REQUIRE(bench.runners());
  REQUIRE(bench.runners());
  CHECK(bench.server->log() == Log{kFind, kMint, kRunners, kRunners});
  CHECK(bench.bearer() == "Bearer " + token);
  const std::string jwt = bench.server->seen().at(1).headers.at("authorization").substr(7);
  const auto parts = split(jwt, '.');
  REQUIRE(parts.size() == 3);
  CHECK(verifies(jwt.substr(0, jwt.rfind('.')), decode_base64url(std::string(parts[2]))));
  CHECK(nlohmann::json::parse(decode_base64url(std::string(parts[1])))["iss"] == "Iv23li");
  CHECK(bench.server->seen().at(1).body.empty());
}

TEST_CASE("requests made meanwhile wait for one installation and one token") {
  const AppBench bench;
  Answer slow = installed();
  slow.delay = Duration{30};
  bench.server->add(kFind, slow);
  Answer slow_token = granted("ghs_a");
  slow_token.delay = Duration{30};
  bench.server->add(kMint, slow_token);
  int answered = 0;
  for (int i = 0; i < 5; ++i) {
    bench.client->list_runners(repository_scope(), [&](const Result<Records>& records) {
      CHECK(records);
      ++answered;
    });
  }
  bench.run_until([&] { return answered == 5; });
  CHECK(bench.server->log() == Log{kFind, kMint, kRunners, kRunners, kRunners, kRunners, kRunners});
}

TEST_CASE("a token is replaced before it expires, and what was known stays known") {
  const AppBench bench;
  bench.server->add(kFind, installed());
  bench.server->add(kMint, granted("ghs_a", 8));
  bench.server->add(kMint, granted("ghs_b"));
  bench.server->add(kRunners, answer(std::string(kRunnersPage), "\"tag\""));
  REQUIRE(bench.runners());
  CHECK(bench.bearer() == "Bearer ghs_a");
  const Instant later = bench.loop->now() + Duration{4'100};
  bench.run_until([&] { return bench.loop->now() > later; });
  REQUIRE(bench.runners());
  CHECK(bench.bearer() == "Bearer ghs_b");
  CHECK(bench.server->seen().back().headers.at("if-none-match") == "\"tag\"");
  CHECK(bench.count(kFind) == 1);
}

TEST_CASE("while no new token is to be had, the one that lives is used on") {
  const AppBench bench;
  bench.server->add(kFind, installed());
  bench.server->add(kMint, granted("ghs_a", 8));
  bench.server->always(kMint, refusal(502));
  REQUIRE(bench.runners());
  const Instant due = bench.loop->now() + Duration{4'100};
  bench.run_until([&] { return bench.loop->now() > due; });
  REQUIRE(bench.runners());
  CHECK(bench.bearer() == "Bearer ghs_a");
  CHECK(bench.count(kMint) == 2);
}

TEST_CASE("a refused token is replaced once, for any kind of request") {
  const AppBench bench;
  bench.server->add(kFind, installed());
  for (const char* token : {"ghs_a", "ghs_b", "ghs_c"}) bench.server->add(kMint, granted(token));
  bench.server->add(kRunners, refusal(401));
  REQUIRE(bench.runners());
  CHECK(bench.bearer() == "Bearer ghs_b");
  const std::string jit = "POST /repos/acme/app/actions/runners/generate-jitconfig";
  bench.server->add(jit, refusal(401));
  Answer made = answer(std::string(kJitAnswer));
  made.status = 201;
  bench.server->add(jit, made);
  CHECK(bench.wait<JitConfig>([&](auto done) {
    bench.client->generate_jit(repository_scope(), "mv-h1-00c0ffee", {"x"}, std::move(done));
  }));
  CHECK(bench.bearer() == "Bearer ghs_c");
  CHECK(bench.server->log() == Log{kFind, kMint, kRunners, kMint, kRunners, jit, kMint, jit});
}

TEST_CASE("a second refusal stands") {
  const AppBench bench;
  bench.server->add(kFind, installed());
  bench.server->always(kMint, granted("ghs_a"));
  bench.server->always(kRunners, refusal(401));
  const auto records = bench.runners();
  REQUIRE_FALSE(records);
  CHECK(records.error().code == Errc::unauthorized);
  CHECK(says(records.error(), "GitHub App Iv23li"));
  CHECK(bench.server->log() == Log{kFind, kMint, kRunners, kMint, kRunners});
}

TEST_CASE("an operator's token that is refused is not asked for again") {
  const Bench bench;
  bench.server->always(kRunners, refusal(401));
  const auto records = bench.wait<Records>(
      [&](auto done) { bench.client->list_runners(repository_scope(), std::move(done)); });
  CHECK(says(records.error(), "/etc/mvrunner/token"));
  CHECK(bench.server->log() == Log{kRunners});
}

TEST_CASE("scopes share the token of their installation, others have their own") {
  AppBench bench;
  const core::Credentials token{"/t", "", "", {}};
  bench.settings.scopes = {scope_of("app"), scope_of("lib"), scope_of("far"),
                           scope_of("own", token)};
  Keyring keyring;
  keyring[app_credentials()] = app_proof();
  keyring[token] = Proof{Secret("ghp_own"), {}};
  bench.open(std::move(keyring));
  bench.server->add(kFind, installed());
  bench.server->add("GET /repos/acme/lib/installation", installed());
  bench.server->add("GET /repos/acme/far/installation", installed(78));
  bench.server->add(kMint, granted("ghs_77"));
  bench.server->add("POST /app/installations/78/access_tokens", granted("ghs_78"));
  std::vector<std::string> bearers;
  for (const char* name : {"app", "lib", "far", "own"}) {
    bench.server->always("GET /repos/acme/" + std::string(name) + "/actions/runners",
                         answer(std::string(kRunnersPage)));
    REQUIRE(bench.runners(name));
    bearers.push_back(bench.bearer());
  }
  CHECK(bearers == Log{"Bearer ghs_77", "Bearer ghs_77", "Bearer ghs_78", "Bearer ghp_own"});
  CHECK(bench.count(kMint) == 1);
}

TEST_CASE("a limit of one account holds up no other") {
  AppBench bench;
  const core::Credentials token{"/t", "", "", {}};
  bench.settings.scopes = {scope_of("app"), scope_of("own", token)};
  Keyring keyring;
  keyring[app_credentials()] = app_proof();
  keyring[token] = Proof{Secret("ghp_own"), {}};
  bench.open(std::move(keyring));
  const std::string own = "GET /repos/acme/own/actions/runners";
  Answer limited = refusal(429);
  limited.headers["Retry-After"] = "3600";
  bench.server->add(own, limited);
  CHECK(bench.runners("own").error().code == Errc::rate_limited);
  bench.server->add(kFind, installed());
  bench.server->add(kMint, granted("ghs_a"));
  CHECK(bench.runners());
  CHECK(bench.client->not_before(scope_of("own")) > bench.loop->now());
  CHECK(bench.client->not_before(scope_of("app")) == Instant{});
}

TEST_CASE("an installation that is given is not looked up") {
  const AppBench bench(77);
  bench.server->add(kMint, granted("ghs_a"));
  REQUIRE(bench.runners());
  CHECK(bench.server->log() == Log{kMint, kRunners});
}

TEST_CASE("an App that is not installed or is suspended says so, and tries again next time") {
  const AppBench bench;
  bench.server->add(kFind, refusal(404));
  bench.server->add(kFind, answer(R"({"id": 77, "suspended_at": "2026-11-20T10:00:00Z"})"));
  bench.server->add(kFind, installed());
  bench.server->add(kMint, granted("ghs_a"));
  const auto absent = bench.runners();
  CHECK(absent.error().code == Errc::not_found);
  CHECK(says(absent.error(), "not installed"));
  const auto suspended = bench.runners();
  CHECK(suspended.error().code == Errc::denied);
  CHECK(says(suspended.error(), "suspended"));
  CHECK(bench.runners());
}

TEST_CASE("an installation that has gone is looked up again") {
  const AppBench bench;
  bench.server->add(kFind, installed(76));
  bench.server->add("POST /app/installations/76/access_tokens", refusal(404));
  bench.server->add(kFind, installed());
  bench.server->add(kMint, granted("ghs_a"));
  CHECK(bench.runners().error().code == Errc::not_found);
  CHECK(bench.runners());
}

TEST_CASE("a permission an App lacks is the scope's failure until it is granted") {
  const AppBench bench;
  bench.server->add(kFind, installed());
  bench.server->add(kMint, granted("ghs_a", 3600, R"("actions": "read")"));
  bench.server->add(kMint, granted("ghs_b"));
  bench.server->always(kRuns, answer(runs_json("")));
  bench.server->always(kRunning, answer(runs_json("")));
  const auto lacking = bench.jobs();
  REQUIRE_FALSE(lacking);
  CHECK(lacking.error().code == Errc::denied);
  CHECK(says(lacking.error(), "acme/app"));
  CHECK(says(lacking.error(), "\"Administration: write\""));
  CHECK_FALSE(says(lacking.error(), "Actions"));
  CHECK(bench.jobs());
}

TEST_CASE("a refusal for lack of permissions names all that are lacking") {
  const AppBench bench;
  bench.server->add(kFind, installed());
  bench.server->add(kMint, granted("ghs_a", 3600, ""));
  bench.server->add(kRuns, refusal(403));
  const auto lacking = bench.jobs();
  CHECK(says(lacking.error(), "\"Actions: read\""));
  CHECK(says(lacking.error(), "\"Administration: write\""));
}

TEST_CASE("a scope a classic token lacks is named") {
  const Bench bench;
  Answer runs = answer(runs_json(""));
  runs.headers["X-OAuth-Scopes"] = "gist, read:org";
  bench.server->always(kRuns, runs);
  bench.server->always(kRunning, runs);
  const auto lacking = bench.wait<JobListing>(
      [&](auto done) { bench.client->queued_jobs(repository_scope(), std::move(done)); });
  REQUIRE_FALSE(lacking);
  CHECK(lacking.error().code == Errc::denied);
  CHECK(says(lacking.error(), "lacks the scope repo"));
  CHECK(says(lacking.error(), "gist, read:org"));
}

TEST_CASE("an empty list of scopes says nothing of what a token may do") {
  const Bench bench;
  Answer runs = answer(runs_json(""));
  runs.headers["X-OAuth-Scopes"] = "";
  bench.server->always(kRuns, runs);
  bench.server->always(kRunning, runs);
  CHECK(bench.wait<JobListing>(
      [&](auto done) { bench.client->queued_jobs(repository_scope(), std::move(done)); }));
}

TEST_CASE("a signature refused for the clock says so, and the clock is warned of once") {
  const AppBench bench;
  std::vector<Duration> warned;
  bench.client->on_clock_skew([&](Duration offset) { warned.push_back(offset); });
  Answer refused = refusal(401, "'Expiration time' claim ('exp') is too far in the future");
  refused.headers["Date"] = "Fri, 20 Nov 2020 10:00:00 GMT";
  bench.server->always(kFind, refused);
  const auto records = bench.runners();
  REQUIRE_FALSE(records);
  CHECK(records.error().code == Errc::unauthorized);
  CHECK(says(records.error(), "ahead of GitHub's"));
  CHECK(says(records.error(), "timedatectl"));
  CHECK_FALSE(bench.runners());
  REQUIRE(warned.size() == 1);
  CHECK(warned[0] > std::chrono::hours{24});
}

TEST_CASE("a renewed client signs with the new key; the same key is no change") {
  AppBench bench;
  bench.server->always(kFind, refusal(404));
  CHECK_FALSE(bench.runners());
  Keyring same;
  same[app_credentials()] = app_proof(rsa_key().pkcs8);
  CHECK_FALSE(bench.client->renew(bench.settings, std::move(same)));
  Keyring other;
  other[app_credentials()] = app_proof(other_rsa_key());
  CHECK(bench.client->renew(bench.settings, std::move(other)));
  CHECK_FALSE(bench.runners());
  const auto jwt = [&](std::size_t at) {
    return bench.server->seen().at(at).headers.at("authorization").substr(7);
  };
  const auto is_by_first = [&](const std::string& text) {
    const auto end = text.rfind('.');
    return verifies(text.substr(0, end), decode_base64url(text.substr(end + 1)));
  };
  CHECK(is_by_first(jwt(0)));
  CHECK_FALSE(is_by_first(jwt(1)));
}

TEST_CASE("a scope that left the configuration keeps its credentials") {
  AppBench bench;
  bench.server->add(kFind, installed());
  bench.server->always(kMint, granted("ghs_a"));
  bench.settings.scopes.clear();
  bench.settings.credentials = {"/t", "", "", {}};
  CHECK_FALSE(bench.client->renew(bench.settings, keyring_of(bench.settings, "ghp_a")));
  REQUIRE(bench.runners());
  CHECK(bench.bearer() == "Bearer ghs_a");
  bench.server->add("GET /repos/acme/never/actions/runners", answer(std::string(kRunnersPage)));
  REQUIRE(bench.runners("never"));
  CHECK(bench.bearer() == "Bearer ghp_a");
}

TEST_CASE("a scope without credentials is told so, from the loop") {
  AppBench bench;
  bench.settings.credentials = {};
  bench.settings.scopes.clear();
  bench.open({});
  bool is_calling = true;
  bool is_done = false;
  bench.client->list_runners(repository_scope(), [&](const Result<Records>& records) {
    CHECK_FALSE(is_calling);
    CHECK(records.error().code == Errc::not_found);
    is_done = true;
  });
  is_calling = false;
  bench.run_until([&] { return is_done; });
}

TEST_CASE("a client may go in the answer that its installation was waited for") {
  for (const bool is_found : {false, true}) {
    AppBench bench;
    bench.server->add(kFind, is_found ? installed() : refusal(404));
    bench.server->add(kMint, refusal(403));
    bool is_done = false;
    bench.client->list_runners(repository_scope(), [&](const Result<Records>&) {
      bench.client.reset();
      is_done = true;
    });
    bench.client->list_runners(repository_scope(),
                               [&](const Result<Records>&) { FAIL("called back after the end"); });
    bench.run_until([&] { return is_done; });
  }
}

}  // namespace mvr::github
