#include "base/text.h"

#include <array>
#include <limits>
#include <set>

#include "catch.h"

namespace mvr {
namespace {

TEST_CASE("decimal numbers are parsed strictly") {
  struct Row {
    std::string_view text;
    std::optional<std::uint64_t> value;
  };
  for (const Row& row :
       {Row{"0", 0}, Row{"7", 7}, Row{"007", 7}, Row{"18446744073709551615", UINT64_MAX},
        Row{"18446744073709551616", {}}, Row{"99999999999999999999999", {}}, Row{"", {}},
        Row{"-1", {}}, Row{"+1", {}}, Row{" 1", {}}, Row{"1 ", {}}, Row{"0x10", {}}, Row{"1e3", {}},
        Row{"1.0", {}}, Row{"\xd9\xa1", {}}, Row{std::string_view("1\0", 2), {}}}) {
    CAPTURE(row.text);
    const auto parsed = parse_u64(row.text);
    CHECK(parsed.has_value() == row.value.has_value());
    if (parsed && row.value) CHECK(*parsed == *row.value);
    if (!parsed) CHECK(parsed.error().code == Errc::invalid);
  }
}

TEST_CASE("signed numbers take one minus and reach both ends") {
  constexpr auto kMin = std::numeric_limits<std::int64_t>::min();
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  CHECK(parse_i64("-5") == -5);
  CHECK(parse_i64("9223372036854775807") == kMax);
  CHECK(parse_i64("-9223372036854775808") == kMin);
  for (const char* text :
       {"9223372036854775808", "-9223372036854775809", "--1", "-", "- 1", "+1"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_i64(text));
  }
}

TEST_CASE("lower-casing touches ASCII letters only") {
  CHECK(ascii_lower("AbC-Z09") == "abc-z09");
  CHECK(ascii_lower("\xc3\x84") == "\xc3\x84");
}

TEST_CASE("plain names are lower-case letters, digits and inner dashes") {
  for (const char* name : {"a", "9", "a-b", "a--b", "vm-12", "abcdefgh"}) {
    CAPTURE(name);
    CHECK(is_plain_name(name, 8));
  }
  for (const char* name :
       {"", "-", "-a", "a-", "A", "a_b", "a.b", "a/b", "a b", "abcdefghi", "\xc3\xa4"}) {
    CAPTURE(name);
    CHECK_FALSE(is_plain_name(name, 8));
  }
}

TEST_CASE("splitting keeps empty parts") {
  using Parts = std::vector<std::string_view>;
  CHECK(split("a,b", ',') == Parts{"a", "b"});
  CHECK(split("", ',') == Parts{""});
  CHECK(split(",", ',') == Parts{"", ""});
  CHECK(split("a,,b,", ',') == Parts{"a", "", "b", ""});
}

TEST_CASE("joining is the other way round") {
  CHECK(join({}, ", ").empty());
  const std::vector<std::string> parts{"a", "", "b"};
  CHECK(join(parts, ", ") == "a, , b");
}

TEST_CASE("a slip of the pen finds the name that was meant") {
  constexpr std::array<std::string_view, 4> kNames{"memory", "cpus", "labels", "max_vms"};
  struct Row {
    const char* typed;
    std::optional<std::string> meant;
  };
  for (const Row& row : {Row{"memroy", "memory"}, Row{"memry", "memory"}, Row{"memoryy", "memory"},
                         Row{"cpu", "cpus"}, Row{"lables", "labels"}, Row{"max-vms", "max_vms"},
                         Row{"disk", {}}, Row{"", {}}, Row{"x", {}}, Row{"completely", {}}}) {
    CAPTURE(row.typed);
    CHECK(nearest_name(row.typed, kNames) == row.meant);
  }
}

TEST_CASE("the nearest of several names wins, the first among equals") {
  constexpr std::array<std::string_view, 3> kNames{"timeouts", "timeout", "timeour"};
  CHECK(nearest_name("timeout", kNames) == "timeout");
  CHECK(nearest_name("timeoux", kNames) == "timeout");
}

TEST_CASE("very long names get no suggestion and cost nothing") {
  const std::string longest(100'000, 'a');
  const std::array<std::string_view, 2> names{"aaa", longest};
  CHECK_FALSE(nearest_name(longest, names));
  CHECK(nearest_name("aab", names) == "aaa");
}

TEST_CASE("the stable hash never changes") {
  // Names on disk and on the host derive from it: these values are an interface.
  CHECK(stable_hash("") == 0xf52a15e9a9b5e89bU);
  CHECK(stable_hash("mvrunner") == 0x2583c6c5263c91c4U);
}

TEST_CASE("the stable hash spreads similar names and honours the seed") {
  std::set<std::uint64_t> low_bits;
  for (int i = 0; i < 1000; ++i) low_bits.insert(stable_hash("vm-" + std::to_string(i)) % 65536);
  CHECK(low_bits.size() > 950);
  CHECK(stable_hash("a", 1) != stable_hash("a", 2));
  CHECK(stable_hash("a") != stable_hash("b"));
}

}  // namespace
}  // namespace mvr
