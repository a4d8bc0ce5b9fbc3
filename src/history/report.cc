#include "history/report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <tuple>
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

// The smallest value that at least `share` of the sorted ones do not exceed (nearest rank).
template <class T>
T quantile(const std::vector<T>& sorted, double share) {
  if (sorted.empty()) return {};
  const double rank = share * static_cast<double>(sorted.size());
  auto index = static_cast<std::size_t>(rank);
  if (static_cast<double>(index) == rank && index > 0) --index;
  return sorted[std::min(index, sorted.size() - 1)];
}

double rate_for(const Rates& rates, std::uint32_t vcpus) {
  if (rates.empty()) return 0;
  const auto enough = rates.lower_bound(vcpus);
  return enough == rates.end() ? rates.rbegin()->second : enough->second;
}

void raise(std::optional<Bytes>& most, Bytes value) {
  most = std::max(most.value_or(value), value);
}

struct Group {
  ReportRow row;
  std::vector<Duration> waits;
  std::vector<Duration> runs;
};

void add(Group& group, const FinishedJob& job, const Rates& rates) {
  ReportRow& row = group.row;
  if (is_lost(job)) {
    ++row.lost;
    ++row.causes[job.cause];
  }
  if (job.used) {
    raise(row.memory_peak, job.used->memory);
    raise(row.disk_peak, job.used->disk);
    row.cpu += job.used->cpu;
  }
  if (job.job.empty()) return;
  ++row.jobs;
  if (is_failed(job)) ++row.failed;
  if (job.started && job.ended) {
    // Clocks are set back now and then: no job took less than nothing.
    const Duration run = std::max(*job.ended - *job.started, Duration{0});
    row.busy += run;
    const auto minutes =
        static_cast<std::size_t>(std::chrono::ceil<std::chrono::minutes>(run).count());
    row.minutes += minutes;
    row.price += static_cast<double>(minutes) * rate_for(rates, job.size.vcpus);
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

constexpr Bytes kMemoryStep = mib(256);
constexpr Bytes kDiskStep = gib(1);

// `size` and so much percent of it, in whole steps, at least one.
Bytes with_margin(Bytes size, std::uint32_t margin, Bytes step) {
  const std::uint64_t wanted = size.value + size.value / 100 * margin;
  return Bytes{std::max<std::uint64_t>((wanted + step.value - 1) / step.value, 1) * step.value};
}

struct Uses {
  SizeRow row;
  std::vector<Bytes> memory;
  std::vector<Bytes> disk;
  std::vector<double> cpus;
};

bool has(const core::Resources& size, const core::Resources& needed) {
  return size.memory >= needed.memory && size.vcpus >= needed.vcpus && size.disk >= needed.disk;
}

std::string smallest(const std::vector<core::Profile>& profiles, const core::Resources& needed) {
  const core::Profile* best = nullptr;
  for (const core::Profile& profile : profiles) {
    if (profile.most || !has(profile.size, needed)) continue;
    const auto key = [](const core::Profile& each) {
      return std::tuple(each.size.memory, each.size.vcpus, each.size.disk);
    };
    if (best == nullptr || key(profile) < key(*best)) best = &profile;
  }
  return best == nullptr ? "" : best->name;
}

SizeRow sized(Uses uses, const std::vector<core::Profile>& profiles, std::uint32_t margin) {
  constexpr double kShare = 0.95;
  std::ranges::sort(uses.memory);
  std::ranges::sort(uses.disk);
  std::ranges::sort(uses.cpus);
  SizeRow& row = uses.row;
  row.memory_p95 = quantile(uses.memory, kShare);
  row.disk_p95 = quantile(uses.disk, kShare);
  row.cpus_p95 = quantile(uses.cpus, kShare);
  row.needed.memory = with_margin(row.memory_p95, margin, kMemoryStep);
  row.needed.disk = with_margin(row.disk_p95, margin, kDiskStep);
  const double busy = std::ceil(std::clamp(row.cpus_p95, 1.0, 1024.0));
  row.needed.vcpus = std::min(static_cast<std::uint32_t>(busy), std::max(row.size.vcpus, 1U));
  row.fits = smallest(profiles, row.needed);
  return std::move(row);
}

std::int64_t given_back(const SizeRow& row) {
  return static_cast<std::int64_t>(row.size.memory.value) -
         static_cast<std::int64_t>(row.needed.memory.value);
}

}  // namespace

std::vector<SizeRow> right_sizes(const std::vector<FinishedJob>& past, ReportBy by,
                                 const std::vector<core::Profile>& profiles, std::uint32_t margin) {
  std::map<std::pair<std::string, std::string>, Uses> groups;
  for (const FinishedJob& job : past) {
    const bool is_known = job.used && !job.job.empty() && job.started && job.ended;
    if (!is_known || *job.ended <= *job.started) continue;
    Uses& uses = groups[{key_of(job, by), job.profile}];
    ++uses.row.jobs;
    uses.row.size = job.size;
    uses.memory.push_back(job.used->memory);
    uses.disk.push_back(job.used->disk);
    uses.cpus.push_back(static_cast<double>(job.used->cpu.count()) /
                        static_cast<double>((*job.ended - *job.started).count()));
  }
  std::vector<SizeRow> rows;
  rows.reserve(groups.size());
  for (auto& [key, uses] : groups) {
    uses.row.key = key.first;
    uses.row.profile = key.second;
    rows.push_back(sized(std::move(uses), profiles, margin));
  }
  std::ranges::stable_sort(rows, std::greater{}, given_back);
  return rows;
}

std::optional<ReportBy> parse_report_by(std::string_view word) {
  for (const auto& [name, by] : kWords) {
    if (name == word) return by;
  }
  return std::nullopt;
}

std::vector<ReportRow> report(const std::vector<FinishedJob>& past, ReportBy by,
                              const Rates& rates) {
  std::map<std::string, Group> groups;
  for (const FinishedJob& job : past) {
    if (job.job.empty() && !is_lost(job)) continue;
    std::string key = key_of(job, by);
    Group& group = groups[key];
    group.row.key = std::move(key);
    add(group, job, rates);
  }
  std::vector<ReportRow> rows;
  rows.reserve(groups.size());
  for (auto& [key, group] : groups) rows.push_back(finished(std::move(group)));
  std::ranges::stable_sort(rows, std::greater{}, &ReportRow::busy);
  return rows;
}

}  // namespace mvr::history
