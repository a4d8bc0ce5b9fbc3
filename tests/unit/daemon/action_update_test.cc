#include "daemon/action_update.h"

#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <iterator>
#include <thread>

#include "../github/scripted_server.h"
#include "base/text.h"
#include "catch.h"
#include "daemon/action_download.h"
#include "daemon/action_learner.h"
#include "image/action_store.h"
#include "sys/files.h"
#include "sys/process.h"
#include "temp_dir.h"

namespace mvr::daemon {
namespace {

using image::ActionStore;
using std::chrono::hours;
using test::TempDir;

ActionRef action(const std::string& name) { return {"acme/" + name, std::string(40, 'a')}; }

std::string target(const std::string& name) {
  return "GET /acme/" + name + "/archive/" + action(name).sha + ".tar.gz";
}

// What GitHub serves.
std::string archive(const TempDir& dir, const std::string& name) {
  const std::string tree = dir / ("tree-" + name);
  REQUIRE(sys::make_directories(tree + "/" + name));
  std::ofstream(tree + "/" + name + "/action.yml") << "name: " << name << "\n";
  const std::string file = dir / (name + ".tar.gz");
  sys::RunOptions options;
  options.argv = {"tar", "-C", tree, "-czf", file, name};
  options.env = {"PATH=/usr/bin:/bin"};
  REQUIRE(sys::run_ok(options));
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

// A GitHub that answers while the update waits for it.
class Bench {
 public:
  Bench() {
    auto loop = sys::Loop::create();
    REQUIRE(loop);
    loop_ = std::move(*loop);
    server_ = std::make_unique<test::ScriptedServer>(*loop_);
    config_.state_dir = dir_ / "state";
    config_.github.url = server_->url();
    config_.action_cache = {true, mib(1)};
  }
  void serves(const std::string& name, test::Answer answer) {
    server_->always(target(name), std::move(answer));
  }
  void serves(const std::string& name) { serves(name, {200, archive(dir_, name), {}}); }
  // Two VMs used these, the first one most.
  void used(const std::vector<std::string>& names) {
    image::ActionUses uses;
    auto vms = static_cast<std::uint32_t>(names.size() + 1);
    for (const auto& name : names) uses[action(name)] = {vms--, sys::wall_now(), "small-1"};
    REQUIRE(image::write_uses(config_.state_dir, uses));
  }
  Result<ActionUpdate> update(bool fetches = true) {
    std::atomic<bool> is_over{false};
    std::thread github([&] {
      while (!is_over) (void)loop_->run_once(Duration{10});
    });
    auto done = update_actions(config_, fetches, [](const std::string&) {});
    is_over = true;
    github.join();
    return done;
  }
  [[nodiscard]] std::vector<std::string> requests() const { return server_->log(); }
  [[nodiscard]] ActionStore store() const { return ActionStore(config_.state_dir); }
  [[nodiscard]] bool has(const std::string& name) const {
    return store().size_of(action(name)).has_value();
  }
  core::Config& config() { return config_; }

 private:
  TempDir dir_;
  core::Config config_;
  std::unique_ptr<sys::Loop> loop_;
  std::unique_ptr<test::ScriptedServer> server_;
};

}  // namespace

TEST_CASE("archives come from where anybody gets them") {
  const ActionRef checkout{"actions/checkout", std::string(40, 'a')};
  CHECK(archive_url("https://github.com", checkout) ==
        "https://codeload.github.com/actions/checkout/tar.gz/" + checkout.sha);
  CHECK(archive_url("https://ghe.example/", checkout) ==
        "https://ghe.example/actions/checkout/archive/" + checkout.sha + ".tar.gz");
}

TEST_CASE("what two VMs used is fetched once, without a credential, and VMs get it") {
  Bench bench;
  bench.serves("tool");
  bench.used({"tool"});
  const auto first = bench.update();
  INFO((first ? "" : first.error().what));
  REQUIRE(first);
  CHECK(first->fetched == 1);
  CHECK(first->archives == 1);
  CHECK(first->is_new);
  CHECK(bench.store().current()->value().archives == 1);
  const auto second = bench.update();
  REQUIRE(second);
  CHECK(second->fetched == 0);
  CHECK_FALSE(second->is_new);
  CHECK(bench.requests() == std::vector<std::string>{target("tool")});
}

TEST_CASE("what is refused is not asked for again for a week") {
  Bench bench;
  bench.serves("private", {404, "Not Found", {}});
  bench.serves("page", {200, "<!DOCTYPE html>", {}});
  bench.serves("tool");
  bench.used({"private", "page", "tool"});
  REQUIRE(bench.update());
  REQUIRE(bench.update());
  CHECK(bench.requests().size() == 3);
  CHECK(bench.has("tool"));
  auto attempts = read_attempts(bench.config().state_dir);
  REQUIRE(attempts);
  CHECK(attempts->size() == 2);
  CHECK(attempts->at(action("private")).why.find("HTTP 404") != std::string::npos);
  CHECK(attempts->at(action("page")).why.find("gzip") != std::string::npos);
  for (auto& [each, attempt] : *attempts) attempt.at -= hours(7 * 24 + 1);
  REQUIRE(sys::write_file(bench.config().state_dir + "/actions/attempts.json",
                          attempts_json(*attempts)));
  REQUIRE(bench.update());
  CHECK(bench.requests().size() == 5);
}

TEST_CASE("while GitHub fails nothing is refused, and what is there stays") {
  Bench bench;
  bench.serves("tool");
  bench.serves("busy", {503, "", {}});
  bench.serves("later");
  bench.used({"tool", "busy", "later"});
  const auto done = bench.update();
  REQUIRE_FALSE(done);
  CHECK(done.error().code == Errc::unavailable);
  CHECK(bench.has("tool"));
  CHECK(bench.store().current()->value().archives == 1);
  CHECK(bench.requests().size() == 2);  // the rest waits
  CHECK(read_attempts(bench.config().state_dir)->empty());
  bench.serves("busy", {403, "", {{"retry-after", "60"}}});
  CHECK(bench.update().error().code == Errc::rate_limited);
}

TEST_CASE("what the jobs want most has the room, and the rest goes") {
  Bench bench;
  for (const char* name : {"first", "second", "third"}) bench.serves(name);
  bench.used({"first", "second"});
  REQUIRE(bench.update());
  const std::uint64_t size = bench.store().size_of(action("first"))->value;
  bench.config().action_cache.max_size = Bytes{size * 2 + size / 2};
  bench.used({"third", "second", "first"});
  REQUIRE(bench.update());
  CHECK(bench.has("third"));
  CHECK(bench.has("second"));
  CHECK_FALSE(bench.has("first"));
  CHECK(bench.store().current()->value().archives == 2);
  const std::size_t asked = bench.requests().size();
  REQUIRE(bench.update());
  CHECK(bench.requests().size() == asked);  // how large it is was noted
  bench.config().action_cache.max_size = mib(1);
  REQUIRE(bench.update());
  CHECK(bench.has("first"));
  bench.used({"third"});
  REQUIRE(bench.update(false));
  CHECK(bench.store().current()->value().archives == 1);
}

TEST_CASE("where the cache is off nothing is kept, and nothing fetched") {
  Bench bench;
  bench.serves("tool");
  bench.used({"tool"});
  REQUIRE(bench.update());
  bench.config().action_cache.enabled = false;
  REQUIRE(bench.update(false));
  CHECK_FALSE(bench.has("tool"));
  CHECK_FALSE(bench.store().current()->has_value());
  CHECK(bench.requests().size() == 1);
}

TEST_CASE("attempts survive their file, and no other file is taken") {
  ActionAttempts attempts;
  attempts[action("a")] = {sys::wall_now(), "HTTP 404", Bytes{}};
  attempts[action("b")] = {sys::wall_now(), "", Bytes{77}};
  const auto again = parse_attempts(attempts_json(attempts));
  REQUIRE(again);
  CHECK(again->at(action("a")).why == "HTTP 404");
  CHECK(again->at(action("b")).size == Bytes{77});
  const std::string name = "{\"" + action_text(action("a")) + "\":";
  for (const std::string& text :
       std::vector<std::string>{"", "[]", "{\"x\":{}}", name + "1}", name + "{}}",
                                name + R"({"at":"x","why":"","size":1}})",
                                name + R"({"at":"2026-11-20T10:00:00Z","why":1,"size":1}})",
                                name + R"({"at":"2026-11-20T10:00:00Z","why":"","size":-1}})",
                                name + R"({"at":"2026-11-20T10:00:00Z","why":")" +
                                    std::string(300, 'x') + R"(","size":1}})"}) {
    INFO(text);
    CHECK_FALSE(parse_attempts(text));
  }
}

TEST_CASE("what was learned is there after a restart, and a broken file is learned anew") {
  const TempDir dir;
  const WallTime now = *parse_iso8601("2026-11-20T10:00:00Z");
  {
    ActionLearner learner(dir / "state");
    learner.save();
    CHECK_FALSE(sys::exists(dir / "state/actions"));  // nothing to tell
    learner.note("small-1", {action("a"), action("b")}, now);
    learner.note("small-2", {action("a")}, now);
    learner.save();
  }
  CHECK(ActionLearner(dir / "state").known() == 2);
  CHECK(image::read_uses(dir / "state")->at(action("a")).vms == 2);
  REQUIRE(sys::write_file(dir / "state/actions/used.json", "{"));
  CHECK(ActionLearner(dir / "state").known() == 0);
}

}  // namespace mvr::daemon
