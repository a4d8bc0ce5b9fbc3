#include "github/client.h"

#include <algorithm>

#include "base/text.h"
#include "catch.h"
#include "samples.h"
#include "scripted_server.h"

namespace mvr::github {
namespace {

using namespace mvr::test;
using Log = std::vector<std::string>;

const std::string kJit = "POST /repos/acme/app/actions/runners/generate-jitconfig";
const std::string kOrgJit = "POST /orgs/acme/actions/runners/generate-jitconfig";
const std::string kRunners = "GET /repos/acme/app/actions/runners";

Answer created(std::string_view body) {
  Answer made = answer(std::string(body));
  made.status = 201;
  return made;
}

Result<JitConfig> generate(const Bench& bench, const core::Scope& scope) {
  return bench.wait<JitConfig>([&](auto done) {
    bench.client->generate_jit(scope, "mv-h1-00c0ffee", {"mv-4c8g"}, std::move(done));
  });
}

Result<std::vector<RunnerRecord>> runners(const Bench& bench) {
  return bench.wait<std::vector<RunnerRecord>>(
      [&](auto done) { bench.client->list_runners(repository_scope(), std::move(done)); });
}

Result<bool> remove(const Bench& bench, std::int64_t id) {
  return bench.wait<bool>(
      [&](auto done) { bench.client->delete_runner(repository_scope(), id, std::move(done)); });
}

}  // namespace

TEST_CASE("every request carries GitHub's headers and no others of ours") {
  const Bench bench;
  bench.server->always(kRunners, answer(std::string(kRunnersPage)));
  REQUIRE(runners(bench));
  auto headers = bench.server->seen().at(0).headers;
  CHECK(headers["authorization"] == "Bearer ghp_test");
  CHECK(headers["accept"] == "application/vnd.github+json");
  CHECK(headers["x-github-api-version"] == "2022-11-28");
  CHECK(headers["user-agent"] == std::string("mvrunner/") + MVR_VERSION);
  CHECK(headers.size() == 5);  // and Host
}

TEST_CASE("a renewed client sends the new token and labels, and what waited goes on") {
  Bench bench;
  bench.server->always(kRunners, answer(std::string(kRunnersPage)));
  bench.server->add(kJit, created(kJitAnswer));
  REQUIRE(runners(bench));
  bench.settings.extra_labels = {"fresh"};
  CHECK_FALSE(bench.client->renew(bench.settings, keyring_of(bench.settings, "ghp_test")));
  CHECK(bench.client->renew(bench.settings, keyring_of(bench.settings, "ghp_other")));
  REQUIRE(generate(bench, repository_scope()));
  const auto& last = bench.server->seen().back();
  CHECK(last.headers.at("authorization") == "Bearer ghp_other");
  CHECK(last.body.find("fresh") != std::string::npos);
}

TEST_CASE("a new token is not held up by the limits of the former") {
  Bench bench;
  Answer limited;
  limited.status = 429;
  limited.headers["retry-after"] = "3600";
  bench.server->add(kRunners, limited);
  bench.server->always(kRunners, answer(std::string(kRunnersPage)));
  CHECK(runners(bench).error().code == Errc::rate_limited);
  CHECK(runners(bench).error().code == Errc::rate_limited);
  CHECK(bench.client->renew(bench.settings, keyring_of(bench.settings, "ghp_other")));
  CHECK(runners(bench));
}

TEST_CASE("a JIT request sends name, group and labels as JSON") {
  Bench bench;
  bench.settings.extra_labels = {"self-hosted", "MV-4c8g"};
  bench.client = std::move(*Client::create(*bench.loop, bench.settings,
                                           keyring_of(bench.settings, "ghp_test"), quick()));
  bench.server->add(kJit, created(kJitAnswer));
  const auto jit = generate(bench, repository_scope());
  REQUIRE(jit);
  CHECK(jit->runner == core::Runner{23, "mv-h1-00c0ffee"});
  const SeenRequest& request = bench.server->seen().at(0);
  CHECK(request.headers.at("content-type") == "application/json");
  CHECK(
      request.body ==
      R"({"labels":["mv-4c8g","self-hosted"],"name":"mv-h1-00c0ffee","runner_group_id":1,"work_folder":"_work"})");
}

TEST_CASE("a JIT request is never repeated, whatever happens to it") {
  Answer silent;
  silent.is_silent = true;
  Answer hang_up;
  hang_up.hangs_up = true;
  struct Case {
    Answer answer;
    Errc code;
  };
  const std::vector<Case> cases{{refusal(502), Errc::unavailable}, {refusal(409), Errc::exists},
                                {refusal(422), Errc::invalid},     {refusal(404), Errc::not_found},
                                {answer("{"), Errc::protocol},     {hang_up, Errc::unavailable},
                                {silent, Errc::timed_out}};
  for (const Case& c : cases) {
    Tuning tuning = quick();
    tuning.deadline = Duration{100};
    const Bench bench(tuning);
    bench.server->always(kJit, c.answer);
    const auto jit = generate(bench, repository_scope());
    REQUIRE_FALSE(jit);
    CHECK(jit.error().code == c.code);
    CHECK(jit.error().what.find("POST /api/v3/repos/acme/app/actions/runners/generate-jitconfig") !=
          std::string::npos);
    // A request behind it shows that nothing is waiting to be sent again.
    bench.server->always(kRunners, answer(std::string(kRunnersPage)));
    REQUIRE(runners(bench));
    CHECK(bench.server->log() == Log{kJit, kRunners});
  }
}

TEST_CASE("a JIT answer for another runner is refused") {
  const Bench bench;
  bench.server->add(kJit, created(kJitAnswer));
  const auto jit = bench.wait<JitConfig>([&](auto done) {
    bench.client->generate_jit(repository_scope(), "mv-h1-11111111", {"x"}, std::move(done));
  });
  REQUIRE_FALSE(jit);
  CHECK(jit.error().code == Errc::protocol);
}

TEST_CASE("the runner group of an organisation is looked up once") {
  const Bench bench;
  bench.server->add("GET /orgs/acme/actions/runner-groups", answer(std::string(kGroupsPage)));
  bench.server->always(kOrgJit, created(kJitAnswer));
  core::Scope scope = organization_scope();
  scope.runner_group = "Builders";
  REQUIRE(generate(bench, scope));
  REQUIRE(generate(bench, scope));
  CHECK(bench.server->log() == Log{"GET /orgs/acme/actions/runner-groups", kOrgJit, kOrgJit});
  CHECK(bench.server->seen().at(2).body.find(R"("runner_group_id":7)") != std::string::npos);
}

TEST_CASE("a refused JIT request makes the group be looked up again") {
  const Bench bench;
  bench.server->always("GET /orgs/acme/actions/runner-groups", answer(std::string(kGroupsPage)));
  bench.server->add(kOrgJit, refusal(422));
  bench.server->add(kOrgJit, created(kJitAnswer));
  core::Scope scope = organization_scope();
  scope.runner_group = "builders";
  CHECK(generate(bench, scope).error().code == Errc::invalid);
  CHECK(generate(bench, scope));
  CHECK(bench.server->log().size() == 4);
}

TEST_CASE("GitHub is asked until when it takes a runner release") {
  const std::string asked = "GET /repos/acme/app/actions/runners/deprecations/2.300.0";
  const Bench bench;
  const auto dates = [&] {
    return bench.wait<ReleaseDates>([&](auto done) {
      bench.client->runner_release(repository_scope(), "2.300.0", std::move(done));
    });
  };
  bench.server->add(asked, answer(R"({"runner_version":"2.300.0",
    "registration_deprecates_at":"2026-08-01T00:00:00Z","runtime_deprecates_at":null})"));
  CHECK(dates() == ReleaseDates{*parse_iso8601("2026-08-01T00:00:00Z"), std::nullopt});
  Answer absent = answer(R"({"message":"Not Found"})");
  absent.status = 404;  // what GitHub's server products say
  bench.server->add(asked, absent);
  CHECK(dates() == ReleaseDates{});
  bench.server->add(asked, answer(R"({"runner_version":"2.300.0",
    "registration_deprecates_at":"soon"})"));
  CHECK(dates().error().code == Errc::protocol);
  Answer denied = answer(R"({"message":"Must have admin rights to Repository."})");
  denied.status = 403;
  bench.server->add(asked, denied);
  CHECK(dates().error().code == Errc::denied);
}

TEST_CASE("GitHub names the release for each kind of machine, with a token for the download") {
  const Bench bench;
  const std::string asked = "GET /repos/acme/app/actions/runners/downloads";
  const auto named = [&] {
    return bench.wait<std::vector<RunnerDownload>>(
        [&](auto done) { bench.client->runner_downloads(repository_scope(), std::move(done)); });
  };
  const std::string digest(64, 'A');
  const std::string one = R"("os":"linux","architecture":"x64","download_url":"https://a/b")";
  bench.server->add(
      asked, answer("[{" + one + R"(,"filename":"r-1.tar.gz","sha256_checksum":")" + digest +
                    R"(","temp_download_token":"t"},{)" + one + R"(,"filename":"r-2.tar.gz"}])"));
  const auto found = named();
  REQUIRE(found.has_value());
  REQUIRE(found->size() == 2);
  CHECK(found->at(0).filename == "r-1.tar.gz");
  CHECK(found->at(0).url == "https://a/b");
  CHECK(found->at(0).sha256 == std::string(64, 'a'));
  CHECK(found->at(0).token.expose() == "t");
  CHECK(found->at(1).sha256.empty());
  CHECK(found->at(1).token.empty());
  for (const char* bad : {R"("filename":"../x")", R"("filename":".x")", R"("filename":"a/b")",
                          R"("filename":"")", R"("filename":"x","sha256_checksum":"beef")"}) {
    bench.server->add(asked, answer("[{" + one + "," + bad + "}]"));
    CHECK(named().error().code == Errc::protocol);
  }
}

