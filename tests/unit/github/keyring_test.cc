#include "github/keyring.h"

#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "catch.h"
#include "keys.h"
#include "temp_dir.h"

namespace mvr::github {
namespace {

using namespace mvr::test;

constexpr const char* kVariable = "CREDENTIALS_DIRECTORY";

// A file "secret" in a directory of its own, which goes with it.
class SecretFile {
 public:
  SecretFile(const std::string& text, mode_t mode) {
    std::ofstream(path_) << text;
    REQUIRE(chmod(path_.c_str(), mode) == 0);
  }
  SecretFile(const SecretFile&) = delete;
  SecretFile& operator=(const SecretFile&) = delete;
  ~SecretFile() { unsetenv(kVariable); }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::string& directory() const { return directory_.path(); }

 private:
  TempDir directory_;
  std::string path_ = directory_ / "secret";
};

core::Credentials token_in(const std::string& path) { return {path, "", "", {}}; }
core::Credentials app_by(const std::string& key_file) {
  return {"", "", "", core::AppSettings{"12", key_file, "", 0}};
}

core::GithubSettings settings_of(const core::Credentials& credentials) {
  core::GithubSettings settings;
  settings.credentials = credentials;
  settings.scopes.resize(1);
  settings.scopes[0].owner = "acme";
  settings.scopes[0].repository = "app";
  return settings;
}

Result<Keyring> load(const core::Credentials& credentials) {
  return load_keyring(settings_of(credentials));
}

std::string token_of(const core::Credentials& credentials) {
  const auto keyring = load(credentials);
  REQUIRE(keyring);
  return std::string(keyring->at(credentials).token.expose());
}

Error error_of(const core::Credentials& credentials) {
  const auto keyring = load(credentials);
  REQUIRE_FALSE(keyring);
  return keyring.error();
}

bool says(const Error& error, const std::string& text) {
  return error.what.find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("a file only its owner can read is loaded") {
  for (const mode_t mode : {mode_t{0600}, mode_t{0400}}) {
    const SecretFile token("ghp_abc\n", mode);
    CHECK(token_of(token_in(token.path())) == "ghp_abc");
    const SecretFile key(rsa_key().pkcs1, mode);
    const auto keyring = load(app_by(key.path()));
    REQUIRE(keyring);
    CHECK(*keyring->at(app_by(key.path())).key == *AppKey::parse(Secret(rsa_key().pkcs8)));
  }
}

TEST_CASE("a token or key file open to others is refused with the remedy") {
  for (const mode_t mode : {mode_t{0644}, mode_t{0640}, mode_t{0604}, mode_t{0610}, mode_t{0602}}) {
    const SecretFile file("ghp_abc\n", mode);
    for (const auto& credentials : {token_in(file.path()), app_by(file.path())}) {
      const Error error = error_of(credentials);
      CHECK(error.code == Errc::denied);
      CHECK(says(error, "chmod 600 " + file.path()));
      CHECK(says(error, "acme/app"));
    }
  }
}

TEST_CASE("a token can come from an environment file") {
  const SecretFile file("GITHUB_TOKEN=ghp_abc\n", 0600);
  CHECK(token_of({"", file.path(), "", {}}) == "ghp_abc");
}

TEST_CASE("a systemd credential is taken whatever its mode, and its absence explained") {
  const SecretFile file("ghp_abc\n", 0444);
  const core::Credentials credentials{"", "", "secret", {}};
  CHECK(says(error_of(credentials), "LoadCredential=secret"));
  setenv(kVariable, file.directory().c_str(), 1);
  CHECK(token_of(credentials) == "ghp_abc");
  const Error absent = error_of({"", "", "other", {}});
  CHECK(absent.code == Errc::not_found);
  CHECK(says(absent, "LoadCredential=other"));
}

TEST_CASE("an App's key can be a systemd credential") {
  const SecretFile file(rsa_key().pkcs8, 0440);
  setenv(kVariable, file.directory().c_str(), 1);
  const core::Credentials credentials{"", "", "", core::AppSettings{"12", "", "secret", 0}};
  CHECK(load(credentials));
}

TEST_CASE("a file that is absent, too long, no file or no key is an error that names it") {
  const SecretFile file(std::string(70'000, 'x'), 0600);
  CHECK(error_of(token_in(file.path())).code == Errc::too_large);
  CHECK(error_of(token_in(file.path() + "-absent")).code == Errc::not_found);
  const Error device = error_of(token_in("/dev/null"));
  CHECK(device.code == Errc::invalid);
  CHECK(says(device, "/dev/null"));
  const SecretFile text("ghp_abc\n", 0600);
  const Error no_key = error_of(app_by(text.path()));
  CHECK(no_key.code == Errc::invalid);
  CHECK(says(no_key, text.path()));
  CHECK_FALSE(says(no_key, "ghp_abc"));
  const Error bad_token = error_of(token_in("/bin/true"));
  CHECK_FALSE(says(bad_token, "ELF"));
}

TEST_CASE("each scope has its own credentials or those of the section, each read once") {
  const SecretFile first("ghp_first\n", 0600);
  const SecretFile second("ghp_second\n", 0600);
  core::GithubSettings settings = settings_of(token_in(first.path()));
  settings.scopes.resize(3, settings.scopes[0]);
  settings.scopes[1].credentials = token_in(second.path());
  const auto keyring = load_keyring(settings);
  REQUIRE(keyring);
  CHECK(keyring->size() == 2);
  CHECK(keyring->at(token_in(second.path())).token.expose() == "ghp_second");
}

TEST_CASE("without scopes nothing is read, and a scope without credentials is named") {
  core::GithubSettings settings;
  settings.credentials = token_in("/nowhere");
  CHECK(load_keyring(settings)->empty());
  CHECK(says(error_of({}), "acme/app"));
}

TEST_CASE("the webhook's secret is read like a token, and only when something listens") {
  CHECK(load_webhook_secret({"", "/nowhere", ""}).value().empty());
  const SecretFile file("0123456789abcdef\n", 0600);
  const auto by_file = load_webhook_secret({"127.0.0.1:1", file.path(), ""});
  CHECK(by_file.value().expose() == "0123456789abcdef");
  setenv(kVariable, file.directory().c_str(), 1);
  const auto by_name = load_webhook_secret({"127.0.0.1:1", "", "secret"});
  CHECK(by_name.value().expose() == "0123456789abcdef");
  const auto missing = load_webhook_secret({"127.0.0.1:1", "", "other"});
  REQUIRE_FALSE(missing);
  CHECK(missing.error().what.find("LoadCredential=other") != std::string::npos);
}

TEST_CASE("a webhook's secret that is open to others or too short is refused by its place") {
  const SecretFile open_one("0123456789abcdef\n", 0640);
  const auto denied = load_webhook_secret({"127.0.0.1:1", open_one.path(), ""});
  REQUIRE_FALSE(denied);
  CHECK(denied.error().code == Errc::denied);
  const SecretFile brief("0123xyz\n", 0600);
  const auto refused = load_webhook_secret({"127.0.0.1:1", brief.path(), ""});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().what.find(brief.path()) != std::string::npos);
  CHECK(refused.error().what.find("0123xyz") == std::string::npos);
}

}  // namespace mvr::github
