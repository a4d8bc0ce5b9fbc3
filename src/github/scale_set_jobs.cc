#include "github/scale_set_jobs.h"

#include <algorithm>
#include <tuple>

#include "base/text.h"

namespace mvr::github {
namespace {

bool is_older(const core::JobHint& a, const core::JobHint& b) {
  return std::tie(a.created, a.id) < std::tie(b.created, b.id);
}

std::size_t waiting(const QueueStatistics& statistics) {
  return statistics.assigned - std::min(statistics.assigned, statistics.running);
}

}  // namespace

void AssignedJobs::restart(const QueueStatistics& statistics, WallTime now) {
  set_level(waiting(statistics), now);
}

void AssignedJobs::apply(const QueueMessage& message, WallTime now) {
  const std::size_t fresh = take_names(message, now);
  std::size_t level = level_;
  if (message.statistics) level = waiting(*message.statistics);
  const bool says_nothing = !message.statistics || message.statistics->assigned == 0;
  if (says_nothing) level = std::max(level, fresh);
  set_level(level, now);
}

// How many jobs the message assigns that have not started by its end.
std::size_t AssignedJobs::take_names(const QueueMessage& message, WallTime now) {
  for (const JobMessage& entry : message.jobs) {
    if (entry.kind != JobMessage::Kind::assigned || known_.size() >= kMost) continue;
    core::JobHint job = entry.job;
    if (job.repository.empty()) job.repository = blank_.repository;
    if (job.labels.empty()) job.labels = blank_.labels;
    if (job.created == WallTime{}) job.created = now;
    known_.try_emplace(job.id, std::move(job));
  }
  for (const JobMessage& entry : message.jobs) {
    const bool is_over =
        entry.kind == JobMessage::Kind::started || entry.kind == JobMessage::Kind::completed;
    if (is_over) known_.erase(entry.job.id);
  }
  return static_cast<std::size_t>(std::ranges::count_if(message.jobs, [this](const auto& entry) {
    return entry.kind == JobMessage::Kind::assigned && known_.contains(entry.job.id);
  }));
}

void AssignedJobs::set_level(std::size_t level, WallTime now) {
  // GitHub gives up a queued job after a day; what is known of it longer was never told to be over.
  std::erase_if(
      known_, [now](const auto& job) { return job.second.created + std::chrono::hours(24) < now; });
  level_ = level;
  const std::size_t shown = std::min(level, kMost);
  nameless_.resize(shown - std::min(shown, known_.size()), now);
}

std::vector<core::JobHint> AssignedJobs::jobs() const {
  const std::size_t shown = std::min(level_, kMost);
  std::vector<core::JobHint> jobs;
  jobs.reserve(known_.size() + nameless_.size());
  for (const auto& [id, job] : known_) jobs.push_back(job);
  std::ranges::sort(jobs, is_older);
  // Too many names: a word that a job started was lost, most likely about the oldest.
  if (jobs.size() > shown) {
    jobs.erase(jobs.begin(), jobs.end() - static_cast<std::ptrdiff_t>(shown));
  }
  for (std::size_t n = 0; n < nameless_.size() && jobs.size() < shown; ++n) {
    core::JobHint job = blank_;
    const std::uint64_t hash = stable_hash(key_ + "\n" + std::to_string(n));
    job.id = std::max<std::int64_t>(static_cast<std::int64_t>(hash & std::uint64_t{INT64_MAX}), 1);
    job.created = nameless_[n];
    jobs.push_back(std::move(job));
  }
  std::ranges::sort(jobs, is_older);
  return jobs;
}

}  // namespace mvr::github
