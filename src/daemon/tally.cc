#include "daemon/tally.h"

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace mvr::daemon {
namespace {

double seconds(Duration time) { return static_cast<double>(time.count()) / 1000; }

// The guest says the result: only known words become labels.
std::string_view result_word(std::string_view result) {
  const std::string lower = ascii_lower(result);
  for (const std::string_view word : {"succeeded", "failed", "canceled"}) {
    if (lower == word) return word;
  }
  return "other";
}

}  // namespace

void Histogram::add(Duration took) {
  const auto* const bound = std::ranges::lower_bound(kBounds, seconds(took));
  ++counts_.at(static_cast<std::size_t>(bound - kBounds.begin()));
  sum_ += took;
}

std::uint64_t Histogram::below(std::size_t n) const {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i <= n; ++i) count += counts_.at(i);
  return count;
}

std::string_view stage_name(Stage stage) {
  switch (stage) {
    case Stage::queued:
      return "queued";
    case Stage::booting:
      return "booting";
    case Stage::waiting:
      return "waiting";
    case Stage::running:
      return "running";
  }
  return "";
}

void Tally::ended(const core::Config& config, const history::FinishedJob& job) {
  const core::Profile* known = config.profile(job.profile);
  std::string profile = known == nullptr ? job.profile : known->name;
  if (config.is_trial(job.profile)) profile = core::kTrials;
  ++ends[{profile, job.cause}];
  if (!job.job.empty()) ++jobs[{profile, std::string(result_word(job.result))}];
  const auto add = [&](Stage stage, const std::optional<WallTime>& from,
                       const std::optional<WallTime>& to) {
    // Times by GitHub's clock and ours: one may lie before the other.
    if (from && to) stages[{profile, stage}].add(std::max(*to - *from, Duration(0)));
  };
  add(Stage::queued, job.queued, job.created);
  add(Stage::booting, job.created, job.listening);
  add(Stage::waiting, job.listening, job.started);
  add(Stage::running, job.started, job.ended);
}

}  // namespace mvr::daemon
