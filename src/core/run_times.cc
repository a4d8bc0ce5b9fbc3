#include "core/run_times.h"

#include <algorithm>

#include "base/assert.h"
#include "core/rules.h"

namespace mvr::core {
namespace {

constexpr std::size_t kLeastOfJob = 2;
constexpr std::size_t kLeastOfProfile = 3;

Estimate about_profile(const Run& run) { return Estimate{run.profile, {}, {}, {}, {}}; }

Estimate about_job(const Run& run) {
  return Estimate{{}, run.repository, run.workflow, run.job, {}};
}

}  // namespace

void RunTimes::add(const Run& run) {
  if (added_.size() == kMostRuns) forget_oldest();
  const auto put = [this, &run](Estimate about) {
    const auto at = table_.try_emplace(estimate_key(about), Lengths{about, {}}).first;
    std::vector<Duration>& sorted = at->second.sorted;
    sorted.insert(std::ranges::upper_bound(sorted, run.length), run.length);
    return at;
  };
  const auto of_profile = put(about_profile(run));
  const auto of_job = run.repository.empty() ? table_.end() : put(about_job(run));
  added_.push_back(Added{of_profile, of_job, run.length});
}

void RunTimes::forget_oldest() {
  const Added oldest = added_.front();
  added_.pop_front();
  take_out(oldest.of_profile, oldest.length);
  if (oldest.of_job != table_.end()) take_out(oldest.of_job, oldest.length);
}

void RunTimes::take_out(Table::iterator from, Duration length) {
  std::vector<Duration>& sorted = from->second.sorted;
  const auto at = std::ranges::lower_bound(sorted, length);
  MVR_ASSERT(at != sorted.end());
  MVR_ASSERT(*at == length);
  sorted.erase(at);
  if (sorted.empty()) table_.erase(from);
}

void RunTimes::append(std::vector<Estimate>& list, const Lengths& lengths) {
  const std::size_t least = lengths.about.profile.empty() ? kLeastOfJob : kLeastOfProfile;
  if (lengths.sorted.size() < least) return;
  list.push_back(lengths.about);
  list.back().typical = lengths.sorted[lengths.sorted.size() / 2];
}

std::vector<Estimate> RunTimes::all() const {
  std::vector<Estimate> list;
  for (const auto& [key, lengths] : table_) append(list, lengths);
  return list;
}

std::vector<Estimate> RunTimes::of(const Run& run) const {
  std::vector<Estimate> list;
  for (const Estimate& about : {about_profile(run), about_job(run)}) {
    if (const auto found = table_.find(estimate_key(about)); found != table_.end()) {
      append(list, found->second);
    }
  }
  return list;
}

}  // namespace mvr::core
