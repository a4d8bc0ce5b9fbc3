#include "history/report.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <utility>

#include "base/text.h"

namespace mvr::history {
namespace {

constexpr std::array<std::pair<std::string_view, ReportBy>, 6> kWords{
    {{"repo", ReportBy::repository},
     {"workflow", ReportBy::workflow},
     {"job", ReportBy::job},
     {"profile", ReportBy::profile},
     {"cause", ReportBy::cause},
     {"user", ReportBy::user}}};

// Words of core::cause_name() for ends that are nobody's fault.
constexpr std::array<std::string_view, 4> kGoodEnds{"finished", "unused", "cancelled", "killed"};

std::string key_of(const FinishedJob& job, ReportBy by) {
  std::string key;
  const auto add = [&key](const std::string& part) {
    if (part.empty()) return;
    if (!key.empty()) key += ' ';
    key += part;
  };
  switch (by) {
    case ReportBy::profile:
      return job.profile;
    case ReportBy::cause:
      return job.cause;
    case ReportBy::user:
      add(job.facts.actor);
      break;
    case ReportBy::job:
      add(job.repository);
      add(job.workflow);
      add(job.job);
      break;
    case ReportBy::workflow:
      add(job.repository);
      add(job.workflow);
      break;
    case ReportBy::repository:
      add(job.repository);
      break;
  }
  return key.empty() ? "-" : key;
}

bool is_failed(const FinishedJob& job) {
  const std::string result = ascii_lower(job.result);
  return result != "succeeded" && result != "canceled";
}

bool is_lost(const FinishedJob& job) {
  return std::ranges::find(kGoodEnds, job.cause) == kGoodEnds.end();
}

// The smallest time that at least `share` of the sorted ones do not exceed (nearest rank).
Duration quantile(const std::vector<Duration>& sorted, double share) {
  if (sorted.empty()) return {};
  const double rank = share * static_cast<double>(sorted.size());
  auto index = static_cast<std::size_t>(rank);
  if (static_cast<double>(index) == rank && index > 0) --index;
  return sorted[std::min(index, sorted.size() - 1)];
}

struct Group {
  ReportRow row;
  std::vector<Duration> waits;
  std::vector<Duration> runs;
};

void add(Group& group, const FinishedJob& job) {
  ReportRow& row = group.row;
  if (is_lost(job)) ++row.lost;
  if (job.job.empty()) return;
  ++row.jobs;
  if (is_failed(job)) ++row.failed;
  if (job.started && job.ended) {
    // Clocks are set back now and then: no job took less than nothing.
    const Duration run = std::max(*job.ended - *job.started, Duration{0});
    row.busy += run;
    row.minutes += static_cast<std::size_t>(std::chrono::ceil<std::chrono::minutes>(run).count());
    group.runs.push_back(run);
  }
  // Where GitHub told when the first step began, both times are by its clock.
  const auto begun = job.facts.first_step ? job.facts.first_step : job.started;
  if (job.queued && begun) group.waits.push_back(std::max(*begun - *job.queued, Duration{0}));
}

ReportRow finished(Group group) {
  std::ranges::sort(group.waits);
  std::ranges::sort(group.runs);
  group.row.waits = group.waits.size();
  group.row.wait_median = quantile(group.waits, 0.5);
  group.row.wait_p95 = quantile(group.waits, 0.95);
  group.row.run_median = quantile(group.runs, 0.5);
  return std::move(group.row);
}

}  // namespace

std::optional<ReportBy> parse_report_by(std::string_view word) {
  for (const auto& [name, by] : kWords) {
    if (name == word) return by;
  }
  return std::nullopt;
}

std::vector<ReportRow> report(const std::vector<FinishedJob>& past, ReportBy by) {
  std::map<std::string, Group> groups;
  for (const FinishedJob& job : past) {
    if (job.job.empty() && !is_lost(job)) continue;
    std::string key = key_of(job, by);
    Group& group = groups[key];
    group.row.key = std::move(key);
    add(group, job);
  }
  std::vector<ReportRow> rows;
  rows.reserve(groups.size());
  for (auto& [key, group] : groups) rows.push_back(finished(std::move(group)));
  std::ranges::stable_sort(rows, std::greater{}, &ReportRow::busy);
  return rows;
}

}  // namespace mvr::history
