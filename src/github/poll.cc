#include "github/poll.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "base/text.h"
#include "core/backoff.h"
#include "core/match.h"
#include "github/account.h"
#include "github/discovery.h"

namespace mvr::github {
namespace {

constexpr Duration kRefreshRepositories{600'000};
// What a look takes when nothing happens: queued runs each time, other states at 7 of 12.
constexpr int kTenthsOfRequests = 16;
constexpr std::size_t kLooksAtOnce = 4;  // of a scope
constexpr Duration kStale{60'000};       // so long a listing counts when the next ones fail
constexpr int kQuietParts = 360;         // of a quiet time is how long to wait

// Not what one repository's answer was like, but what GitHub makes of all requests.
bool is_for_all(const Error& error) {
  return error.code == Errc::unauthorized || error.code == Errc::rate_limited;
}

// The repository that is due for longest comes next, so that when there are more than the pace
// allows, all of them are late by as much. A few looks are under way at a time: requests go one
// after the other all the same, but one that waits for its next try must not hold up the scope.
class PollDiscovery final : public Discovery {
 public:
  PollDiscovery(sys::Loop& loop, const core::Config& config, Client& client)
      : loop_(loop), config_(config), client_(client), alive_(std::make_shared<bool>(true)) {}

  void start(std::function<void(core::Event)> report) override {
    report_ = std::move(report);
    take_scopes();
  }

  void renew(const core::Config& config) override {
    config_ = config;
    take_scopes();
  }

  void hint(std::string_view repository) override {
    for (auto& [id, scope] : scopes_) {
      bool is_meant = false;
      for (auto& [name, each] : scope.repositories) {
        if (!repository.empty() && ascii_lower(name) != ascii_lower(repository)) continue;
        each.is_hinted = true;
        is_meant = true;
      }
      if (is_meant) arm(scope);
    }
  }

  [[nodiscard]] std::vector<Look> looks() const override {
    std::vector<Look> all;
    for (const auto& [id, scope] : scopes_) {
      all.reserve(all.size() + scope.repositories.size());
      for (const auto& [name, each] : scope.repositories) {
        all.push_back(Look{id, name, each.finished, interval_of(each), worst_of(scope)});
      }
    }
    return all;
  }

 private:
  struct Repository {
    Instant started{};   // the latest look
    Instant finished{};  // the latest that succeeded
    Instant due{};
    Instant active{};  // when something was seen to happen last
    std::uint64_t round = 0;
    std::uint32_t failures = 0;
    bool is_hinted = false;
    bool is_under_way = false;
    JobListing listing;
    std::optional<Error> failure;  // of this repository only
    [[nodiscard]] bool was_looked_at() const { return finished != Instant{} || failure; }
  };
  struct ScopePoll {
    core::Scope scope;
    std::map<std::string, Repository> repositories;
    Instant list_due{};
    Instant blocked_until{};
    std::uint32_t failures = 0;  // of the scope, in a row
    bool is_listing = false;     // its repositories
    std::size_t under_way = 0;   // looks
    sys::Timer timer;
  };

  void take_scopes() {
    std::map<std::string, ScopePoll> former = std::exchange(scopes_, {});
    for (const core::Scope& scope : config_.github.scopes) {
      if (config_.github.feed_of(scope) != core::Feed::poll) continue;
      ScopePoll poll = std::move(former[scope.id()]);
      poll.scope = scope;
      poll.list_due = {};
      poll.blocked_until = {};
      for (auto& [name, each] : poll.repositories) each.is_hinted = true;
      arm(scopes_[scope.id()] = std::move(poll));
    }
  }

  [[nodiscard]] Duration interval_of(const Repository& each) const {
    return look_interval(config_.github, loop_.now() - each.active);
  }
  // All repositories of the same credentials share a pace.
  [[nodiscard]] Duration worst_of(const ScopePoll& poll) const {
    const core::Credentials& own = config_.github.credentials_of(poll.scope);
    std::size_t count = 0;
    for (const auto& [id, other] : scopes_) {
      if (config_.github.credentials_of(other.scope) == own) count += other.repositories.size();
    }
    return worst_latency(config_.github, count, client_.tuning().point_gap,
                         client_.stretch(poll.scope));
  }
  [[nodiscard]] Duration shortest() const { return client_.tuning().shortest_pause; }

  // When to look: when it is due, or soon after the last look when there is a hint.
  [[nodiscard]] Instant ready_at(const Repository& each) const {
    return each.is_hinted ? std::min(each.due, each.started + shortest()) : each.due;
  }

  void arm(ScopePoll& poll) {
    // The repositories are found anew between looks.
    const bool waits = poll.under_way > 0 && loop_.now() >= poll.list_due;
    if (poll.is_listing || waits || poll.under_way >= kLooksAtOnce) return;
    Instant when = poll.list_due;
    for (const auto& [name, each] : poll.repositories) {
      if (!each.is_under_way) when = std::min(when, ready_at(each));
    }
    when = std::max({when, poll.blocked_until, loop_.now()});
    poll.timer = loop_.call_at(when, [this, id = poll.scope.id()] { step(id); });
  }

  void step(const std::string& id) {
    ScopePoll& poll = scopes_.at(id);
    if (loop_.now() >= poll.list_due) return poll.under_way == 0 ? list(poll) : void();
    const auto next = next_of(poll);
    if (next != poll.repositories.end()) look(poll, *next);
    arm(poll);
  }

  // With a hint, or due for longest.
  std::map<std::string, Repository>::iterator next_of(ScopePoll& poll) {
    const auto rank = [](const Repository& each) { return std::pair(!each.is_hinted, each.due); };
    auto best = poll.repositories.end();
    for (auto each = poll.repositories.begin(); each != poll.repositories.end(); ++each) {
      if (each->second.is_under_way || loop_.now() < ready_at(each->second)) continue;
      if (best == poll.repositories.end() || rank(each->second) < rank(best->second)) best = each;
    }
    return best;
  }

  ScopePoll* find(const std::string& id) {
    const auto found = scopes_.find(id);
    return found == scopes_.end() ? nullptr : &found->second;
  }

  void list(ScopePoll& poll) {
    poll.is_listing = true;
    client_.repositories(poll.scope, [this, id = poll.scope.id(), alive = std::weak_ptr(alive_)](
                                         Result<std::vector<std::string>> names) {
      if (alive.expired()) return;
      ScopePoll* found = find(id);
      if (found == nullptr) return;
      found->is_listing = false;
      if (!names) return scope_failed(*found, std::move(names.error()));
      take_names(*found, *names);
    });
  }

  void take_names(ScopePoll& poll, const std::vector<std::string>& names) {
    poll.list_due =
        loop_.now() + (names.empty() ? config_.github.idle_interval : kRefreshRepositories);
    std::map<std::string, Repository> kept;
    for (const std::string& name : names) {
      const auto former = poll.repositories.find(name);
      const bool is_new = former == poll.repositories.end();
      Repository& each = kept[name] = is_new ? Repository{} : std::move(former->second);
      if (is_new) each.active = loop_.now();
    }
    const bool is_less = kept.size() < poll.repositories.size();
    poll.repositories = std::move(kept);
    arm(poll);
    if (is_less || names.empty()) report_demand(poll, loop_.now());
  }

  void look(ScopePoll& poll, std::pair<const std::string, Repository>& next) {
    ++poll.under_way;
    next.second.is_under_way = true;
    next.second.started = loop_.now();
    next.second.is_hinted = false;
    client_.repository_jobs(poll.scope, next.first,
                            [this, id = poll.scope.id(), name = next.first,
                             alive = std::weak_ptr(alive_)](Result<JobListing> listing) {
                              if (alive.expired()) return;
                              if (ScopePoll* found = find(id))
                                looked(*found, name, std::move(listing));
                            });
  }

  void looked(ScopePoll& poll, const std::string& name, Result<JobListing> listing) {
    --poll.under_way;
    const auto each = poll.repositories.find(name);
    if (each == poll.repositories.end()) return arm(poll);
    each->second.is_under_way = false;
    if (listing) return seen(poll, *each, std::move(*listing));
    const bool is_alone = poll.repositories.size() == 1;
    if (is_alone || is_for_all(listing.error())) {
      return scope_failed(poll, std::move(listing.error()));
    }
    repository_failed(poll, each->second, std::move(listing.error()));
  }

  // In the following, reporting comes last: the receiver may destroy this object.
  void seen(ScopePoll& poll, std::pair<const std::string, Repository>& looked, JobListing listing) {
    Repository& each = looked.second;
    const Instant now = loop_.now();
    const Instant as_of = listing.as_of;
    each.finished = now;
    if (listing.is_active) each.active = now;
    each.listing = std::move(listing);
    each.failure.reset();
    each.failures = 0;
    poll.failures = 0;
    const unsigned stretch = client_.stretch(poll.scope);
    const Pause pause{interval_of(each), stretch, shortest()};
    each.due =
        std::max(each.started + poll_pause(pause, looked.first, ++each.round), now + shortest());
    arm(poll);
    report_demand(poll, as_of);
  }

  void repository_failed(ScopePoll& poll, Repository& each, Error error) {
    if (is_local(error)) each.listing = {};
    each.failure = std::move(error);
    const Instant next = retry_at(loop_.now(), {}, poll.scope.id(), ++each.failures);
    each.due = std::max(next, each.started + config_.github.poll_interval);
    poll.failures = 0;
    arm(poll);
    report_demand(poll, each.started);
  }

  void scope_failed(ScopePoll& poll, Error error) {
    poll.blocked_until = retry_at(loop_.now(), client_.poll_not_before(poll.scope), poll.scope.id(),
                                  ++poll.failures);
    arm(poll);
    const auto report = report_;
    report(core::DiscoveryFailed{poll.scope.id(), std::move(error), poll.blocked_until});
  }

  // The latest listings of all repositories, as old as the oldest that has jobs. A part of the
  // scope may be out of sight: the demand of the rest holds, the failure is shown with it.
  void report_demand(const ScopePoll& poll, Instant as_of) {
    JobListing all;
    all.as_of = as_of;
    Instant newest = as_of;
    bool is_partial = false;
    bool is_any_seen = poll.repositories.empty();
    const Repository* failed = nullptr;
    for (const auto& [name, each] : poll.repositories) {
      newest = std::max(newest, each.listing.as_of);
      is_partial = is_partial || !each.was_looked_at();
      is_any_seen = is_any_seen || each.finished != Instant{};
      if (each.failure && failed == nullptr) failed = &each;
      const bool is_stale = each.failure && loop_.now() - each.listing.as_of > kStale;
      if (each.listing.jobs.empty() || is_stale) continue;
      all.as_of = std::min(all.as_of, each.listing.as_of);
      all.jobs.insert(all.jobs.end(), each.listing.jobs.begin(), each.listing.jobs.end());
    }
    const auto report = report_;
    if (!is_any_seen) {
      if (failed == nullptr) return;  // nothing is known yet
      return report(core::DiscoveryFailed{poll.scope.id(), *failed->failure, failed->due});
    }
    core::DemandSeen demand = demand_of(config_, poll.scope, std::move(all));
    demand.newest = newest;
    demand.is_partial = is_partial;
    if (failed != nullptr) {
      demand.failure = failed->failure;
      demand.retry_at = failed->due;
    }
    report(std::move(demand));
  }

  sys::Loop& loop_;
  core::Config config_;
  Client& client_;
  std::function<void(core::Event)> report_;
  std::map<std::string, ScopePoll> scopes_;
  std::shared_ptr<bool> alive_;
};

}  // namespace

Duration look_interval(const core::GithubSettings& settings, Duration quiet) {
  return std::clamp(quiet / kQuietParts, settings.poll_interval,
                    std::max(settings.idle_interval, settings.poll_interval));
}

Duration worst_latency(const core::GithubSettings& settings, std::size_t repositories, Duration gap,
                       unsigned stretch) {
  const Duration longest = std::max(settings.idle_interval, settings.poll_interval);
  const auto looks = static_cast<Duration::rep>(repositories);
  return longest * static_cast<int>(stretch) * 11 / 10 + gap * looks * kTenthsOfRequests / 10;
}

Duration poll_pause(const Pause& pause, std::string_view key, std::uint64_t round) {
  const Duration whole = std::max(pause.interval, pause.shortest) * static_cast<int>(pause.stretch);
  const auto most = static_cast<std::uint64_t>(whole.count() / 10) + 1;
  return whole + Duration{static_cast<Duration::rep>(stable_hash(key, round) % most)};
}

Instant retry_at(Instant now, Instant not_before, std::string_view key, std::uint32_t failures) {
  return std::max(now + core::backoff_delay(core::kApiBackoff, failures, key), not_before);
}

core::DemandSeen demand_of(const core::Config& config, const core::Scope& scope,
                           JobListing listing) {
  std::ranges::stable_sort(listing.jobs, {},
                           [](const core::JobHint& job) { return std::pair(job.created, job.id); });
  core::DemandSeen seen;
  seen.scope = scope.id();
  seen.as_of = listing.as_of;
  std::map<std::string, std::vector<core::JobHint>> by_profile;
  for (core::JobHint& job : listing.jobs) {
    const auto profile = core::match_job(config, job);
    auto& jobs = profile ? by_profile[*profile] : seen.unmatched;
    jobs.push_back(std::move(job));
  }
  for (auto& [profile, jobs] : by_profile) {
    seen.demands.push_back(core::Demand{profile, std::move(jobs), {}});
  }
  return seen;
}

std::unique_ptr<Discovery> make_poll_discovery(sys::Loop& loop, const core::Config& config,
                                               Client& client) {
  return std::make_unique<PollDiscovery>(loop, config, client);
}

}  // namespace mvr::github
