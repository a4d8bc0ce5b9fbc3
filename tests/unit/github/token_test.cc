#include "github/token.h"

#include "catch.h"

namespace mvr::github {

TEST_CASE("a token is the first line without what ends it") {
  for (const char* text : {"ghp_abc", "ghp_abc\n", "ghp_abc\r\n", "  ghp_abc \nmore\n"}) {
    const auto token = parse_token(text);
    REQUIRE(token);
    CHECK(token->expose() == "ghp_abc");
  }
}

TEST_CASE("a token may have any length") {
  const std::string text = "ghs_123_" + std::string(900, 'x');
  CHECK(parse_token(text + "\n")->expose() == text);
}

TEST_CASE("a token that could break a header is refused without being shown") {
  for (const char* text : {"", "\n", " ", "ghp a",
                           "ghp\x01"
                           "a",
                           "gh\xc3\xa4"}) {
    const auto token = parse_token(text);
    REQUIRE_FALSE(token);
    CHECK(token.error().code == Errc::invalid);
    CHECK(token.error().what.find("gh") == std::string::npos);
  }
}

TEST_CASE("an environment file's token is the value of GITHUB_TOKEN") {
  for (const char* text :
       {"GITHUB_TOKEN=ghp_abc", "# GITHUB_TOKEN=no\n\nA=b\nGITHUB_TOKEN=ghp_abc\r\nC=d\n",
        "GITHUB_TOKEN=\"ghp_abc\"\n", "GITHUB_TOKEN='ghp_abc'\n",
        "GITHUB_TOKEN=old\nGITHUB_TOKEN=ghp_abc\n", "  GITHUB_TOKEN=ghp_abc  "}) {
    INFO(text);
    const auto token = parse_token_environment(text);
    REQUIRE(token);
    CHECK(token->expose() == "ghp_abc");
  }
}

TEST_CASE("an environment file without the key is told so") {
  for (const char* text : {"", "XGITHUB_TOKEN=a", "GITHUB_TOKENS=a", "GITHUB_TOKEN"}) {
    const auto token = parse_token_environment(text);
    REQUIRE_FALSE(token);
    CHECK(token.error().code == Errc::not_found);
  }
}

}  // namespace mvr::github