TEST_CASE("a runner group that does not exist is named") {
  const Bench bench;
  bench.server->add("GET /orgs/acme/actions/runner-groups", answer(std::string(kGroupsPage)));
  core::Scope scope = organization_scope();
  scope.runner_group = "nobody";
  const auto jit = generate(bench, scope);
  REQUIRE_FALSE(jit);
  CHECK(jit.error().code == Errc::not_found);
  CHECK(jit.error().what.find("\"nobody\"") != std::string::npos);
}

TEST_CASE("a runner group made since they were listed is found") {
  const Bench bench;
  bench.server->add("GET /orgs/acme/actions/runner-groups", answer(std::string(kGroupsPage)));
  bench.server->add("GET /orgs/acme/actions/runner-groups",
                    answer(R"({"runner_groups": [{"id": 9, "name": "fresh"}]})"));
  bench.server->always(kOrgJit, created(kJitAnswer));
  core::Scope scope = organization_scope();
  scope.runner_group = "builders";
  REQUIRE(generate(bench, scope));
  scope.runner_group = "fresh";
  REQUIRE(generate(bench, scope));
  CHECK(bench.server->seen().back().body.find(R"("runner_group_id":9)") != std::string::npos);
}

TEST_CASE("an organisation without a named group uses the default one") {
  const Bench bench;
  bench.server->add(kOrgJit, created(kJitAnswer));
  REQUIRE(generate(bench, organization_scope()));
  CHECK(bench.server->seen().at(0).body.find(R"("runner_group_id":1)") != std::string::npos);
}

