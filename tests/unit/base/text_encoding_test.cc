#include <array>

#include "base/text.h"
#include "catch.h"

namespace mvr {
namespace {

TEST_CASE("well-formed UTF-8 is accepted") {
  for (const char* text : {"", "plain", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                           "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf", "\xc2\x80"}) {
    CHECK(is_valid_utf8(text));
  }
}

TEST_CASE("malformed UTF-8 is refused") {
  for (const char* text : {"\x80", "\xc3", "a\xff", "\xc0\x80" /* overlong */, "\xc1\xbf",
                           "\xe0\x80\x80" /* overlong */, "\xe0\x9f\xbf",
                           "\xed\xa0\x80" /* surrogate */, "\xf0\x80\x80\x80", "\xf4\x90\x80\x80",
                           "\xf5\x80\x80\x80", "\xe2\x82", "\xe2(\xa1", "\xf0\x9f\x98"}) {
    CHECK_FALSE(is_valid_utf8(text));
  }
}

TEST_CASE("base64 gives the published examples") {
  struct Row {
    std::string_view plain;
    std::string_view coded;
  };
  for (const Row& row : {Row{"", ""}, Row{"f", "Zg=="}, Row{"fo", "Zm8="}, Row{"foo", "Zm9v"},
                         Row{"foob", "Zm9vYg=="}, Row{"fooba", "Zm9vYmE="},
                         Row{"foobar", "Zm9vYmFy"}, Row{"\xff\xfe\xfd", "//79"}}) {
    CHECK(base64_encode(row.plain) == row.coded);
    CHECK(base64_decode(row.coded) == std::string(row.plain));
  }
}

TEST_CASE("base64 carries every byte there and back") {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  for (std::size_t length = 0; length <= bytes.size(); ++length) {
    const std::string part = bytes.substr(0, length);
    CHECK(base64_decode(base64_encode(part)) == part);
  }
}

TEST_CASE("base64 has one spelling for a value and nothing beside it") {
  for (const char* text :
       {"Z", "Zg", "Zg=", "Zg===", "Zh==" /* stray bits */, "Zm9=" /* stray bits */,
        "=Zg=", "Z=g=", "====", "Zg==Zg==", "Zm9v\n", "Zm 9", "Zm9-", "Zm9_"}) {
    CAPTURE(text);
    CHECK_FALSE(base64_decode(text));
  }
}

TEST_CASE("hex is lower case and keeps leading zeros") {
  constexpr std::array<unsigned char, 4> kBytes{0x00, 0x0f, 0xa0, 0xff};
  CHECK(hex(kBytes) == "000fa0ff");
  CHECK(hex({}).empty());
}

TEST_CASE("what is shown cannot steer a terminal or break a line") {
  struct Row {
    std::string_view raw;
    std::string_view shown;
  };
  for (const Row& row : {Row{"plain text", "plain text"}, Row{"caf\xc3\xa9", "caf\xc3\xa9"},
                         Row{"a\nb", "a\\x0Ab"}, Row{"\x1b[31m", "\\x1B[31m"}, Row{"\x7f", "\\x7F"},
                         Row{"\xc2\x9b"
                             "31m",
                             "\\xC2\\x9B31m"},
                         Row{"\xff", "\\xFF"}, Row{"\xe2\x80\xae", "\\xE2\\x80\\xAE"},
                         Row{std::string_view("\0", 1), "\\x00"}, Row{"\xe2\x82", "\\xE2\\x82"}}) {
    CHECK(printable(row.raw) == row.shown);
  }
}

TEST_CASE("what is shown is cut at a character, never inside one") {
  CHECK(printable("abcdef", 3) == "abc");
  CHECK(printable("ab\xc3\xa9", 3) == "ab");
  CHECK(printable("ab\n", 5) == "ab");
  CHECK(printable("ab\n", 6) == "ab\\x0A");
  CHECK(printable("x", 0).empty());
}

}  // namespace
}  // namespace mvr
