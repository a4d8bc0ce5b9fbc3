#include <algorithm>
#include <optional>

#include "base/text.h"
#include "daemon/await.h"
#include "daemon/doctor.h"
#include "daemon/runner_release.h"
#include "github/client.h"
#include "github/clock.h"
#include "github/groups.h"
#include "github/poll.h"
#include "github/scale_sets.h"
#include "sys/loop.h"

namespace mvr::daemon {
namespace {

constexpr Duration kDeadline{15'000};  // of one attempt
constexpr Duration kLateWarning{300'000};

Finding finding_of(std::string check, Verdict verdict, const Error& error) {
  const std::string about = "see section github of mvrunner.yaml(5)";
  return {std::move(check), verdict, error.what, error.remedy.empty() ? about : error.remedy};
}

// A scope of scale sets: jobs come from its message queues, listing them is optional.
Finding check_sets(sys::Loop& loop, github::Client& client, const core::Scope& scope) {
  const auto reached =
      await<bool>(loop, [&](auto done) { client.scale_sets(scope).reach(std::move(done)); });
  if (!reached) return finding_of("github", Verdict::fail, reached.error());
  const auto runners = await<std::vector<github::RunnerRecord>>(
      loop, [&](auto done) { client.list_runners(scope, std::move(done)); });
  if (!runners) return finding_of("github", Verdict::fail, runners.error());
  return {"github", Verdict::ok,
          scope.id() + ": scale sets can be reached, runners: " + std::to_string(runners->size()),
          ""};
}

// What the daemon asks all day: which jobs wait, which runners there are, and for a new one.
Finding check_scope(sys::Loop& loop, github::Client& client, const core::Scope& scope) {
  const auto jobs = await<github::JobListing>(
      loop, [&](auto done) { client.queued_jobs(scope, std::move(done)); });
  if (!jobs) return finding_of("github", Verdict::fail, jobs.error());
  const auto runners = await<std::vector<github::RunnerRecord>>(
      loop, [&](auto done) { client.list_runners(scope, std::move(done)); });
  if (!runners) return finding_of("github", Verdict::fail, runners.error());
  // To list them takes less of a permission than to register one.
  const auto may =
      await<bool>(loop, [&](auto done) { client.try_registration(scope, std::move(done)); });
  if (!may) return finding_of("github", Verdict::fail, may.error());
  const std::string text = scope.id() + ": queued jobs: " + std::to_string(jobs->jobs.size()) +
                           ", runners: " + std::to_string(runners->size());
  if (jobs->gap) return finding_of("github", Verdict::warn, with_context(*jobs->gap, text));
  return {"github", Verdict::ok, text, ""};
}

// How late a job may be seen, and whether the group's runners get the jobs at all.
Finding check_polling(sys::Loop& loop, github::Client& client, const core::GithubSettings& github,
                      const core::Scope& scope) {
  const auto names = await<std::vector<std::string>>(
      loop, [&](auto done) { client.repositories(scope, std::move(done)); });
  if (!names) return finding_of("polling", Verdict::fail, names.error());
  const Duration worst = github::worst_latency(github, names->size(), client.tuning().point_gap,
                                               client.stretch(scope));
  const std::string text = scope.id() + ": repositories: " + std::to_string(names->size()) +
                           ", a job is seen within " + format_duration(github.poll_interval) +
                           " to " + format_duration(std::chrono::ceil<std::chrono::seconds>(worst));
  if (names->empty()) {
    return {"polling", Verdict::warn, text, "check repositories and exclude of the scope"};
  }
  if (worst <= kLateWarning) return {"polling", Verdict::ok, text, ""};
  return {"polling", Verdict::warn, text,
          "look at fewer repositories, or set discovery: scale-set, or a webhook"};
}

Finding check_group(sys::Loop& loop, github::Client& client, const core::Config& config,
                    const core::Scope& scope) {
  const auto group = await<github::RunnerGroup>(
      loop, [&](auto done) { client.runner_group(scope, std::move(done)); });
  if (!group) return finding_of("runner group", Verdict::warn, group.error());
  const std::string text = scope.id() + ": \"" + printable(group->name, 100) + "\", " +
                           (group->allows_public ? "also" : "not") + " for public repositories";
  const bool serves_public = std::ranges::any_of(
      config.profiles, [](const core::Profile& each) { return each.public_repositories; });
  if (serves_public && !group->allows_public) {
    return {"runner group", Verdict::warn, text,
            "profiles serve public repositories: let the group be used by them, or name another "
            "runner_group"};
  }
  if (!serves_public && group->allows_public) {
    return {"runner group", Verdict::warn, text,
            "anybody may send a pull request to those; no profile serves them: close the group"};
  }
  return {"runner group", Verdict::ok, text, ""};
}

// Whether runners of the configured release still get jobs, and for how long.
std::optional<Finding> check_release(sys::Loop& loop, github::Client& client,
                                     const core::Config& config) {
  const auto release = configured_release(config);
  if (!release || release->version.empty()) return std::nullopt;
  const auto dates = await<github::ReleaseDates>(loop, [&](auto done) {
    client.runner_release(config.github.scopes.front(), release->version, std::move(done));
  });
  if (!dates) return finding_of("runner release", Verdict::warn, dates.error());
  const ReleaseState state = judge_release(*release, *dates, sys::wall_now());
  if (state.verdict == ReleaseVerdict::good) {
    return Finding{"runner release", Verdict::ok, "GitHub accepts " + release->title, ""};
  }
  const bool is_out = state.verdict == ReleaseVerdict::out;
  return Finding{"runner release", is_out ? Verdict::fail : Verdict::warn, state.text,
                 release->remedy};
}

// After all questions, so that GitHub has told its limits.
Finding check_budget(const github::AccountState& account) {
  std::string text = account.name + ": ";
  if (account.limit == 0) {
    return {"rate limit", Verdict::ok, text + "GitHub tells no hourly limit", ""};
  }
  text += std::to_string(account.remaining) + " of " + std::to_string(account.limit) +
          " requests left in this hour, " + std::to_string(account.allowance) +
          " an hour for looking for jobs";
  if (account.remaining * 10 >= account.limit) return {"rate limit", Verdict::ok, text, ""};
  return {"rate limit", Verdict::warn, text,
          "others use the same token up: give mvrunner one of its own, or a GitHub App"};
}

}  // namespace

std::vector<Finding> check_github(const core::Config& config) {
  if (config.github.scopes.empty()) {
    return {{"github", Verdict::ok, "no scopes: only `mvrunner run` starts VMs", ""}};
  }
  auto keyring = github::load_keyring(config.github);
  if (!keyring) return {finding_of("github", Verdict::fail, keyring.error())};
  const auto failed = [](const Error& error) {
    return std::vector<Finding>{finding_of("github", Verdict::fail, error)};
  };
  const auto loop = sys::Loop::create();
  if (!loop) return failed(loop.error());
  github::Tuning tuning;
  tuning.deadline = kDeadline;
  tuning.retries = 1;
  const auto client = github::Client::create(**loop, config.github, std::move(*keyring), tuning);
  if (!client) return failed(client.error());
  std::optional<Duration> skew;
  (*client)->on_clock_skew([&](Duration offset) { skew = offset; });
  std::vector<Finding> findings;
  for (const auto& scope : config.github.scopes) {
    const bool has_sets = config.github.feed_of(scope) == core::Feed::scale_set;
    findings.push_back(has_sets ? check_sets(**loop, **client, scope)
                                : check_scope(**loop, **client, scope));
    if (findings.back().verdict == Verdict::fail) continue;
    if (!has_sets) findings.push_back(check_polling(**loop, **client, config.github, scope));
    if (scope.kind == core::ScopeKind::repository) continue;
    findings.push_back(check_group(**loop, **client, config, scope));
  }
  if (auto release = check_release(**loop, **client, config)) {
    findings.push_back(std::move(*release));
  }
  for (const auto& account : (*client)->accounts()) findings.push_back(check_budget(account));
  if (skew) {
    findings.push_back(
        {"clock", Verdict::warn, github::offset_text(*skew), "timedatectl set-ntp true"});
  }
  return findings;
}

}  // namespace mvr::daemon
