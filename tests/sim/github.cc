#include "github.h"

#include <algorithm>

namespace mvr::sim {

void FakeGithub::add_job(const std::string& scope, const std::string& repository,
                         const std::string& profile, Duration length) {
  Job job;
  job.hint.repository = repository;
  job.hint.workflow = "ci";
  job.hint.name = "job";
  job.hint.id = next_id_++;
  job.hint.created = WallTime{stage_.now.time_since_epoch()};
  // Somebody's wall clock jumps: only the order may suffer.
  if (stage_.fault(20)) job.hint.created += stage_.rng.between(-90'000'000, 90'000'000);
  job.scope = scope;
  job.profile = profile;
  job.length = length;
  jobs_.push_back(job);
}

void FakeGithub::lose_job() {
  if (jobs_.empty()) return;
  Job& job = jobs_[stage_.rng.below(jobs_.size())];
  if (!job.queued) return;
  job.queued = false;
  job.left = stage_.now;
}

void FakeGithub::drop_jobs(const std::string& profile) {
  std::erase_if(jobs_, [&profile](const Job& job) { return job.profile == profile; });
}

std::size_t FakeGithub::queued() const {
  return static_cast<std::size_t>(std::ranges::count(jobs_, true, &Job::queued));
}

std::vector<core::Demand> FakeGithub::listing(const std::string& scope, Duration lag) const {
  std::map<std::string, std::vector<core::JobHint>> demands;
  for (const Job& job : jobs_) {
    const bool shown = job.queued || stage_.now - job.left < lag;
    if (job.scope != scope || !shown) continue;
    demands[job.profile].push_back(job.hint);
  }
  std::vector<core::Demand> list;
  for (auto& [profile, jobs] : demands) list.push_back(core::Demand{profile, std::move(jobs), {}});
  return list;
}

core::Runner FakeGithub::add_runner(const std::string& scope, const std::string& profile,
                                    const std::string& name) {
  if (!names_.insert(name).second) stage_.violation("a runner name is used twice");
  Registration registration;
  registration.runner = core::Runner{next_id_++, name};
  registration.scope = scope;
  registration.profile = profile;
  runners_[registration.runner.id] = registration;
  return registration.runner;
}

std::vector<core::RunnerSeen> FakeGithub::list_runners(const std::string& scope) const {
  std::vector<core::RunnerSeen> list;
  for (const auto& [id, runner] : runners_) {
    if (runner.scope != scope || stage_.fault(30)) continue;
    list.push_back(core::RunnerSeen{id, runner.busy != stage_.fault(30)});
  }
  return list;
}

bool FakeGithub::connect(std::int64_t id, std::function<void(const Job&)> take) {
  if (swept_.contains(id)) stage_.violation("the sweep deleted the runner of a VM");
  const auto found = runners_.find(id);
  if (found == runners_.end()) return false;
  found->second.online = true;
  found->second.take = std::move(take);
  return true;
}

Deletion FakeGithub::remove_runner(std::int64_t id) {
  const auto found = runners_.find(id);
  if (found == runners_.end()) return Deletion::missing;
  if (found->second.busy) return Deletion::busy;
  runners_.erase(found);
  return Deletion::deleted;
}

void FakeGithub::assign() {
  std::erase_if(jobs_, [this](const Job& job) {
    return !job.queued && stage_.now - job.left > Duration{60'000};
  });
  for (Job& job : jobs_) {
    if (!job.queued) continue;
    for (auto& [id, runner] : runners_) {
      const bool matches = runner.scope == job.scope && runner.profile == job.profile;
      if (!matches || !runner.online || runner.busy) continue;
      runner.busy = true;
      job.queued = false;
      job.left = stage_.now;
      const auto take = runner.take;  // it may delete the record
      take(job);
      break;
    }
  }
}

void FakeGithub::sweep(const core::World& world) {
  std::erase_if(runners_, [&](const auto& entry) {
    const auto& [id, runner] = entry;
    if (runner.busy || core::is_runner_in_use(world, runner.runner.name)) return false;
    swept_.insert(id);
    return true;
  });
}

}  // namespace mvr::sim
