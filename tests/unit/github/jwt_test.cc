#include "github/jwt.h"

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "catch.h"
#include "keys.h"

namespace mvr::github {
namespace {

using namespace mvr::test;

AppKey key() { return *AppKey::parse(Secret(rsa_key().pkcs1)); }

std::string refused(const std::string& pem) {
  const auto parsed = AppKey::parse(Secret(pem));
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().code == Errc::invalid);
  return parsed.error().what;
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a key is the same one in PKCS#1 and PKCS#8, with other text around it") {
  REQUIRE(rsa_key().pkcs1.rfind("-----BEGIN RSA PRIVATE KEY-----", 0) == 0);
  REQUIRE(rsa_key().pkcs8.rfind("-----BEGIN PRIVATE KEY-----", 0) == 0);
  for (const std::string& pem : {rsa_key().pkcs8, "the App's key\r\n" + rsa_key().pkcs1 + "\n\n"}) {
    const auto parsed = AppKey::parse(Secret(pem));
    REQUIRE(parsed);
    CHECK(*parsed == key());
  }
  CHECK_FALSE(*AppKey::parse(Secret(other_rsa_key())) == key());
}

TEST_CASE("a token has GitHub's header and claims and verifies by the public key") {
  const WallTime now{std::chrono::seconds{1'790'000'000} + std::chrono::milliseconds{999}};
  const auto token = app_jwt(key(), "Iv23liABC", now);
  REQUIRE(token);
  const std::string text(token->expose());
  const auto parts = split(text, '.');
  REQUIRE(parts.size() == 3);
  CHECK(nlohmann::json::parse(decode_base64url(std::string(parts[0]))) ==
        nlohmann::json({{"alg", "RS256"}, {"typ", "JWT"}}));
  CHECK(nlohmann::json::parse(decode_base64url(std::string(parts[1]))) ==
        nlohmann::json(
            {{"iat", 1'790'000'000 - 60}, {"exp", 1'790'000'000 + 480}, {"iss", "Iv23liABC"}}));
  const std::string head = std::string(parts[0]) + "." + std::string(parts[1]);
  const std::string signature = decode_base64url(std::string(parts[2]));
  CHECK(verifies(head, signature));
  CHECK_FALSE(verifies(head + "x", signature));
}

TEST_CASE("a key with a passphrase is refused, not asked for") {
  for (const std::string& pem : {rsa_key().encrypted, rsa_key().pem_encrypted}) {
    CHECK(has(refused(pem), "openssl pkey"));
  }
}

TEST_CASE("a key of another kind or size is refused by what it is") {
  CHECK(has(refused(ec_key()), "no RSA key"));
  CHECK(has(refused(small_rsa_key()), "2048"));
  CHECK(has(refused(rsa_key().public_part), "public part"));
  CHECK(has(refused("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
            "public part"));
  CHECK(has(refused("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE "
                    "KEY-----\n"),
            "OpenSSH"));
}

TEST_CASE("a key cut off anywhere is refused without a word of it") {
  for (const std::string& pem : {rsa_key().pkcs1, rsa_key().pkcs8}) {
    // Up to the dashes of the last line, which OpenSSL can do without in part.
    for (std::size_t size = 0; size < pem.size() - 40; size += 37) {
      const std::string what = refused(pem.substr(0, size));
      CHECK(has(what, "cut off"));
      CHECK_FALSE(has(what, "MII"));
    }
  }
}

TEST_CASE("what is no key at all is refused") {
  for (const char* text : {"", "ghp_abc", "\n\n", "-----BEGIN PRIVATE KEY-----"}) {
    CHECK(has(refused(text), "private key"));
  }
}

}  // namespace mvr::github
