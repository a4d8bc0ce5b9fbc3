// Pages, conditional requests and redirects of the client.
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

Result<Records> runners(const Bench& bench) {
  return bench.wait<Records>(
      [&](auto done) { bench.client->list_runners(repository_scope(), std::move(done)); });
}

std::string page_of(int id) {
  return R"({"runners": [{"id": )" + std::to_string(id) + R"(, "name": "n)" + std::to_string(id) +
         R"(", "status": "online", "busy": false}]})";
}

Answer linked(Answer answer, const std::string& next) {
  answer.headers["Link"] = "<" + next + ">; rel=\"next\", <x>; rel=\"last\"";
  return answer;
}

Answer redirect(int status, const std::string& location) {
  Answer made;
  made.status = status;
  made.headers["Location"] = location;
  return made;
}

Answer unchanged() {
  Answer made;
  made.status = 304;
  return made;
}

std::string page_url(const Bench& bench, int page) {
  return bench.server->url() + "/api/v3/repositories/9/runners?page=" + std::to_string(page);
}

std::string page_target(int page) {
  return "GET /repositories/9/runners?page=" + std::to_string(page);
}

}  // namespace

TEST_CASE("an unchanged page is asked for with its etag and comes out of the cache") {
  const Bench bench;
  bench.server->add(kRunners, answer(std::string(kRunnersPage), "W/\"tag 1\""));
  bench.server->add(kRunners, unchanged());
  const auto first = runners(bench);
  const auto second = runners(bench);
  REQUIRE(first);
  REQUIRE(second);
  CHECK(*first == *second);
  CHECK(bench.server->seen().at(0).headers.count("if-none-match") == 0);
  CHECK(bench.server->seen().at(1).headers.at("if-none-match") == "W/\"tag 1\"");
}

TEST_CASE("a changed page replaces the cached one") {
  const Bench bench;
  bench.server->add(kRunners, answer(page_of(1), "\"a\""));
  bench.server->add(kRunners, answer(page_of(2), "\"b\""));
  bench.server->add(kRunners, unchanged());
  REQUIRE(runners(bench));
  CHECK(runners(bench)->at(0).id == 2);
  CHECK(runners(bench)->at(0).id == 2);
  CHECK(bench.server->seen().at(2).headers.at("if-none-match") == "\"b\"");
}

TEST_CASE("\"not modified\" out of the blue is an error") {
  const Bench bench;
  bench.server->add(kRunners, unchanged());
  CHECK(runners(bench).error().code == Errc::protocol);
}

TEST_CASE("all pages of a list are read, each with an etag of its own") {
  const Bench bench;
  bench.server->add(kRunners, linked(answer(page_of(1), "\"1\""), page_url(bench, 2)));
  bench.server->add(page_target(2), linked(answer(page_of(2), "\"2\""), page_url(bench, 3)));
  bench.server->add(page_target(3), answer(page_of(3)));
  const auto all = runners(bench);
  REQUIRE(all);
  REQUIRE(all->size() == 3);
  CHECK(all->at(2).id == 3);
  // The next time the first page is unchanged and its link is remembered.
  bench.server->add(kRunners, unchanged());
  bench.server->add(page_target(2), answer(page_of(4)));
  const auto again = runners(bench);
  REQUIRE(again);
  REQUIRE(again->size() == 2);
  CHECK(again->at(1).id == 4);
}

TEST_CASE("a list without end is cut off") {
  const Bench bench;
  bench.server->add(kRunners, linked(answer(page_of(1)), page_url(bench, 2)));
  bench.server->always(page_target(2), linked(answer(page_of(2)), page_url(bench, 2)));
  const auto all = runners(bench);
  REQUIRE_FALSE(all);
  CHECK(all.error().code == Errc::too_large);
  CHECK(bench.server->log().size() == 100);
}

TEST_CASE("a next page on another host is refused, and the token stays here") {
  const Bench bench;
  ScriptedServer other(*bench.loop);
  bench.server->add(kRunners, linked(answer(page_of(1)), other.url() + "/api/v3/x"));
  const auto all = runners(bench);
  REQUIRE_FALSE(all);
  CHECK(all.error().code == Errc::protocol);
  CHECK(other.seen().empty());
}

TEST_CASE("a redirect on the same host is followed: the repository was renamed") {
  for (const int status : {301, 302, 307, 308}) {
    const Bench bench;
    bench.server->add(kRunners, redirect(status, page_url(bench, 1)));
    bench.server->add(page_target(1), answer(page_of(1)));
    const auto all = runners(bench);
    REQUIRE(all);
    CHECK(all->at(0).id == 1);
    CHECK(bench.server->seen().at(1).headers.at("authorization") == "Bearer ghp_test");
  }
}

TEST_CASE("a redirect to another host is refused, and the token stays here") {
  for (const char* path : {"/api/v3/x", ""}) {
    const Bench bench;
    ScriptedServer other(*bench.loop);
    bench.server->add(kRunners, redirect(301, other.url() + path));
    const auto all = runners(bench);
    REQUIRE_FALSE(all);
    CHECK(all.error().code == Errc::protocol);
    CHECK(other.seen().empty());
  }
}

TEST_CASE("a circle of redirects ends") {
  const Bench bench;
  bench.server->always(kRunners, redirect(302, bench.server->url() + "/api/v3" +
                                                   "/repos/acme/app/actions/runners?per_page=100"));
  const auto all = runners(bench);
  REQUIRE_FALSE(all);
  CHECK(all.error().code == Errc::protocol);
  CHECK(bench.server->log().size() == 4);
}

TEST_CASE("a redirect keeps the method, or is not followed") {
  const Bench bench;
  const std::string target = "DELETE /repos/acme/app/actions/runners/5";
  bench.server->add(target, redirect(307, "/api/v3/repositories/9/runners/5"));
  Answer gone;
  gone.status = 204;
  bench.server->add("DELETE /repositories/9/runners/5", gone);
  const auto remove = [&] {
    return bench.wait<bool>(
        [&](auto done) { bench.client->delete_runner(repository_scope(), 5, std::move(done)); });
  };
  CHECK(*remove());
  bench.server->add(target, redirect(302, "/api/v3/repositories/9/runners/5"));
  CHECK(remove().error().code == Errc::protocol);
}

}  // namespace mvr::github
