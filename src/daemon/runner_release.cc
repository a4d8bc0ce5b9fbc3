#include "daemon/runner_release.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "daemon/journal.h"
#include "image/runner_store.h"
#include "image/store.h"

namespace mvr::daemon {
namespace {

constexpr Duration kDay{86'400'000};
constexpr Duration kSoon = kDay * 14;
constexpr Duration kVerySoon = kDay * 3;
constexpr Duration kRetry{3'600'000};
constexpr std::size_t kMostRefusals = 100;

std::string date_text(WallTime time) { return format_iso8601(time).substr(0, 10); }

std::string ended_text(const Release& release, WallTime since) {
  return release.title + " is no longer accepted by GitHub since " + date_text(since) + ": " +
         release.remedy;
}

std::optional<WallTime> earlier(std::optional<WallTime> a, std::optional<WallTime> b) {
  if (a && b) return std::min(*a, *b);
  return a ? a : b;
}

std::optional<Release> stored_release(const core::Config& config, const std::string& name) {
  const auto found = image::RunnerStore(config.state_dir).find(name);
  if (!found) return std::nullopt;
  const auto label = found->labels.find("version");
  Release release;
  release.key = "runner " + found->name + " " + found->digest;
  if (label != found->labels.end()) release.version = label->second;
  release.title = "runner release " + (release.version.empty() ? found->name : release.version);
  release.remedy = config.runner == image::kCurrentRunner
                       ? "get a newer one: mvrunner runner update"
                       : "mvrunner runner update, and `runner: current` in the configuration";
  return release;
}

}  // namespace

std::optional<Release> configured_release(const core::Config& config) {
  if (config.runner.empty()) return std::nullopt;
  return stored_release(config, config.runner);
}

std::optional<Release> release_of(const core::Config& config, const core::Profile& profile) {
  const std::string& runner = config.runner_of(profile);
  if (!runner.empty()) return stored_release(config, runner);
  const auto found = image::ImageStore(config.state_dir).find(profile.image);
  if (!found) return std::nullopt;
  return Release{"image " + found->id,
                 "the runner inside image " + found->name,
                 {},
                 "build the image with a newer one: mvrunner image build"};
}

std::optional<WallTime> end_of(const github::ReleaseDates& dates) {
  return earlier(dates.registration, dates.runtime);
}

ReleaseState judge_release(const Release& release, const github::ReleaseDates& dates,
                           WallTime now) {
  const auto end = end_of(dates);
  if (!end) return {};
  if (*end <= now) return {ReleaseVerdict::out, ended_text(release, *end)};
  const Duration left = *end - now;
  if (left > kSoon) return {};
  const std::string text = "GitHub accepts " + release.title + " until " + date_text(*end) +
                           " only, for " + format_duration(left) + ": " + release.remedy;
  return {left > kVerySoon ? ReleaseVerdict::warning : ReleaseVerdict::urgent, text};
}

void ReleaseWatch::tend(const core::Config& config, github::Client* client,
                        const std::optional<Release>& release) {
  std::erase_if(refusals_, [&](const auto& each) { return each.second.until <= loop_.now(); });
  const std::string version = release ? release->version : "";
  if (version != version_) {
    version_ = version;
    accounts_.clear();
    told_ = ReleaseVerdict::good;
  }
  if (version_.empty()) return;
  if (client != nullptr) {
    // Scopes with the same credentials are told the same.
    for (const core::Scope& scope : config.github.scopes) {
      ask(scope, config.github.credentials_of(scope), *client);
    }
  }
  tell(*release);
}

void ReleaseWatch::ask(const core::Scope& scope, const core::Credentials& account,
                       github::Client& client) {
  Asked& asked = accounts_[account];
  if (asked.is_under_way || loop_.now() < asked.due) return;
  asked.is_under_way = true;
  client.runner_release(scope, version_,
                        [this, account, version = version_, alive = std::weak_ptr<bool>(alive_)](
                            const Result<github::ReleaseDates>& answer) {
                          if (!alive.expired() && version == version_) answered(account, answer);
                        });
}

// Servers that do not have this question answer 404, which says nothing about the release.
void ReleaseWatch::answered(const core::Credentials& account,
                            const Result<github::ReleaseDates>& answer) {
  Asked& asked = accounts_[account];
  asked.is_under_way = false;
  if (answer) {
    asked.due = loop_.now() + kDay;
    const bool is_other = std::exchange(asked.dates, *answer) != *answer;
    if (is_other && changed_) changed_();
    return;
  }
  asked.due = loop_.now() + kRetry;
  log(Level::warn, "runner_release_not_checked",
      with_error({{"release", version_}}, answer.error()));
}

void ReleaseWatch::tell(const Release& release) {
  const ReleaseState state = judge_release(release, dates(), sys::wall_now());
  const bool is_told = state.verdict == told_ && loop_.now() < tell_again_;
  if (state.verdict == ReleaseVerdict::good || is_told) return;
  told_ = state.verdict;
  tell_again_ = loop_.now() + kDay;
  log(state.verdict == ReleaseVerdict::warning ? Level::warn : Level::error,
      state.verdict == ReleaseVerdict::out ? "runner_release_ended" : "runner_release_ends",
      {{"release", release.version}, {"text", state.text}});
}

void ReleaseWatch::refused(const Release& release) {
  if (refusals_.size() >= kMostRefusals) refusals_.erase(refusals_.begin());
  const Refusal refusal{loop_.now() + kDay, sys::wall_now()};
  if (!refusals_.emplace(release.key, refusal).second) return;
  log(Level::error, "runner_release_refused",
      {{"text", ended_text(release, refusal.since)},
       {"effect", "no new VM gets it; it is tried again in a day"}});
}

std::string ReleaseWatch::why_not(const Release& release) const {
  if (release.version == version_ && !version_.empty()) {
    ReleaseState state = judge_release(release, dates(), sys::wall_now());
    if (state.verdict == ReleaseVerdict::out) return std::move(state.text);
  }
  const auto refusal = refusals_.find(release.key);
  if (refusal == refusals_.end() || refusal->second.until <= loop_.now()) return {};
  return ended_text(release, refusal->second.since);
}

std::optional<Duration> ReleaseWatch::left() const {
  const auto end = end_of(dates());
  if (!end) return std::nullopt;
  return *end - sys::wall_now();
}

github::ReleaseDates ReleaseWatch::dates() const {
  github::ReleaseDates first;
  for (const auto& [account, asked] : accounts_) {
    first.registration = earlier(first.registration, asked.dates.registration);
    first.runtime = earlier(first.runtime, asked.dates.runtime);
  }
  return first;
}

}  // namespace mvr::daemon
