// GitHub's REST API: requests, errors, runner records, job discovery, each scope by its own
// credentials.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "base/units.h"
#include "core/backoff.h"
#include "core/config.h"
#include "core/job_facts.h"
#include "core/world.h"
#include "github/keyring.h"
#include "github/releases.h"
#include "sys/loop.h"

namespace mvr::github {

// The API base of a web address: https://github.com -> https://api.github.com,
// *.ghe.com -> https://api.<host>, any other host -> https://<host>/api/v3. Plain http is allowed
// for loopback and private or documentation addresses only.
Result<std::string> api_base(const std::string& web_url);

struct RunnerRecord {
  std::int64_t id = 0;
  std::string name;
  std::string status;
  bool busy = false;
  friend bool operator==(const RunnerRecord&, const RunnerRecord&) = default;
};
struct JitConfig {
  core::Runner runner;
  Secret encoded;
};

// Whose jobs GitHub gives to runners of a group.
struct RunnerGroup {
  std::int64_t id = 0;
  std::string name;
  bool is_default = false;
  bool allows_public = true;  // unless GitHub says that it does not
  std::string visibility;     // all, private or selected
  friend bool operator==(const RunnerGroup&, const RunnerGroup&) = default;
};

// The queued jobs of a repository or of one scope.
struct JobListing {
  Instant as_of{};                  // when its first request left
  std::vector<core::JobHint> jobs;  // of each repository oldest first, each id once
  bool is_active = false;           // runs wait or are under way
  // Of a scope: why repositories are missing from it (gone, or not for this token), the first
  // one named. The rest of the listing holds.
  std::optional<Error> gap;
};

// What mvrunner does with the limits of one account at GitHub.
struct AccountState {
  std::string name;             // "token /etc/mvrunner/token", "app 12 installation 34"
  std::uint64_t limit = 0;      // requests an hour; 0: GitHub has told none
  std::uint64_t remaining = 0;  // of these, by the latest answer
  std::uint64_t allowance = 0;  // of the limit, for looking for jobs
  std::uint64_t charged = 0;    // used of that in this hour
  struct Count {
    std::string_view request;  // "list_runs"
    std::string_view outcome;  // "done", "unchanged", "refused", "failed", "lost"
    std::uint64_t count = 0;
  };
  std::vector<Count> counts;
};
class App;

// Of a job that is over: in which run to look for it, and the runner that had it.
struct JobQuestion {
  std::string repository;  // "owner/repo"
  std::int64_t run = 0;
  std::string runner;
};

// How patient the client is. The defaults follow GitHub's advice; tests shorten them.
struct Tuning {
  Duration deadline{30'000};  // of one attempt
  core::BackoffPolicy retry_backoff{Duration{1'000}, Duration{8'000}};
  std::uint32_t retries = 3;
  Duration longest_wait{60'000};   // a request that would wait longer for a rate limit fails
  Duration point_gap{150};         // between requests, once a burst of 50 is used up
  Duration change_gap{1'000};      // between POSTs and DELETEs, once a burst of 5 is used up
  double quota_share = 0.4;        // of the hourly limit, for looking for jobs
  Duration shortest_pause{1'000};  // between two looks at a repository, also after a hint
  // Runner scale sets: of one wait for a message, which GitHub ends within a minute; while somebody
  // else has the session; between looks at whether the host's capacity changed; between listings of
  // queued jobs by the REST API, and how long a job may be queued before these count.
  Duration poll_deadline{90'000};
  core::BackoffPolicy conflict_backoff{Duration{10'000}, Duration{30'000}};
  Duration capacity_look{5'000};
  Duration safety_interval{180'000};
  Duration safety_age{120'000};
};

class ScaleSets;

// Scopes with the same token, or with the same installation of an App, share an account: its
// limits, its known pages, and its order of requests, serial as GitHub asks: one under way, the
// rest queue. All callbacks come from the loop and may destroy the client. Errors carry GitHub's
// own message, our meaning of it, and the remedy; codes: unauthorized (401), denied (403),
// rate_limited, not_found (404), exists (409), unsupported (410), invalid (422), busy (422 on
// delete of a busy runner), unavailable (5xx, network), timed_out, protocol, too_large.
class Client {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;
  // `keyring` has what `settings` name, see load_keyring().
  static Result<std::unique_ptr<Client>> create(sys::Loop& loop,
                                                const core::GithubSettings& settings,
                                                Keyring keyring, Tuning tuning = {});
  ~Client();
  // From now on with these secrets, scopes and labels; settings.url must be that of create().
  // Requests under way and those queued go on; scopes that are no longer in the settings keep the
  // credentials they had. True when one of the secrets is another one than before in the same
  // place: then what GitHub said about the pace of the former is forgotten.
  bool renew(const core::GithubSettings& settings, Keyring keyring);
  // Calls `report` when an answer shows that this host's clock is more than 30 s ahead of GitHub's
  // (negative: behind), and again after it was right. May do nothing to the client.
  void on_clock_skew(std::function<void(Duration offset)> report);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Registers a runner that carries `labels` and the settings' extra labels, in the scope's runner
  // group; in a scope of scale sets, one of the set that the first label names. Never tried again
  // by itself: after timed_out or unavailable the runner may exist, so come again with a fresh name
  // and leave the old one to the sweep.
  void generate_jit(const core::Scope& scope, const std::string& runner_name,
                    const std::vector<std::string>& labels, Done<JitConfig> done);
  void list_runners(const core::Scope& scope, Done<std::vector<RunnerRecord>> done);
  // Whether runners may be registered there: asks for a token that registers, and forgets it. Err
  // denied names the permission.
  void try_registration(const core::Scope& scope, Done<bool> done);
  // 404 counts as done: the value tells whether the record was still there.
  void delete_runner(const core::Scope& scope, std::int64_t id, Done<bool> done);
  // Of a release of actions/runner ("2.336.0"). Both empty: GitHub has set no date, or (404) this
  // server does not tell.
  void runner_release(const core::Scope& scope, const std::string& version,
                      Done<ReleaseDates> done);
  // What GitHub wants runners of the scope to be, for every kind of machine it knows.
  void runner_downloads(const core::Scope& scope, Done<std::vector<RunnerDownload>> done);
  // "owner/name" of the repositories the scope looks at; what was found holds for ten minutes.
  void repositories(const core::Scope& scope, Done<std::vector<std::string>> done);
  // All queued jobs of one of them now, unmatched: the jobs of runs that are queued and, in turn,
  // of those in another state; of at most 50 runs each time, in turn. Err not_found and denied
  // concern this repository only; denied also where a permission to register runners is missing:
  // jobs no runner can be registered for are no demand.
  void repository_jobs(const core::Scope& scope, const std::string& repository,
                       Done<JobListing> done);
  // The same of all its repositories, one after the other.
  void queued_jobs(const core::Scope& scope, Done<JobListing> done);
  // The runner group of an organisation's or enterprise's scope.
  void runner_group(const core::Scope& scope, Done<RunnerGroup> done);
  // What GitHub says about the job that this runner completed in the run; nothing: none so far.
  void job_facts(const core::Scope& scope, const JobQuestion& question,
                 Done<std::optional<core::JobFacts>> done);
  // The App these credentials are of, for what it asks as itself; lives as long as the client.
  // Null: they are not of an App, or not among those the client has. Err: the host has no room for
  // it.
  Result<App*> app(const core::Credentials& from);
  [[nodiscard]] const Tuning& tuning() const;
  // The accounts in use so far.
  [[nodiscard]] std::vector<AccountState> accounts() const;
  // May jobs of public repositories come to runners of this scope: is its repository public, or
  // does its runner group let them in?
  void is_public(const core::Scope& scope, Done<bool> done);
  // The scope's scale sets, which are as old as the client.
  ScaleSets& scale_sets(const core::Scope& scope);
  // All labels runners of a profile with these labels carry.
  [[nodiscard]] std::vector<std::string> runner_labels(
      const std::vector<std::string>& labels) const;
  // GitHub said not before this time (rate limit). Requests wait until then, but fail with
  // rate_limited when that takes longer than Tuning::longest_wait.
  [[nodiscard]] Instant not_before(const core::Scope& scope) const;
  // The same for looking for jobs, which has only a share of the limit.
  [[nodiscard]] Instant poll_not_before(const core::Scope& scope) const;
  // The factor to stretch polling by: more than 1 when the hour's budget of requests runs low.
  [[nodiscard]] unsigned stretch(const core::Scope& scope) const;

 private:
  Client();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mvr::github
