#include <limits>

#include "base/text.h"
#include "catch.h"

namespace mvr {
namespace {

using namespace std::chrono_literals;

TEST_CASE("sizes take binary units and whole numbers") {
  struct Row {
    const char* text;
    Bytes value;
  };
  for (const Row& row : {Row{"0", Bytes{0}}, Row{"65536", Bytes{65536}}, Row{"4096B", Bytes{4096}},
                         Row{"16KiB", kib(16)}, Row{"512MiB", mib(512)}, Row{"4GiB", gib(4)},
                         Row{"1TiB", gib(1024)}, Row{"16777215TiB", Bytes{16777215ULL << 40U}}}) {
    CAPTURE(row.text);
    CHECK(parse_bytes(row.text) == row.value);
  }
}

TEST_CASE("other sizes are refused") {
  for (const char* text : {"", "B", "GiB", "-1GiB", "+1", " 1GiB", "1GiB ", "1 GiB", "1gib", "1Gib",
                           "16777216TiB", "99999999999999999999", "1GiBGiB", "0x10", "1PiB"}) {
    CAPTURE(text);
    const auto parsed = parse_bytes(text);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == Errc::invalid);
  }
}

TEST_CASE("a refused size says what to write instead") {
  const auto hint = [](const char* text) { return parse_bytes(text).error().what; };
  CHECK(hint("4GB") == "'4GB' is not a size: write GiB (powers of 1024)");
  CHECK(hint("4G") == "'4G' is not a size: write GiB (powers of 1024)");
  CHECK(hint("4kb") == "'4kb' is not a size: write KiB (powers of 1024)");
  CHECK(hint("1.5GiB") ==
        "'1.5GiB' is not a size: write a whole number of a smaller unit, as in 1536MiB");
  CHECK(hint("4 GiB") == "'4 GiB' is not a size: write a number and B, KiB, MiB, GiB or TiB");
  CHECK(hint("17000000TiB") == "'17000000TiB' is too large");
}

TEST_CASE("sizes are printed in the unit that fits") {
  struct Row {
    Bytes size;
    const char* text;
  };
  for (const Row& row : {Row{Bytes{0}, "0B"}, Row{Bytes{100}, "100B"}, Row{kib(1), "1KiB"},
                         Row{gib(4), "4GiB"}, Row{mib(1536), "1.5GiB"}, Row{mib(1000), "1000MiB"},
                         Row{gib(2048), "2TiB"}, Row{Bytes{1025}, "1.0KiB"},
                         Row{Bytes{(1ULL << 30U) - 1}, "1.0GiB"}, Row{Bytes{1996}, "1.9KiB"},
                         Row{Bytes{2047}, "2.0KiB"}, Row{Bytes{UINT64_MAX}, "16777216.0TiB"}}) {
    CAPTURE(row.text);
    CHECK(format_bytes(row.size) == row.text);
  }
}

TEST_CASE("durations need units, large before small") {
  struct Row {
    const char* text;
    Duration value;
  };
  for (const Row& row : {Row{"0s", 0ms}, Row{"250ms", 250ms}, Row{"90s", 90s}, Row{"15m", 15min},
                         Row{"6h", 6h}, Row{"2d", 48h}, Row{"1h30m", 90min},
                         Row{"1d2h3m4s5ms", 26h + 3min + 4s + 5ms}, Row{"1m5ms", 60'005ms}}) {
    CAPTURE(row.text);
    CHECK(parse_duration(row.text) == row.value);
  }
}

TEST_CASE("other durations are refused") {
  for (const char* text :
       {"", "5", "0", "s", "-5s", "+5s", "1.5h", "5 s", "5s ", " 5s", "30m1h", "1s1s", "5sec", "5S",
        "1w", "1h30", "9223372036854775808ms", "106751991168d", "99999999999999999999s"}) {
    CAPTURE(text);
    const auto parsed = parse_duration(text);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == Errc::invalid);
  }
}

TEST_CASE("the longest duration still parses") {
  CHECK(parse_duration("9223372036854775807ms") == Duration::max());
}

TEST_CASE("durations are printed with two units at most") {
  struct Row {
    Duration value;
    const char* text;
  };
  for (const Row& row :
       {Row{0ms, "0s"}, Row{250ms, "250ms"}, Row{90s, "1m30s"}, Row{6h, "6h"}, Row{51h, "2d3h"},
        Row{1500ms, "1s500ms"}, Row{51h + 59min, "2d3h"}, Row{1h + 5s, "1h"}, Row{-90s, "-1m30s"},
        Row{Duration::min(), "-106751991167d7h"}}) {
    CAPTURE(row.text);
    CHECK(format_duration(row.value) == row.text);
  }
}

TEST_CASE("times are read as GitHub writes them") {
  const WallTime ten = WallTime(std::chrono::sys_days(std::chrono::November / 20 / 2026)) + 10h;
  struct Row {
    const char* text;
    WallTime value;
  };
  for (const Row& row :
       {Row{"2026-11-20T10:00:00Z", ten}, Row{"2026-11-20T10:00:00.5Z", ten + 500ms},
        Row{"2026-11-20T10:00:00.1234567Z", ten + 123ms}, Row{"2026-11-20T02:00:00.000-08:00", ten},
        Row{"2026-11-20T15:30:00+05:30", ten}, Row{"1970-01-01T00:00:00Z", WallTime()},
        Row{"1969-12-31T23:59:59.999Z", WallTime(-1ms)},
        Row{"2028-02-29T00:00:00Z",
            WallTime(std::chrono::sys_days(std::chrono::February / 29 / 2028))}}) {
    CAPTURE(row.text);
    CHECK(parse_iso8601(row.text) == row.value);
  }
}

TEST_CASE("other times are refused") {
  for (const char* text : {"",
                           "2026-11-20",
                           "2026-11-20T10:00:00",
                           "2026-11-20 10:00:00Z",
                           "2026-11-20t10:00:00z",
                           "2026-11-20T10:00Z",
                           "2026-02-29T00:00:00Z",
                           "2026-13-01T00:00:00Z",
                           "2026-00-01T00:00:00Z",
                           "2026-01-00T00:00:00Z",
                           "2026-04-31T00:00:00Z",
                           "2026-11-20T24:00:00Z",
                           "2026-11-20T10:60:00Z",
                           "2026-11-20T10:00:60Z",
                           "2026-11-20T10:00:00.Z",
                           "2026-11-20T10:00:00.1234567890Z",
                           "2026-11-20T10:00:00+0800",
                           "2026-11-20T10:00:00+8:00",
                           "2026-11-20T10:00:00+24:00",
                           "2026-11-20T10:00:00Zx",
                           "26-11-20T10:00:00Z",
                           "+026-11-20T10:00:00Z",
                           "2026-11-2\xd9\xa1T10:00:00Z"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_iso8601(text));
  }
}

TEST_CASE("no prefix of a time is a time") {
  const std::string full = "2026-11-20T10:00:00.123+08:00";
  for (std::size_t length = 0; length < full.size(); ++length) {
    CAPTURE(length);
    CHECK_FALSE(parse_iso8601(full.substr(0, length)));
  }
}

TEST_CASE("times are printed in UTC with milliseconds and read back") {
  const WallTime time =
      WallTime(std::chrono::sys_days(std::chrono::November / 20 / 2026)) + 9h + 5min + 7s + 42ms;
  CHECK(format_iso8601(time) == "2026-11-20T09:05:07.042Z");
  CHECK(parse_iso8601(format_iso8601(time)) == time);
  CHECK(format_iso8601(WallTime(-1ms)) == "1969-12-31T23:59:59.999Z");
}

TEST_CASE("capacity never goes below zero") {
  CHECK(Bytes{3} - Bytes{5} == Bytes{0});
  Bytes left{10};
  left -= Bytes{4};
  left += Bytes{1};
  CHECK(left == Bytes{7});
}

}  // namespace
}  // namespace mvr
