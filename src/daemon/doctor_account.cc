#include <functional>
#include <memory>
#include <optional>

#include "base/text.h"
#include "daemon/doctor.h"
#include "github/client.h"
#include "github/clock.h"
#include "sys/loop.h"

namespace mvr::daemon {
namespace {

constexpr Duration kDeadline{15'000};  // of one attempt
constexpr Duration kLimit{60'000};     // of all that one question takes
constexpr const char* kAbout = "see section github of mvrunner.yaml(5)";

// Waits for one answer. Err timed_out.
template <class T>
Result<T> await(sys::Loop& loop, const std::function<void(github::Client::Done<T>)>& ask) {
  auto answer = std::make_shared<std::optional<Result<T>>>();
  ask([answer](Result<T> result) { answer->emplace(std::move(result)); });
  const Instant end = loop.now() + kLimit;
  while (!*answer) {
    if (loop.now() >= end) return fail(Errc::timed_out, "GitHub has not answered in a minute");
    TRY(loop.run_once(Duration(1'000)));
  }
  return std::move(**answer);
}

// Both questions the daemon asks all day: which jobs wait, which runners there are.
Finding check_scope(sys::Loop& loop, github::Client& client, const core::Scope& scope) {
  const auto jobs = await<github::JobListing>(
      loop, [&](auto done) { client.queued_jobs(scope, std::move(done)); });
  if (!jobs) return {"github", Verdict::fail, jobs.error().what, kAbout};
  const auto runners = await<std::vector<github::RunnerRecord>>(
      loop, [&](auto done) { client.list_runners(scope, std::move(done)); });
  if (!runners) return {"github", Verdict::fail, runners.error().what, kAbout};
  const std::string text = scope.id() + ": queued jobs: " + std::to_string(jobs->jobs.size()) +
                           ", runners: " + std::to_string(runners->size());
  if (jobs->gap) return {"github", Verdict::warn, text + "; " + jobs->gap->what, kAbout};
  return {"github", Verdict::ok, text, ""};
}

}  // namespace

std::vector<Finding> check_github(const core::Config& config) {
  if (config.github.scopes.empty()) {
    return {{"github", Verdict::ok, "no scopes: only `mvrunner run` starts VMs", ""}};
  }
  auto keyring = github::load_keyring(config.github);
  if (!keyring) return {{"github", Verdict::fail, keyring.error().what, kAbout}};
  const auto failed = [](const Error& error) {
    return std::vector<Finding>{{"github", Verdict::fail, error.what, kAbout}};
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
    findings.push_back(check_scope(**loop, **client, scope));
  }
  if (skew) {
    findings.push_back(
        {"clock", Verdict::warn, github::clock_text(*skew), "timedatectl set-ntp true"});
  }
  return findings;
}

}  // namespace mvr::daemon
