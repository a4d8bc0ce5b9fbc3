#include "github/token.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>

#include "catch.h"
#include "github/client.h"

namespace mvr::github {
namespace {

// A file in a directory of its own, which goes with it.
class TokenFile {
 public:
  TokenFile(const std::string& text, mode_t mode) {
    std::string pattern = "/tmp/mvr-token-XXXXXX";
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    directory_ = pattern;
    path_ = directory_ + "/token";
    std::ofstream(path_) << text;
    REQUIRE(chmod(path_.c_str(), mode) == 0);
  }
  TokenFile(const TokenFile&) = delete;
  TokenFile& operator=(const TokenFile&) = delete;
  ~TokenFile() {
    unlink(path_.c_str());
    rmdir(directory_.c_str());
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string directory_;
  std::string path_;
};

core::GithubSettings in_file(const TokenFile& file) {
  core::GithubSettings settings;
  settings.token_file = file.path();
  return settings;
}

}  // namespace

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

TEST_CASE("a token file only its owner can read is loaded") {
  for (const mode_t mode : {mode_t{0600}, mode_t{0400}}) {
    const TokenFile file("ghp_abc\n", mode);
    const auto token = load_token(in_file(file));
    REQUIRE(token);
    CHECK(token->expose() == "ghp_abc");
  }
}

TEST_CASE("a token file open to others is refused with the remedy") {
  for (const mode_t mode : {mode_t{0644}, mode_t{0640}, mode_t{0604}, mode_t{0610}, mode_t{0602}}) {
    const TokenFile file("ghp_abc\n", mode);
    const auto token = load_token(in_file(file));
    REQUIRE_FALSE(token);
    CHECK(token.error().code == Errc::denied);
    CHECK(token.error().what.find("chmod 600 " + file.path()) != std::string::npos);
  }
}

TEST_CASE("a token can come from an environment file") {
  const TokenFile file("GITHUB_TOKEN=ghp_abc\n", 0600);
  core::GithubSettings settings;
  settings.token_env_file = file.path();
  CHECK(load_token(settings)->expose() == "ghp_abc");
}

TEST_CASE("a token file that is absent, too long or no file is an error that names it") {
  const TokenFile file(std::string(70'000, 'x'), 0600);
  CHECK(load_token(in_file(file)).error().code == Errc::too_large);
  core::GithubSettings settings;
  settings.token_file = file.path() + "-absent";
  CHECK(load_token(settings).error().code == Errc::not_found);
  settings.token_file = "/dev/null";
  const auto device = load_token(settings);
  REQUIRE_FALSE(device);
  CHECK(device.error().what.find("/dev/null") != std::string::npos);
  CHECK(load_token(core::GithubSettings{}).error().code == Errc::invalid);
}

}  // namespace mvr::github