TEST_CASE("deleting a runner that is gone is done, one that is busy is for later") {
  const Bench bench;
  Answer gone;
  gone.status = 204;
  bench.server->add("DELETE /repos/acme/app/actions/runners/5", gone);
  bench.server->add("DELETE /repos/acme/app/actions/runners/6", refusal(404));
  bench.server->add("DELETE /repos/acme/app/actions/runners/7", refusal(422));
  CHECK(*remove(bench, 5));
  CHECK_FALSE(*remove(bench, 6));
  CHECK(remove(bench, 7).error().code == Errc::busy);
}

TEST_CASE("requests go one at a time, in the order they were made") {
  const Bench bench;
  int answered = 0;
  Log expected;
  for (int id = 1; id <= 6; ++id) {
    const std::string target = "/repos/acme/app/actions/runners/" + std::to_string(id);
    Answer slow;
    slow.status = 204;
    slow.delay = Duration{3};
    bench.server->add("DELETE " + target, slow);
    expected.push_back("DELETE " + target);
    bench.client->delete_runner(repository_scope(), id, [&](auto) { ++answered; });
  }
  bench.run_until([&] { return answered == 6; });
  CHECK(bench.server->log() == expected);
  CHECK(bench.server->most_at_once() == 1);
}

TEST_CASE("an answer never comes from inside the call") {
  const Bench bench;
  bench.server->add(kRunners, answer(std::string(kRunnersPage)));
  bool is_calling = true;
  bool is_done = false;
  bench.client->list_runners(repository_scope(), [&](auto) {
    CHECK_FALSE(is_calling);
    is_done = true;
  });
  is_calling = false;
  bench.run_until([&] { return is_done; });
}

TEST_CASE("the client may be destroyed by its own answer") {
  Bench bench;
  bench.server->always(kRunners, answer(std::string(kRunnersPage)));
  bool is_done = false;
  bench.client->list_runners(repository_scope(), [&](auto) {
    bench.client.reset();
    is_done = true;
  });
  bench.client->list_runners(repository_scope(), [&](auto) { FAIL("called back after the end"); });
  bench.run_until([&] { return is_done; });
}

TEST_CASE("a client that goes away under way calls nobody back") {
  Bench bench;
  Answer slow = answer(std::string(kRunnersPage));
  slow.delay = Duration{20};
  bench.server->add(kRunners, slow);
  bench.client->list_runners(repository_scope(), [&](auto) { FAIL("called back"); });
  bench.run_until([&] { return !bench.server->seen().empty(); });
  bench.client.reset();
  bool is_late = false;
  const auto timer = bench.loop->call_at(bench.loop->now() + Duration{40}, [&] { is_late = true; });
  bench.run_until([&] { return is_late; });
}

TEST_CASE("a bad web address is refused when the client is made") {
  Bench bench;
  bench.settings.url = "http://github.com";
  const auto made = Client::create(*bench.loop, bench.settings, Keyring{});
  REQUIRE_FALSE(made);
  CHECK(made.error().code == Errc::invalid);
}

}  // namespace mvr::github
