#include "base/result.h"

#include <cerrno>
#include <memory>
#include <set>

#include "catch.h"

namespace mvr {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return fail(Errc::invalid, "odd");
  return value / 2;
}
Result<int> quarter(int value) {
  TRY_ASSIGN(const int once, half(value));
  TRY_ASSIGN(const int twice, half(once));
  return twice;
}
Result<void> both_even(int a, int b) {
  TRY(half(a));
  TRY(half(b));
  return {};
}
// The macros inside a lambda inside the macro: must compile without shadowing.
Result<int> nested(int value) {
  const auto run = [](auto action) -> Result<int> { return action(); };
  TRY_ASSIGN(const int result, run([&]() -> Result<int> {
               TRY_ASSIGN(const int inner, half(value));
               return inner + 1;
             }));
  return result;
}

TEST_CASE("TRY_ASSIGN passes the value on") { CHECK(quarter(8) == 2); }

TEST_CASE("TRY_ASSIGN returns the first error unchanged") {
  const auto result = quarter(6);
  REQUIRE_FALSE(result);
  CHECK(result.error() == Error{Errc::invalid, "odd"});
}

TEST_CASE("TRY stops at the error") {
  CHECK(both_even(2, 4));
  CHECK_FALSE(both_even(2, 3));
  CHECK_FALSE(both_even(1, 2));
}

TEST_CASE("the macros nest") {
  CHECK(nested(4) == 3);
  CHECK_FALSE(nested(3));
}

TEST_CASE("TRY_ASSIGN moves values that cannot be copied") {
  const auto make = []() -> Result<std::unique_ptr<int>> { return std::make_unique<int>(7); };
  const auto use = [&]() -> Result<int> {
    TRY_ASSIGN(const std::unique_ptr<int> pointer, make());
    return *pointer;
  };
  CHECK(use() == 7);
}

TEST_CASE("an errno becomes a code and a text") {
  struct Row {
    int number;
    Errc code;
    const char* what;
  };
  for (const Row& row : {Row{ENOENT, Errc::not_found, "open x: No such file or directory"},
                         Row{EEXIST, Errc::exists, "open x: File exists"},
                         Row{EBUSY, Errc::busy, "open x: Device or resource busy"},
                         Row{EACCES, Errc::denied, "open x: Permission denied"},
                         Row{EPERM, Errc::denied, "open x: Operation not permitted"},
                         Row{ETIMEDOUT, Errc::timed_out, "open x: Connection timed out"},
                         Row{ECONNREFUSED, Errc::unavailable, "open x: Connection refused"},
                         Row{ENOSPC, Errc::full, "open x: No space left on device"},
                         Row{ENOSYS, Errc::unsupported, "open x: Function not implemented"},
                         Row{EIO, Errc::io, "open x: Input/output error"}}) {
    CHECK(os_error(row.number, "open x") == Error{row.code, row.what});
  }
}

TEST_CASE("context goes in front and keeps the code") {
  const auto result = context(half(3), "while halving");
  REQUIRE_FALSE(result);
  CHECK(result.error() == Error{Errc::invalid, "while halving: odd"});
  CHECK(context(half(4), "while halving") == 2);
}

TEST_CASE("every code has a name of its own") {
  std::set<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(Errc::io); ++code) {
    names.insert(errc_name(static_cast<Errc>(code)));
  }
  CHECK(names.size() == static_cast<std::size_t>(Errc::io) + 1);
  CHECK(names.count("unknown") == 0);
}

}  // namespace
}  // namespace mvr
