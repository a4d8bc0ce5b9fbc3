#include "daemon/upkeep.h"

#include <algorithm>
#include <chrono>

#include "base/text.h"
#include "catch.h"
#include "daemon/chore_unit.h"
#include "daemon/download.h"

namespace mvr::daemon {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

constexpr Duration kDay = hours(24);
using Words = std::vector<std::string>;

WallTime now() { return *parse_iso8601("2026-11-20T10:00:00Z"); }

core::Config config_with_scope() {
  core::Config config;
  core::Scope scope;
  scope.owner = "acme";
  config.github.scopes = {scope};
  return config;
}

core::ImageRecipe recipe(core::Rebuild rebuild) {
  core::ImageRecipe made;
  made.name = "debian-12";
  made.context = "/srv/image";
  made.rebuild = rebuild;
  return made;
}

const Chore kDaily{"runner", {"runner", "update"}, kDay, "", false};

}  // namespace

TEST_CASE("the runner is renewed daily where that is wanted and GitHub can be asked") {
  core::Config config = config_with_scope();
  CHECK(chores_of(config).empty());
  config.runner_update = true;
  REQUIRE(chores_of(config).size() == 1);
  CHECK(chores_of(config)[0].verb == Words{"runner", "update", "--unattended"});
  CHECK(chores_of(config)[0].every == kDay);
  config.github.scopes.clear();
  CHECK(chores_of(config).empty());
}

TEST_CASE("an image is built by its age without the cache, by its base with it") {
  core::Config config;
  config.images = {recipe({}), recipe({hours(24 * 10), false})};
  REQUIRE(chores_of(config).size() == 1);
  const Chore aged = chores_of(config)[0];
  CHECK(aged.name == "image debian-12");
  CHECK(aged.every == kDay * 10);
  CHECK(aged.image == "debian-12");
  CHECK(aged.verb == Words{"image", "build", "--pull", "debian-12", "--no-cache"});
  config.images = {recipe({{}, true})};
  const Chore based = chores_of(config)[0];
  CHECK(based.every == kDay);
  CHECK(based.image.empty());
  CHECK(based.verb == Words{"image", "build", "--pull", "debian-12"});
}

TEST_CASE("the actions of jobs are looked after hourly where that is wanted") {
  core::Config config;
  config.action_cache.enabled = true;
  REQUIRE(chores_of(config).size() == 1);
  CHECK(chores_of(config)[0].name == "actions");
  CHECK(chores_of(config)[0].verb == Words{"action", "update"});
  CHECK(chores_of(config)[0].every == hours(1));
}

TEST_CASE("a chore is due at once, then when its time is over") {
  CHECK(due_at(kDaily, {}, std::nullopt, now()) == now());
  ChoreRecord record;
  record.success = now() - hours(23);
  CHECK(due_at(kDaily, record, std::nullopt, now()) == now() + hours(1));
  CHECK(due_at(kDaily, {}, now() - hours(20), now()) == now() + hours(4));
  CHECK(due_at(kDaily, record, now() - hours(1), now()) == now() + hours(23));
}

TEST_CASE("a failure is tried again after ever longer times, up to its own interval") {
  ChoreRecord record;
  record.success = now() - kDay;
  record.failure = now();
  record.failures = 1;
  const WallTime first = due_at(kDaily, record, std::nullopt, now());
  CHECK(first > now() + minutes(7));
  CHECK(first <= now() + minutes(15));
  record.failures = 4;
  CHECK(due_at(kDaily, record, std::nullopt, now()) >= now() + hours(1));
  record.failures = 1000;
  CHECK(due_at(kDaily, record, std::nullopt, now()) <= now() + kDay);
  // What somebody renewed by hand since then is fresh.
  CHECK(due_at(kDaily, record, now() + hours(1), now() + hours(1)) == now() + hours(25));
}

TEST_CASE("a clock that was set back puts nothing off for good") {
  ChoreRecord record;
  record.success = now() + hours(24 * 365);
  CHECK(due_at(kDaily, record, std::nullopt, now()) == now() + kDay);
}

TEST_CASE("records survive as text, and broken ones are refused") {
  ChoreRecords records;
  records["runner"] = ChoreRecord{now(), std::nullopt, 0, ""};
  records["image a"] = ChoreRecord{std::nullopt, now(), 3, "no \"space\"\n left"};
  const auto again = parse_records(records_json(records));
  REQUIRE(again.has_value());
  CHECK(*again == records);
  CHECK_FALSE(parse_records(""));
  CHECK_FALSE(parse_records("[]"));
  CHECK_FALSE(parse_records(R"({"runner": 1})"));
  CHECK_FALSE(parse_records(R"({"runner": {"failures": -1}})"));
  CHECK_FALSE(parse_records(R"({"runner": {"failures": 1, "success": "soon"}})"));
}

TEST_CASE("a release comes by https, or from GitHub as it is configured") {
  CHECK(may_download("https://objects.example.com/r.tar.gz", "https://github.com"));
  CHECK(may_download("http://127.0.0.1:8080/r.tar.gz", "http://127.0.0.1:8080"));
  CHECK_FALSE(may_download("http://127.0.0.1:8081/r.tar.gz", "http://127.0.0.1:8080"));
  CHECK_FALSE(may_download("http://github.com/r.tar.gz", "https://github.com"));
  CHECK_FALSE(may_download("file:///etc/passwd", "https://github.com"));
  CHECK_FALSE(may_download("https://user:secret@example.com/", "https://github.com"));
  CHECK_FALSE(may_download("", "https://github.com"));
}

TEST_CASE("what is told of an address holds no credential") {
  CHECK(shown_url("https://a.example/r.tar.gz?sig=secret#x") == "https://a.example/r.tar.gz");
}

TEST_CASE("a chore that builds runs in a unit that ends with ours") {
  CHECK(chores_of(config_with_scope()).empty());
  core::Config config;
  config.images = {recipe({hours(24), false})};
  CHECK(chores_of(config)[0].builds);

  CHECK(service_of("0::/system.slice/mvrunner.service\n") == "mvrunner.service");
  CHECK(service_of("1:name=systemd:/system.slice/mv-2.service\n0::/x\n") == "mv-2.service");
  CHECK(service_of("0::/user.slice/session-3.scope\n").empty());
  CHECK(service_of("0::/.service\n").empty());

  ChoreUnit unit;
  unit.service = "mvrunner.service";
  unit.environment_file = "/var/lib/mvrunner/chore.env";
  unit.longest = hours(6);
  const Words words = chore_unit_words(unit);
  CHECK(words.front() == "systemd-run");
  CHECK(words.back() == "--");
  const auto has = [&](const std::string& word) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  CHECK(has("--wait"));
  CHECK(has("--pipe"));
  CHECK(has("--property=RuntimeMaxSec=21600"));
  CHECK(has("--property=BindsTo=mvrunner.service"));
  CHECK(has("--property=EnvironmentFile=/var/lib/mvrunner/chore.env"));
}

TEST_CASE("the environment of a unit is quoted for systemd") {
  const Words environment{"PATH=/usr/bin:/bin",
                          "https_proxy=http://u:p$1\"`\\x@proxy",
                          "EMPTY=",
                          "TWO=a\nb",
                          "BASH_FUNC_x%%=() { :; }",
                          "9=x",
                          "none"};
  CHECK(environment_file_text(environment) ==
        "PATH=\"/usr/bin:/bin\"\n"
        "https_proxy=\"http://u:p\\$1\\\"\\`\\\\x@proxy\"\n"
        "EMPTY=\"\"\n");
}

}  // namespace mvr::daemon
