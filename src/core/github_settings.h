// Where jobs come from: the github section of the configuration as plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"

namespace mvr::core {

// The GitHub App mvrunner acts as.
struct AppSettings {
  std::string id;                 // its client id or its App id
  std::string key_file;           // PEM; exactly one of key_file and key_credential is set
  std::string key_credential;     // a name in $CREDENTIALS_DIRECTORY, see systemd.exec(5)
  std::int64_t installation = 0;  // 0: looked up for each scope
  friend auto operator<=>(const AppSettings&, const AppSettings&) = default;
};

// Who mvrunner is at GitHub, in one place of the configuration: at most one member is set.
struct Credentials {
  std::string token_file;
  std::string token_env_file;    // KEY=VALUE lines; the key is GITHUB_TOKEN
  std::string token_credential;  // a name in $CREDENTIALS_DIRECTORY
  std::optional<AppSettings> app;
  [[nodiscard]] bool empty() const {
    return token_file.empty() && token_env_file.empty() && token_credential.empty() && !app;
  }
  friend auto operator<=>(const Credentials&, const Credentials&) = default;
};

enum class ScopeKind { repository, organization, enterprise };

// How queued jobs are learned of: REST polling, or the message queue of runner scale sets.
enum class Feed { poll, scale_set };

// Where runners are registered and jobs are looked for.
struct Scope {
  ScopeKind kind = ScopeKind::repository;
  std::string owner;       // of an enterprise: its slug
  std::string repository;  // empty but for a repository
  // The other two: names or patterns with * of the repositories to look at, without their owner;
  // empty = all. See is_selected() of core/match.h.
  std::vector<std::string> repositories;
  std::string runner_group;                // the other two; empty = the default group
  std::uint32_t max = 0;                   // VMs at once in this scope; 0 = no own limit
  std::uint32_t max_per_repo = 0;          // of these for one repository; 0 = no own limit
  Credentials credentials = {};            // empty = those of the github section
  std::vector<std::string> exclude;        // like repositories: what is left out of them
  std::vector<std::string> organizations;  // of an enterprise: where its repositories are
  std::optional<Feed> feed;                // empty = that of the github section
  // "owner/repo", "owner" or "enterprises/slug": the id used in World, logs and file names of our
  // own. No organisation is called "enterprises".
  [[nodiscard]] std::string id() const {
    if (kind == ScopeKind::enterprise) return "enterprises/" + owner;
    return repository.empty() ? owner : owner + "/" + repository;
  }
  friend bool operator==(const Scope&, const Scope&) = default;
};

// Where GitHub's webhook deliveries arrive. They only hasten the next look at a repository.
struct WebhookSettings {
  std::string listen;             // as WebSettings::listen; "": nothing listens
  std::string secret_file;        // exactly one of the two is set when something listens
  std::string secret_credential;  // a name in $CREDENTIALS_DIRECTORY
  friend bool operator==(const WebhookSettings&, const WebhookSettings&) = default;
};

struct GithubSettings {
  std::string url = "https://github.com";  // web address; the API base is derived from it
  Credentials credentials;                 // of the scopes without their own
  Duration poll_interval{};                // between looks at a repository where things happen,
  Duration idle_interval{};                // and at any other; the budget may stretch both
  double quota_share = 0.4;                // of GitHub's hourly limit that polling may use
  Feed feed = Feed::poll;                  // of the scopes that do not say
  bool app_deliveries = false;             // read the Apps' lists of deliveries as hints
  WebhookSettings webhook;
  std::vector<Scope> scopes;
  std::vector<std::string> extra_labels;  // registered beside a profile's labels
  [[nodiscard]] const Credentials& credentials_of(const Scope& scope) const {
    return scope.credentials.empty() ? credentials : scope.credentials;
  }
  [[nodiscard]] Feed feed_of(const Scope& scope) const { return scope.feed.value_or(feed); }
  friend bool operator==(const GithubSettings&, const GithubSettings&) = default;
};

}  // namespace mvr::core
