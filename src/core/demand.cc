// A new listing of queued jobs, and what is known about jobs.
#include <algorithm>
#include <unordered_map>

#include "core/rules.h"

namespace mvr::core {
namespace {

// Listed jobs that vanished account for that many of the jobs our VMs took.
std::size_t vanished(const Jobs& before, const Jobs& after) {
  std::vector<std::int64_t> listed;
  listed.reserve(after.size());
  for (const JobHint& job : after) listed.push_back(job.id);
  std::ranges::sort(listed);
  return static_cast<std::size_t>(std::ranges::count_if(before, [&listed](const JobHint& job) {
    return !std::ranges::binary_search(listed, job.id);
  }));
}

// What is still believed to be listed though taken, when `fresh` replaces `old`.
std::vector<Instant> still_taken(const Demand& old, const Jobs& fresh, Instant as_of,
                                 Duration lag) {
  std::vector<Instant> kept;
  if (old.taken.empty()) return kept;
  std::size_t explained = vanished(old.jobs, fresh);
  for (const Instant taken : old.taken) {
    if (explained > 0) {
      --explained;
    } else if (taken > as_of - lag) {
      kept.push_back(taken);
    }
  }
  return kept;
}

// The jobs with the time of the listing that showed them first.
using FirstSeen = std::unordered_map<std::int64_t, Instant>;
FirstSeen first_seen(const ScopeState& state) {
  FirstSeen seen;
  for (const Demand& demand : state.demands) {
    for (const JobHint& job : demand.jobs) seen.emplace(job.id, job.seen);
  }
  return seen;
}

Jobs with_first_seen(const Jobs& jobs, const FirstSeen& known, Instant as_of) {
  std::vector<JobHint> dated = jobs.list();
  for (JobHint& job : dated) {
    const auto found = known.find(job.id);
    job.seen = found == known.end() ? as_of : found->second;
  }
  return dated;
}

}  // namespace

void fold_demand(ScopeState& state, const DemandSeen& event) {
  const Duration lag = event.scope == kCommandScope ? Duration::zero() : kListingLag;
  ScopeState fresh;
  fresh.as_of = event.as_of;
  fresh.unmatched = event.unmatched;
  fresh.is_partial = event.is_partial;
  fresh.newest = event.newest;
  fresh.failure = event.failure;
  fresh.retry_at = event.retry_at;
  const FirstSeen known = first_seen(state);
  for (const Demand& seen : event.demands) {
    fresh.demands.push_back(
        Demand{seen.profile, with_first_seen(seen.jobs, known, event.as_of), {}});
  }
  for (const Demand& old : state.demands) {
    auto same = std::ranges::find(fresh.demands, old.profile, &Demand::profile);
    const bool is_listed = same != fresh.demands.end();
    const Jobs jobs = is_listed ? same->jobs : Jobs{};
    std::vector<Instant> taken = still_taken(old, jobs, event.as_of, lag);
    if (is_listed) {
      same->taken = std::move(taken);
    } else if (!taken.empty()) {
      fresh.demands.push_back(Demand{old.profile, {}, std::move(taken)});
    }
  }
  state = std::move(fresh);
}

std::string estimate_key(std::string_view profile) { return "profile " + std::string(profile); }

std::string estimate_key(std::string_view repository, std::string_view workflow,
                         std::string_view job) {
  // No part of it holds a newline: GitHub's names are one line.
  return std::string(repository).append("\n").append(workflow).append("\n").append(job);
}

std::string estimate_key(const Estimate& estimate) {
  if (!estimate.profile.empty()) return estimate_key(estimate.profile);
  return estimate_key(estimate.repository, estimate.workflow, estimate.job);
}

}  // namespace mvr::core
