#include "daemon/journal.h"

#include "catch.h"

using mvr::daemon::format_fields;

TEST_CASE("a log line is logfmt with the event first") {
  CHECK(format_fields("vm_started", {{"vm", "small-abc"}, {"slot", "3"}}) ==
        "event=vm_started vm=small-abc slot=3");
}

TEST_CASE("values with spaces, quotes or nothing in them are quoted") {
  CHECK(format_fields("e", {{"a", "two words"}}) == "event=e a=\"two words\"");
  CHECK(format_fields("e", {{"a", "say \"hi\""}}) == "event=e a=\"say \\\"hi\\\"\"");
  CHECK(format_fields("e", {{"a", ""}}) == "event=e a=\"\"");
}

TEST_CASE("control characters of a guest cannot break a line") {
  const std::string line = format_fields("e", {{"text", "one\ntwo\x1b[31m"}});
  CHECK(line.find('\n') == std::string::npos);
  CHECK(line.find('\x1b') == std::string::npos);
}

TEST_CASE("an error has its remedy beside it, where one is known") {
  using mvr::Errc;
  using mvr::Error;
  using mvr::daemon::with_error;
  CHECK(format_fields("e", with_error({{"a", "1"}}, Error{Errc::io, "x"})) ==
        "event=e a=1 error=x");
  CHECK(format_fields("e", with_error({}, Error{Errc::io, "x", "do y"})) ==
        "event=e error=x remedy=\"do y\"");
}

TEST_CASE("an unknown log level is refused with what is allowed") {
  const auto result = mvr::daemon::set_log_level("loud");
  REQUIRE_FALSE(result);
  CHECK(result.error().what == "log level 'loud': use debug, info, warn or error");
}
