// The JSON Web Token a GitHub App signs its requests with (RS256, RFC 7515 and 7519).
// https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"
#include "base/units.h"

namespace mvr::github {

// The private key of a GitHub App; copies share it.
class AppKey {
 public:
  // From PEM, PKCS#1 ("RSA PRIVATE KEY", what GitHub hands out) or PKCS#8 ("PRIVATE KEY"). Err
  // invalid, with the remedy and never a part of the text, for anything but an RSA private key of
  // at least 2048 bits without a passphrase.
  static Result<AppKey> parse(const Secret& pem);

  // RSASSA-PKCS1-v1_5 with SHA-256.
  [[nodiscard]] Result<std::string> sign(std::string_view bytes) const;
  friend bool operator==(const AppKey& a, const AppKey& b);

 private:
  struct State;
  explicit AppKey(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

// Until when app_jwt() is valid, after its `now`; GitHub allows 10 minutes after `iat`.
inline constexpr std::chrono::seconds kJwtLife{480};

// Issued a minute before `now`, so that a clock a little ahead of GitHub's does no harm. `issuer`
// is the App's client id or App id.
Result<Secret> app_jwt(const AppKey& key, const std::string& issuer, WallTime now);

}  // namespace mvr::github
