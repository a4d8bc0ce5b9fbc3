#include "github/sweep.h"

#include <set>

#include "catch.h"
#include "core/names.h"
#include "scripted_server.h"

namespace mvr::github {
namespace {

using namespace mvr::test;
using Log = std::vector<std::string>;
using Names = std::vector<std::string>;

const std::string kRunners = "GET /repos/acme/app/actions/runners";

std::string ours(std::uint64_t n) { return core::runner_name("h1", 1, n); }

std::string record(int id, const std::string& name, bool busy = false) {
  return R"({"id": )" + std::to_string(id) + R"(, "name": ")" + name +
         R"(", "status": "offline", "busy": )" + (busy ? "true" : "false") + "}";
}

std::string list(const std::vector<std::string>& records) {
  std::string all;
  for (const std::string& one : records) all += (all.empty() ? "" : ",") + one;
  return R"({"runners": [)" + all + "]}";
}

std::string target(int id) {
  return "DELETE /repos/acme/app/actions/runners/" + std::to_string(id);
}

Answer gone() {
  Answer made;
  made.status = 204;
  return made;
}

Result<SweepReport> sweep(const Bench& bench, const IsLive& is_live) {
  return bench.wait<SweepReport>([&](auto done) {
    sweep_ghosts(*bench.client, repository_scope(), "h1", is_live, std::move(done));
  });
}

IsLive in(std::set<std::string> live) {
  return [live = std::move(live)](const std::string& name) { return live.count(name) > 0; };
}

Names names(const std::vector<RunnerRecord>& records) {
  Names all;
  for (const auto& one : records) all.push_back(one.name);
  return all;
}

}  // namespace

TEST_CASE("runners of this host without a VM are deleted, all others are left alone") {
  const Bench bench;
  bench.server->add(kRunners,
                    answer(list({record(1, ours(1)), record(2, ours(2)), record(3, "foreign"),
                                 record(4, core::runner_name("h2", 1, 1)), record(5, ours(1) + "x"),
                                 record(6, "x" + ours(1)), record(7, "mv-h1-"), record(8, "")})));
  bench.server->add(target(1), gone());
  const auto report = sweep(bench, in({ours(2)}));
  REQUIRE(report);
  CHECK(names(report->deleted) == Names{ours(1)});
  CHECK(report->kept == 7);
  CHECK(bench.server->log() == Log{kRunners, target(1)});
}

TEST_CASE("a ghost GitHub holds for busy is left for later") {
  const Bench bench;
  bench.server->add(kRunners, answer(list({record(1, ours(1), true), record(2, ours(2))})));
  bench.server->add(target(2), refusal(422));
  const auto report = sweep(bench, in({}));
  REQUIRE(report);
  CHECK(names(report->busy) == Names{ours(1), ours(2)});
  CHECK(report->deleted.empty());
  CHECK(bench.server->log() == Log{kRunners, target(2)});
}

TEST_CASE("a ghost that is gone already counts as deleted") {
  const Bench bench;
  bench.server->add(kRunners, answer(list({record(1, ours(1))})));
  bench.server->add(target(1), refusal(404));
  CHECK(names(sweep(bench, in({}))->deleted) == Names{ours(1)});
}

TEST_CASE("a runner that comes alive during the sweep is not deleted") {
  const Bench bench;
  bench.server->add(kRunners, answer(list({record(1, ours(1)), record(2, ours(2))})));
  std::set<std::string> live;
  Answer slow = gone();
  slow.delay = Duration{5};
  bench.server->add(target(2), slow);
  const auto report = sweep(bench, [&](const std::string& name) {
    if (!bench.server->log().empty() && bench.server->log().back() == target(2)) {
      live.insert(ours(1));
    }
    return live.count(name) > 0;
  });
  REQUIRE(report);
  CHECK(names(report->deleted) == Names{ours(2)});
  CHECK(report->kept == 1);
}

TEST_CASE("a failed deletion does not stop the sweep") {
  const Bench bench;
  bench.server->add(kRunners, answer(list({record(1, ours(1)), record(2, ours(2))})));
  bench.server->add(target(2), refusal(500));
  bench.server->add(target(1), gone());
  const auto report = sweep(bench, in({}));
  REQUIRE(report);
  CHECK(names(report->deleted) == Names{ours(1)});
  REQUIRE(report->failed.size() == 1);
  CHECK(report->failed.at(0).second.code == Errc::unavailable);
}

TEST_CASE("a missing permission ends the sweep at the first deletion") {
  const Bench bench;
  bench.server->add(kRunners, answer(list({record(1, ours(1)), record(2, ours(2))})));
  bench.server->add(target(2), refusal(403));
  const auto report = sweep(bench, in({}));
  REQUIRE(report);
  CHECK(report->deleted.empty());
  CHECK(bench.server->log() == Log{kRunners, target(2)});
}

TEST_CASE("a sweep that cannot list the runners reports why") {
  const Bench bench;
  bench.server->add(kRunners, refusal(401, "Bad credentials"));
  CHECK(sweep(bench, in({})).error().code == Errc::unauthorized);
}

}  // namespace mvr::github
