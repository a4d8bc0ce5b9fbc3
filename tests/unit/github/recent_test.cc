#include "github/recent.h"

#include <string>

#include "catch.h"

namespace mvr::github {
namespace {

constexpr Instant kStart{Duration{100'000}};

TEST_CASE("of too many, what was put first goes") {
  Recent<int, std::string> recent(2, Duration{1'000});
  recent.put(1, "a", kStart);
  recent.put(2, "b", kStart);
  recent.put(1, "c", kStart);
  recent.put(3, "d", kStart);
  CHECK(recent.size() == 2);
  CHECK(recent.find(2, kStart) == nullptr);
  REQUIRE(recent.find(1, kStart) != nullptr);
  CHECK(*recent.find(1, kStart) == "c");
}

TEST_CASE("what is too old goes, also where nothing is ever looked for") {
  Recent<int, std::string> recent(100, Duration{1'000});
  for (int i = 0; i < 50; ++i) recent.put(i, "x", kStart + Duration{i});
  CHECK(recent.size() == 50);
  recent.put(7, "again", kStart + Duration{900});
  recent.put(99, "x", kStart + Duration{1'049});
  CHECK(recent.size() == 2);
  CHECK(recent.find(7, kStart + Duration{1'049}) != nullptr);
  CHECK(recent.find(7, kStart + Duration{1'900}) == nullptr);
}

}  // namespace
}  // namespace mvr::github
