#include "base/secret.h"

#include <sstream>
#include <type_traits>

#include "catch.h"

namespace mvr {
namespace {

template <class T, class = void>
struct CanPrint : std::false_type {};
template <class T>
struct CanPrint<T, std::void_t<decltype(std::declval<std::ostream&>() << std::declval<T>())>>
    : std::true_type {};

static_assert(CanPrint<std::string>::value);
static_assert(!CanPrint<Secret>::value);
static_assert(!std::is_copy_constructible_v<Secret>);
static_assert(!std::is_copy_assignable_v<Secret>);
static_assert(!std::is_convertible_v<Secret, std::string>);
static_assert(!std::is_convertible_v<std::string, Secret>);

TEST_CASE("a secret gives its bytes only when asked") {
  const Secret secret("hunter2");
  CHECK_FALSE(secret.empty());
  CHECK(secret.expose() == "hunter2");
}

TEST_CASE("moving a secret leaves nothing behind") {
  for (const std::string& value : {std::string("short"), std::string(100, 'x')}) {
    Secret first{std::string(value)};
    const char* const inline_bytes = first.expose().data();
    const Secret second(std::move(first));
    CHECK(second.expose() == value);
    CHECK(first.empty());  // NOLINT(bugprone-use-after-move): the moved-from state is the test
    // A short string lives inside the object, which is still there to look at.
    if (value.size() < 16) CHECK(std::string(inline_bytes, value.size()) == std::string(5, '\0'));
  }
}

TEST_CASE("assigning replaces the old secret") {
  Secret target("old");
  Secret source("new and much longer than the small buffer");
  target = std::move(source);
  CHECK(target.expose() == "new and much longer than the small buffer");
  Secret& same = target;
  target = std::move(same);
  CHECK(target.expose() == "new and much longer than the small buffer");
}

TEST_CASE("a copy must be asked for") {
  const Secret secret("value");
  const Secret copy = secret.copy();
  CHECK(copy.expose() == "value");
  CHECK(secret.expose() == "value");
}

TEST_CASE("a default secret is empty") { CHECK(Secret().empty()); }

}  // namespace
}  // namespace mvr
