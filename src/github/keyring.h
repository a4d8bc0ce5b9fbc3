// The operator's secrets: read from where the configuration says, checked, kept by that place.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/secret.h"
#include "core/config.h"
#include "github/jwt.h"

namespace mvr::github {

// What proves to GitHub who we are: a token, or the private key of an App.
struct Proof {
  Secret token;
  std::optional<AppKey> key;
};
using Keyring = std::map<core::Credentials, Proof>;

// Reads what the github section and its scopes name; nothing when there are no scopes. Err of the
// first that cannot be used, naming it and the remedy: denied when a file is open to others,
// invalid when it holds no token or key, too_large, not_found, io. Files of
// $CREDENTIALS_DIRECTORY are systemd's, which sees to their modes.
Result<Keyring> load_keyring(const core::GithubSettings& settings);

// A secret of any kind out of a file of its own, or a systemd credential where `file` is empty.
// Read and checked like the others.
Result<Secret> read_secret(const std::string& file, const std::string& credential);

// The webhook's secret, read and checked like the others; empty when nothing listens.
Result<Secret> load_webhook_secret(const core::WebhookSettings& settings);

// "/etc/mvrunner/token", "the systemd credential app.pem": where the secret is, for messages.
std::string place_of(const core::Credentials& credentials);

}  // namespace mvr::github
