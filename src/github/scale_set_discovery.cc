// Discovery by runner scale sets: a listener for each profile, merged into the demand of a scope.
#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "base/text.h"
#include "core/match.h"
#include "github/discovery.h"
#include "github/set_listener.h"

namespace mvr::github {
namespace {

// What a set that fails said before is believed for so long.
constexpr Duration kBelieved{300'000};
constexpr Duration kDenialKept{3'600'000};

std::string in_quotes(std::string_view text) { return "\"" + printable(text, 100) + "\""; }

Error public_refusal(const core::Scope& scope, const std::string& profile) {
  std::string text = "profile " + in_quotes(profile) + " does not serve public repositories, and ";
  if (scope.kind == core::ScopeKind::repository) {
    text += scope.id() + " is public: set public_repositories of the profile, or";
  } else {
    text += "the runner group " +
            (scope.runner_group.empty() ? "\"Default\"" : in_quotes(scope.runner_group)) + " of " +
            scope.id() +
            " is open to them: close it to public repositories in GitHub's settings, set "
            "public_repositories of the profile, or";
  }
  return Error{Errc::denied, text + " use `discovery: poll`, which tells jobs apart"};
}

class ScaleSetDiscovery final : public Discovery {
 public:
  ScaleSetDiscovery(sys::Loop& loop, const core::Config& config, Client& client,
                    const core::Scope& scope, ServeCapacity capacity)
      : loop_(loop),
        config_(config),
        client_(client),
        scope_(scope),
        capacity_(std::move(capacity)),
        tuning_(client.scale_sets(scope).tuning()) {}

  void start(std::function<void(core::Event)> report) override {
    report_ = std::move(report);
    sets_.reserve(config_.profiles.size());
    for (const core::Profile& profile : config_.profiles) {
      if (profile.most || profile.labels.empty()) continue;  // config/ has refused the first
      Set set;
      set.profile = profile.name;
      set.listener = std::make_unique<SetListener>(parts_of(profile));
      sets_.push_back(std::move(set));
    }
    for (const Set& set : sets_) set.listener->start();
    arm_safety(loop_.now() + tuning_.safety_interval);
  }

  // Other profiles or labels are other sets: the sessions of the former ones are given back first.
  void renew(const core::Config& config) override {
    const bool is_same = config.github == config_.github && config.profiles == config_.profiles;
    config_ = config;
    if (const core::Scope* scope = config_.scope(scope_.id())) scope_ = *scope;
    if (is_same || !report_) return;
    stop([this, report = report_, alive = std::weak_ptr<bool>(alive_)] {
      if (alive.expired()) return;
      sets_.clear();
      is_listing_ = false;
      is_denied_ = false;
      start(report);
    });
  }

  [[nodiscard]] std::vector<Look> looks() const override { return {}; }

  // The queue tells of a job by itself. Where it does not, the listing is what may show it, as soon
  // as the job counts there.
  void hint(std::string_view repository) override {
    const std::size_t slash = repository.find('/');
    const std::string_view owner = repository.substr(0, slash);
    const bool is_ours =
        repository.empty() || (scope_.kind == core::ScopeKind::repository
                                   ? ascii_lower(repository) == ascii_lower(scope_.id())
                                   : ascii_lower(owner) == ascii_lower(scope_.owner));
    if (!is_ours || is_listing_ || is_denied_) return;
    const Instant when = loop_.now() + tuning_.safety_age + Duration{5'000};
    if (when < safety_due_) arm_safety(when);
  }

  void stop(std::function<void()> done) override {
    report_ = nullptr;
    safety_ = sys::Timer();
    auto left = std::make_shared<std::size_t>(sets_.size() + 1);
    const auto one_less = [left, done = std::move(done)] {
      if (--*left == 0) done();
    };
    for (const Set& set : sets_) set.listener->stop(one_less);
    one_less();
  }

 private:
  struct Set {
    std::string profile;
    std::unique_ptr<SetListener> listener;
    std::vector<core::JobHint> overlooked;  // queued for long by the listing, but not in the queue
    std::uint64_t messages = 0;             // of the listener when these were found
  };

  SetListener::Parts parts_of(const core::Profile& profile) {
    const std::vector<std::string> labels = client_.runner_labels(profile.labels);
    core::JobHint blank;
    blank.labels = labels;
    if (scope_.kind == core::ScopeKind::repository) blank.repository = scope_.id();
    const std::string id = scope_.id();
    return SetListener::Parts{loop_,
                              client_.scale_sets(scope_),
                              SetWish{labels.front(), scope_.runner_group, labels},
                              config_.host.id,
                              AssignedJobs(blank, id + "\n" + profile.name),
                              [this, id, name = profile.name] { return capacity_(id, name); },
                              [this, name = profile.name, is_open = profile.public_repositories](
                                  const Client::Done<bool>& done) { permit(name, is_open, done); },
                              [this] { report(); }};
  }

  // A message does not tell whether its job's repository is public: a profile that does not serve
  // these listens only where none can come.
  void permit(const std::string& profile, bool is_open, const Client::Done<bool>& done) {
    if (is_open) return done(true);
    client_.is_public(scope_, [scope = scope_, profile, done](const Result<bool>& is_public) {
      if (!is_public) return done(fail(is_public.error()));
      if (*is_public) return done(fail(public_refusal(scope, profile)));
      done(true);
    });
  }

  // ---- reporting -------------------------------------------------------------------------------

  // Nothing before each set has answered or failed once: what is not known would pass for no jobs.
  void report() {
    const bool is_whole = std::ranges::all_of(
        sets_, [](const Set& set) { return set.listener->seen_at() || set.listener->failure(); });
    if (!is_whole || !report_) return;
    const auto report = report_;
    const std::weak_ptr<bool> alive = alive_;
    const auto failed = failure();
    const bool is_blind = std::ranges::all_of(
        sets_, [](const Set& set) { return set.listener->failure().has_value(); });
    if (is_blind && failed) {
      report(core::DiscoveryFailed{scope_.id(), failed->error, failed->retry_at});
    } else {
      // Some sets may be out of hearing: the demand of the others holds, the failure is shown.
      core::DemandSeen seen = demand();
      if (failed) {
        seen.failure = failed->error;
        seen.retry_at = failed->retry_at;
      }
      report(std::move(seen));
    }
    if (alive.expired()) return;
    for (const Set& set : sets_) set.listener->reported();
  }

  [[nodiscard]] std::optional<SetListener::Failure> failure() const {
    std::optional<SetListener::Failure> first;
    for (const Set& set : sets_) {
      const auto& failure = set.listener->failure();
      if (!failure) continue;
      if (!first) {
        first = failure;
        first->error = with_context(first->error, "profile " + set.profile);
      }
      first->retry_at = std::min(first->retry_at, failure->retry_at);
    }
    return first;
  }

  core::DemandSeen demand() {
    core::DemandSeen seen;
    seen.scope = scope_.id();
    seen.as_of = loop_.now();
    for (Set& set : sets_) {
      const auto seen_at = set.listener->seen_at();
      if (!seen_at || seen.as_of - *seen_at > kBelieved) continue;
      std::vector<core::JobHint> jobs = set.listener->jobs().jobs();
      // Where the queue talks again, it knows better.
      if (set.listener->messages() != set.messages) set.overlooked.clear();
      jobs.insert(jobs.end(), set.overlooked.begin(), set.overlooked.end());
      if (!jobs.empty()) seen.demands.push_back(core::Demand{set.profile, std::move(jobs), {}});
    }
    return seen;
  }

  // ---- the slow look at the REST API -----------------------------------------------------------

  void arm_safety(Instant when) {
    // The repositories of an enterprise can only be found in organisations that are named.
    const bool has_places =
        scope_.kind != core::ScopeKind::enterprise || !scope_.organizations.empty();
    if (!has_places) return;
    safety_due_ = when;
    safety_ = loop_.call_at(when, [this] { look(); });
  }

  // Takes a tenth of the time at most, however many repositories there are.
  void look() {
    is_listing_ = true;
    client_.queued_jobs(scope_, [this, begun = loop_.now(), alive = std::weak_ptr<bool>(alive_)](
                                    const Result<JobListing>& listing) {
      if (alive.expired() || !report_) return;
      is_listing_ = false;
      is_denied_ = !listing && (listing.error().code == Errc::denied ||
                                listing.error().code == Errc::not_found ||
                                listing.error().code == Errc::unauthorized);
      const Duration pause =
          std::max(tuning_.safety_interval * static_cast<int>(client_.stretch(scope_)),
                   9 * (loop_.now() - begun));
      arm_safety(loop_.now() + (is_denied_ ? kDenialKept : pause));
      if (listing) compare(listing->jobs);
    });
  }

  // Known faults of the queue: a re-run is not announced to a set without runners, an assignment
  // gets lost. Jobs that have been queued for long, more than the queue knows of, get a VM all the
  // same: any runner of the set may take them. What the queue holds back because this host has no
  // room is among them, so that it is seen to wait.
  void compare(const std::vector<core::JobHint>& listed) {
    std::map<std::string, std::vector<core::JobHint>> by_profile;
    const WallTime old = sys::wall_now() - tuning_.safety_age;
    for (const core::JobHint& job : listed) {
      if (job.created > old) continue;
      if (const auto profile = core::match_job(config_, job)) by_profile[*profile].push_back(job);
    }
    bool is_news = false;
    for (Set& set : sets_) {
      std::vector<core::JobHint> jobs = std::move(by_profile[set.profile]);
      const AssignedJobs& queue = set.listener->jobs();
      const std::size_t more = jobs.size() - std::min(jobs.size(), queue.level());
      // The queue gives out the oldest first.
      const std::size_t known = jobs.size() - more;
      jobs.erase(jobs.begin(), jobs.begin() + static_cast<std::ptrdiff_t>(known));
      set.messages = set.listener->messages();
      is_news = is_news || jobs != set.overlooked;
      set.overlooked = std::move(jobs);
    }
    if (is_news) report();
  }

  sys::Loop& loop_;
  core::Config config_;
  Client& client_;
  core::Scope scope_;
  ServeCapacity capacity_;
  Tuning tuning_;
  std::function<void(core::Event)> report_;
  std::vector<Set> sets_;
  Instant safety_due_{};
  bool is_listing_ = false;
  bool is_denied_ = false;
  sys::Timer safety_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace

std::unique_ptr<Discovery> make_scale_set_discovery(sys::Loop& loop, const core::Config& config,
                                                    Client& client, const core::Scope& scope,
                                                    ServeCapacity capacity) {
  return std::make_unique<ScaleSetDiscovery>(loop, config, client, scope, std::move(capacity));
}

}  // namespace mvr::github
