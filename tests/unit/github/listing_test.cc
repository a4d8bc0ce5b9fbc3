#include "github/listing.h"

#include "base/text.h"
#include "catch.h"

namespace mvr::github {
namespace {

core::JobHint job(std::int64_t id, const char* created) {
  core::JobHint hint;
  hint.id = id;
  hint.created = *parse_iso8601(created);
  return hint;
}

std::vector<std::int64_t> ids(const std::vector<core::JobHint>& jobs) {
  std::vector<std::int64_t> all;
  for (const auto& job : jobs) all.push_back(job.id);
  return all;
}

std::vector<Run> runs(std::initializer_list<std::int64_t> ids) {
  std::vector<Run> all;
  for (const std::int64_t id : ids) all.push_back(Run{id, false, false});
  return all;
}

WallTime now() { return *parse_iso8601("2026-11-20T10:00:00Z"); }

}  // namespace

TEST_CASE("all runs are opened when they are few") {
  CHECK(turn_of(runs({1, 2, 3}), 3, 7) == runs({1, 2, 3}));
  CHECK(turn_of({}, 3, 7).empty());
}

TEST_CASE("many runs take turns, the oldest first, and none is left out") {
  const auto five = runs({1, 2, 3, 4, 5});
  CHECK(turn_of(five, 2, 0) == runs({1, 2}));
  CHECK(turn_of(five, 2, 1) == runs({3, 4}));
  CHECK(turn_of(five, 2, 2) == runs({5}));
  CHECK(turn_of(five, 2, 3) == runs({1, 2}));
  CHECK(turn_of(five, 0, 3).empty());
}

TEST_CASE("runs of every state that is not an end are listed within twelve rounds") {
  std::map<std::string_view, int> listed;
  for (std::uint64_t round = 0; round < 12; ++round) {
    if (const auto state = other_state(round, false)) ++listed[*state];
  }
  CHECK(listed == std::map<std::string_view, int>{
                      {"in_progress", 4}, {"pending", 1}, {"requested", 1}, {"waiting", 1}});
}

TEST_CASE("where nothing happens, the states that hardly matter are listed twice a day") {
  std::map<std::string_view, int> listed;
  for (std::uint64_t round = 0; round < 720; ++round) {
    if (const auto state = other_state(round, true)) ++listed[*state];
  }
  CHECK(listed == std::map<std::string_view, int>{
                      {"in_progress", 240}, {"pending", 1}, {"requested", 1}, {"waiting", 1}});
}

TEST_CASE("jobs come oldest first, those of one moment by id") {
  CHECK(ids(current_jobs({job(3, "2026-11-20T09:00:00Z"), job(2, "2026-11-20T09:30:00Z"),
                          job(1, "2026-11-20T09:00:00Z")},
                         now())) == std::vector<std::int64_t>{1, 3, 2});
}

TEST_CASE("a job seen twice counts once") {
  CHECK(ids(current_jobs({job(1, "2026-11-20T09:00:00Z"), job(1, "2026-11-20T09:00:00Z")},
                         now())) == std::vector<std::int64_t>{1});
}

TEST_CASE("a job of a day or more is a leftover") {
  CHECK(ids(current_jobs({job(1, "2026-11-19T10:00:00Z"), job(2, "2026-11-19T10:00:01Z")},
                         now())) == std::vector<std::int64_t>{2});
}

}  // namespace mvr::github
