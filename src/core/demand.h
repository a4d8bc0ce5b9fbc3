// What is asked of the host: queued jobs as listed, what is known about them, and what each
// repository has had.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace mvr::core {

// What the scope's runner group says to a job, as far as discovery knows.
enum class GroupBar { none, refuses_public, hides_repository };

// A queued job as discovery saw it.
struct JobHint {
  std::int64_t id = 0;
  std::int64_t run_id = 0;
  std::string repository;  // "owner/repo"
  std::string workflow;
  std::string name;
  std::vector<std::string> labels;
  WallTime created{};
  Instant seen{};          // in which listing first; kept by observe()
  bool is_public = false;  // of a public repository
  bool is_fork = false;    // its code comes from a fork, or from one that is gone
  GroupBar bar = GroupBar::none;
  friend bool operator==(const JobHint&, const JobHint&) = default;
};

// A list of jobs whose copies share their memory: worlds are copied while planning, and may list
// ten thousands of jobs.
class Jobs {
 public:
  Jobs() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): a list of jobs is what it is
  Jobs(std::vector<JobHint> jobs)
      : jobs_(std::make_shared<const std::vector<JobHint>>(std::move(jobs))) {}
  Jobs(std::initializer_list<JobHint> jobs) : Jobs(std::vector<JobHint>(jobs)) {}
  [[nodiscard]] const std::vector<JobHint>& list() const {
    static const std::vector<JobHint> kNone;
    return jobs_ ? *jobs_ : kNone;
  }
  [[nodiscard]] std::size_t size() const { return list().size(); }
  [[nodiscard]] bool empty() const { return list().empty(); }
  [[nodiscard]] auto begin() const { return list().begin(); }
  [[nodiscard]] auto end() const { return list().end(); }
  const JobHint& operator[](std::size_t n) const { return list()[n]; }
  [[nodiscard]] const JobHint& at(std::size_t n) const { return list().at(n); }
  friend bool operator==(const Jobs& a, const Jobs& b) { return a.list() == b.list(); }

 private:
  std::shared_ptr<const std::vector<JobHint>> jobs_;
};

// One-off commands (`mvrunner run`) are demand too, in this scope.
inline constexpr std::string_view kCommandScope = "@run";

struct Demand {
  std::string profile;
  Jobs jobs;                   // oldest first; its length is the level
  std::vector<Instant> taken;  // jobs our VMs took after as_of: still listed, not demand
  friend bool operator==(const Demand&, const Demand&) = default;
};

struct ScopeState {
  Instant as_of{};                 // when the listing was requested, see DemandSeen
  Instant newest{};                // see DemandSeen
  std::vector<Demand> demands;     // one per profile with demand
  std::vector<JobHint> unmatched;  // queued jobs no profile serves, see why_unserved()
  bool is_partial = false;         // more may be queued, see DemandSeen
  std::optional<Error> failure;    // discovery is failing, of all or of a part
  Instant retry_at{};              // next try while failing
  friend bool operator==(const ScopeState&, const ScopeState&) = default;
};

// How many queued jobs the latest listing had.
[[nodiscard]] inline std::size_t listed(const ScopeState& state) {
  std::size_t count = state.unmatched.size();
  for (const auto& demand : state.demands) count += demand.jobs.size();
  return count;
}

// How long jobs take: medians of history, for one job, or for all of a profile.
struct Estimate {
  std::string profile;     // set: of the profile; the others are empty then
  std::string repository;  // "owner/repo"
  std::string workflow;
  std::string job;  // display name
  Duration typical{};
  friend bool operator==(const Estimate&, const Estimate&) = default;
};

// By estimate_key(). Copies share their memory until one is changed.
class Estimates {
 public:
  [[nodiscard]] std::optional<Duration> find(const std::string& key) const {
    const auto found = known_->find(key);
    return found == known_->end() ? std::nullopt : std::optional(found->second);
  }
  void set(const std::string& key, Duration typical) {
    if (known_.use_count() > 1) known_ = std::make_shared<Map>(*known_);
    (*known_)[key] = typical;
  }
  friend bool operator==(const Estimates& a, const Estimates& b) { return *a.known_ == *b.known_; }

 private:
  using Map = std::map<std::string, Duration>;
  std::shared_ptr<Map> known_ = std::make_shared<Map>();
};

// The shares repositories had, see core/queue.h. In parts of the host, per weight.
struct Shares {
  std::uint64_t now = 0;                      // start of the last service
  std::map<std::string, std::uint64_t> ends;  // by repository; absent: before now
  friend bool operator==(const Shares&, const Shares&) = default;
};

}  // namespace mvr::core
