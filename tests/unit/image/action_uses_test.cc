#include "image/action_uses.h"

#include <chrono>

#include "base/text.h"
#include "fixture.h"

namespace mvr::image {
namespace {

using std::chrono::hours;

WallTime now() { return *parse_iso8601("2026-11-20T10:00:00Z"); }

ActionRef action(const std::string& name) { return {"acme/" + name, std::string(40, 'a')}; }

TEST_CASE("a VM counts once, however often it tells") {
  ActionUses uses;
  note_uses(uses, {action("a")}, "small-1", now());
  note_uses(uses, {action("a"), action("a")}, "small-1", now() + hours(1));
  CHECK(uses.at(action("a")) == ActionUse{1, now() + hours(1), "small-1"});
  CHECK(wanted_actions(uses, now()).empty());
  note_uses(uses, {action("a")}, "small-2", now() + hours(2));
  CHECK(uses.at(action("a")) == ActionUse{2, now() + hours(2), "small-2"});
  CHECK(wanted_actions(uses, now()) == std::vector{action("a")});
}

TEST_CASE("what is used lately goes before what is not, then what more VMs use") {
  ActionUses uses;
  uses[action("many")] = {9, now() - hours(24 * 20), "x"};
  uses[action("few")] = {2, now() - hours(1), "x"};
  uses[action("fewer")] = {1, now(), "x"};
  uses[action("old")] = {99, now() - hours(24 * 31), "x"};
  uses[action("forgotten")] = {99, now() - hours(24 * 91), "x"};
  uses[action("few-earlier")] = {2, now() - hours(2), "x"};
  // A clock that was set back makes nothing old.
  uses[action("ahead")] = {3, now() + hours(24), "x"};
  CHECK(wanted_actions(uses, now()) == std::vector{action("many"), action("ahead"), action("few"),
                                                   action("few-earlier"), action("old")});
}

TEST_CASE("guests cannot make it grow, nor push out what many VMs use") {
  ActionUses uses;
  uses[action("many")] = {9, now() - hours(24), "x"};
  uses[action("two")] = {2, now() - hours(24), "x"};
  for (int vm = 0; vm < 100; ++vm) {
    std::vector<ActionRef> used;
    for (int n = 0; n < 64; ++n) {
      used.push_back(action("n" + std::to_string(vm) + "-" + std::to_string(n)));
    }
    note_uses(uses, used, "small-" + std::to_string(vm), now() + hours(vm));
  }
  CHECK(uses.size() == kMostActionUses / 2 + 2);
  CHECK(uses.contains(action("many")));
  CHECK(uses.contains(action("two")));
  CHECK(uses.contains(action("n99-0")));
  CHECK_FALSE(uses.contains(action("n0-0")));
}

TEST_CASE("what is known well keeps out nothing new") {
  ActionUses uses;
  for (std::size_t n = 0; n < kMostActionUses / 2; ++n) {
    uses[action("old" + std::to_string(n))] = {50, now() - hours(24 * 40), "x"};
  }
  note_uses(uses, {action("new")}, "small-1", now());
  CHECK(uses.size() == kMostActionUses / 2 + 1);
  note_uses(uses, {action("new")}, "small-2", now());
  CHECK(uses.size() == kMostActionUses / 2);
  CHECK(uses.contains(action("new")));
}

TEST_CASE("what was learned survives its file") {
  const TempDir dir;
  CHECK(read_uses(dir / "state")->empty());
  ActionUses uses;
  note_uses(uses, {action("a"), {"b/c", std::string(64, '0')}}, "small-1", now());
  REQUIRE(write_uses(dir / "state", uses));
  const auto read = read_uses(dir / "state");
  INFO(error_of(read));
  REQUIRE(read);
  CHECK(*read == uses);
  put(dir / "state/actions/used.json", "[]");
  CHECK(contains(error_of(read_uses(dir / "state")), "used.json"));
}

TEST_CASE("a file that is not ours is refused") {
  const std::string name = "\"a/b@" + std::string(40, '0') + "\"";
  const auto file = [&](const std::string& use) { return "{" + name + ":" + use + "}"; };
  const std::string good = R"({"vms":2,"last":"2026-11-20T10:00:00Z","vm":"small-1"})";
  REQUIRE(parse_uses(file(good)));
  for (const std::string& text : std::vector<std::string>{
           "", "[]", "{", "{\"a/b\":" + good + "}", file("1"), file("{}"),
           file(R"({"vms":0,"last":"2026-11-20T10:00:00Z","vm":"x"})"),
           file(R"({"vms":-1,"last":"2026-11-20T10:00:00Z","vm":"x"})"),
           file(R"({"vms":4294967296,"last":"2026-11-20T10:00:00Z","vm":"x"})"),
           file(R"({"vms":2,"last":"now","vm":"x"})"), file(R"({"vms":2,"last":5,"vm":"x"})"),
           file(R"({"vms":2,"last":"2026-11-20T10:00:00Z","vm":"../x"})"),
           file(R"({"vms":2,"last":"2026-11-20T10:00:00Z","x":"x"})"),
           file(R"({"vms":2,"last":"2026-11-20T10:00:00Z","vm":"x","y":1})")}) {
    INFO(text);
    CHECK_FALSE(parse_uses(text));
  }
  std::string many = "{";
  for (std::size_t n = 0; n <= kMostActionUses; ++n) {
    many += (n > 0 ? ",\"a/b" : "\"a/b") + std::to_string(n) + "@" + std::string(40, '0') +
            "\":" + good;
  }
  CHECK(contains(error_of(parse_uses(many + "}")), "too many"));
}

}  // namespace
}  // namespace mvr::image
