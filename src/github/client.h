// GitHub's REST API for one account: requests, errors, runner records, job discovery.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/secret.h"
#include "core/config.h"
#include "core/world.h"
#include "sys/http.h"
#include "sys/loop.h"

namespace mvr::github {

// The API base of a web address: https://github.com -> https://api.github.com,
// *.ghe.com -> https://api.<host>, any other host -> https://<host>/api/v3. Plain http is allowed
// for loopback and private or documentation addresses only.
Result<std::string> api_base(const std::string& web_url);

// Reads the token (first line of the file, or GITHUB_TOKEN= of the environment file). Err when the
// file is readable by others.
Result<Secret> load_token(const core::GithubSettings& settings);

struct RunnerRecord {
  std::int64_t id = 0;
  std::string name;
  std::string status;
  bool busy = false;
};
struct JitConfig {
  core::Runner runner;
  Secret encoded;
};

// Serial per client, as GitHub asks: one request under way, the rest queue. All callbacks come
// from the loop. Errors carry GitHub's own message, our meaning of it, and the remedy; codes:
// unauthorized (401), denied (403), rate_limited, not_found (404), exists (409), invalid (422),
// busy (422 on delete of a busy runner), unavailable (5xx, network), timed_out, protocol.
class Client {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;
  static Result<std::unique_ptr<Client>> create(sys::Loop& loop,
                                                const core::GithubSettings& settings, Secret token);
  ~Client();

  // Runners registered by us carry profile labels + extra labels.
  void generate_jit(const core::Scope& scope, const std::string& runner_name,
                    const std::vector<std::string>& labels, Done<JitConfig> done);
  void list_runners(const core::Scope& scope, Done<std::vector<RunnerRecord>> done);
  // 404 counts as done.
  void delete_runner(const core::Scope& scope, std::int64_t id, Done<bool> done);
  // All queued jobs of one scope now, unmatched: runs that are queued, and in_progress ones, then
  // their jobs (brief rules 2.2, 2.3). Conditional requests; 304s reuse the parsed result.
  void queued_jobs(const core::Scope& scope, Done<std::vector<core::JobHint>> done);
  // GitHub said not before this time (rate limit, back-off); requests wait until then.
  [[nodiscard]] Instant not_before() const;

 private:
  Client();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mvr::github
