#include "github/poll.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "base/text.h"
#include "core/backoff.h"
#include "core/match.h"
#include "github/discovery.h"

namespace mvr::github {
namespace {

constexpr Duration kShortestPause{1'000};  // also between a poll and one that a hint hastens

class PollDiscovery final : public Discovery {
 public:
  PollDiscovery(sys::Loop& loop, const core::Config& config, Client& client)
      : loop_(loop), config_(config), client_(client), alive_(std::make_shared<bool>(true)) {}

  void start(std::function<void(core::Event)> report) override {
    report_ = std::move(report);
    polls_.resize(config_.github.scopes.size());
    for (std::size_t i = 0; i < polls_.size(); ++i) arm(i, loop_.now());
  }

  void hint(std::string_view) override {
    for (std::size_t i = 0; i < polls_.size(); ++i) {
      Poll& poll = polls_[i];
      if (poll.failures > 0) continue;  // its back-off stands
      const Instant soonest = std::max(loop_.now(), poll.started + kShortestPause);
      if (poll.is_under_way) {
        poll.is_hinted = true;
      } else if (soonest < poll.due) {
        arm(i, soonest);
      }
    }
  }

 private:
  struct Poll {
    sys::Timer timer;
    Instant due{};
    Instant started{};
    std::uint64_t round = 0;
    std::uint32_t failures = 0;
    bool is_under_way = false;
    bool is_hinted = false;  // while it was under way
  };

  [[nodiscard]] const core::Scope& scope(std::size_t i) const { return config_.github.scopes[i]; }

  void arm(std::size_t i, Instant when) {
    polls_[i].due = when;
    polls_[i].timer = loop_.call_at(when, [this, i] { look(i); });
  }

  void look(std::size_t i) {
    Poll& poll = polls_[i];
    poll.is_under_way = true;
    poll.started = loop_.now();
    // The client outlives this object; its answer may come after it is gone.
    client_.queued_jobs(scope(i),
                        [this, i, alive = std::weak_ptr<bool>(alive_)](Result<JobListing> listing) {
                          if (alive.expired()) return;
                          polls_[i].is_under_way = false;
                          if (listing) {
                            seen(i, std::move(*listing));
                          } else {
                            failed(i, std::move(listing.error()));
                          }
                        });
  }

  // Reporting comes last: the receiver may destroy this object.
  void seen(std::size_t i, JobListing listing) {
    Poll& poll = polls_[i];
    const auto report = report_;
    const auto alive = std::weak_ptr<bool>(alive_);
    const Duration pause = poll_pause(config_.github.poll_interval, client_.stretch(scope(i)),
                                      scope(i).id(), ++poll.round);
    Instant next = std::max(poll.started + pause, loop_.now() + kShortestPause);
    if (std::exchange(poll.is_hinted, false)) next = loop_.now() + kShortestPause;
    poll.failures = 0;
    arm(i, next);
    const std::optional<Error> gap = listing.gap;
    const std::string id = scope(i).id();
    report(demand_of(config_, scope(i), std::move(listing)));
    // A part of the scope is out of sight: the demand of the rest holds, the failure is shown.
    if (gap && !alive.expired()) report(core::DiscoveryFailed{id, *gap, next});
  }

  void failed(std::size_t i, Error error) {
    Poll& poll = polls_[i];
    const auto report = report_;
    poll.is_hinted = false;
    const Instant next =
        retry_at(loop_.now(), client_.not_before(scope(i)), scope(i).id(), ++poll.failures);
    arm(i, next);
    report(core::DiscoveryFailed{scope(i).id(), std::move(error), next});
  }

  sys::Loop& loop_;
  core::Config config_;
  Client& client_;
  std::function<void(core::Event)> report_;
  std::vector<Poll> polls_;
  std::shared_ptr<bool> alive_;
};

}  // namespace

Duration poll_pause(Duration interval, unsigned stretch, std::string_view key,
                    std::uint64_t round) {
  const Duration pause = std::max(interval, kShortestPause) * static_cast<int>(stretch);
  const auto most = static_cast<std::uint64_t>(pause.count() / 10) + 1;
  return pause + Duration{static_cast<Duration::rep>(stable_hash(key, round) % most)};
}

Instant retry_at(Instant now, Instant not_before, std::string_view key, std::uint32_t failures) {
  return std::max(now + core::backoff_delay(core::kApiBackoff, failures, key), not_before);
}

core::DemandSeen demand_of(const core::Config& config, const core::Scope& scope,
                           JobListing listing) {
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
