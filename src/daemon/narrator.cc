#include "daemon/narrator.h"

#include "base/overloaded.h"
#include "base/text.h"
#include "core/plan.h"
#include "daemon/journal.h"
#include "sys/loop.h"

namespace mvr::daemon {
namespace {

std::string ms_text(Duration duration) { return std::to_string(duration.count()); }

// The line's name for a phase that was reached; empty: another line tells it.
std::string_view line_name(core::Phase phase) {
  switch (phase) {
    case core::Phase::warm:
      return "agent_up";
    case core::Phase::claiming:
      return "claiming";
    case core::Phase::listening:
      return "listening";
    case core::Phase::running:
      return "job_started";
    case core::Phase::ending:
      return "vm_ending";
    case core::Phase::preparing:
    case core::Phase::booting:
    case core::Phase::removing:
    case core::Phase::held:
      return {};
  }
  return {};
}

}  // namespace

void Narrator::before(const core::Event& event, const core::World& world) {
  if (const auto* seen = std::get_if<core::DemandSeen>(&event); seen != nullptr)
    return news(*seen, world);
  const auto* failed = std::get_if<core::DiscoveryFailed>(&event);
  if (failed != nullptr) tell_failure(failed->scope, failed->error, failed->retry_at);
}

void Narrator::tell_failure(const std::string& scope, const Error& error, Instant retry_at) {
  log(Level::warn, "discovery_failed",
      with_error({{"scope", scope}, {"retry_ms", ms_text(retry_at - sys::monotonic_now())}},
                 error));
}

// What cannot be seen of a scope is told with each listing: once for each try.
void Narrator::tell_gap(const core::DemandSeen& seen, const core::ScopeState* former) {
  const bool has_failed = former != nullptr && former->failure.has_value();
  if (!seen.failure) {
    if (has_failed) log(Level::info, "discovery_recovered", {{"scope", seen.scope}});
    return;
  }
  const bool is_known =
      has_failed && former->failure == seen.failure && former->retry_at == seen.retry_at;
  if (!is_known) tell_failure(seen.scope, *seen.failure, seen.retry_at);
}

void Narrator::news(const core::DemandSeen& seen, const core::World& world) {
  if (seen.scope == core::kCommandScope) return;
  const auto former = world.scopes.find(seen.scope);
  tell_gap(seen, former == world.scopes.end() ? nullptr : &former->second);
  std::set<std::int64_t> listed;
  for (const auto& demand : seen.demands) {
    for (const auto& job : demand.jobs) {
      listed.insert(job.id);
      if (known_jobs_.contains(job.id)) continue;
      log(Level::info, "job_seen",
          {{"job", job.name},
           {"id", std::to_string(job.id)},
           {"repository", job.repository},
           {"profile", demand.profile}});
    }
  }
  for (const auto& job : seen.unmatched) {
    listed.insert(job.id);
    if (known_jobs_.contains(job.id)) continue;
    log(Level::info, "job_unmatched",
        {{"job", job.name},
         {"id", std::to_string(job.id)},
         {"repository", job.repository},
         {"labels", join(job.labels, ",")},
         {"why", core::reason_text(core::why_unserved(config_, config_.scope(seen.scope), job),
                                   Instant{})}});
  }
  // One scope's listing forgets only what that scope listed before.
  if (former != world.scopes.end()) {
    for (const auto& demand : former->second.demands) {
      for (const auto& job : demand.jobs) known_jobs_.erase(job.id);
    }
    for (const auto& job : former->second.unmatched) known_jobs_.erase(job.id);
  }
  known_jobs_.insert(listed.begin(), listed.end());
}

void Narrator::note_times(const core::Vm& after, Instant now) {
  const WallTime wall = sys::wall_now();
  auto [it, fresh] = times_.try_emplace(after.name);
  Times& times = it->second;
  if (fresh) times.created = wall - (now - after.created);
  if (after.runner) times.runner = after.runner->name;
  if (after.phase == core::Phase::listening && !times.listening)
    times.listening = wall - (now - after.since);
  if (after.phase == core::Phase::running && !times.started)
    times.started = wall - (now - after.since);
  const bool has_ended = after.phase >= core::Phase::ending;
  if (has_ended && !times.ended) times.ended = wall - (now - after.since);
}

void Narrator::after(const core::Event& event, const core::Vm& before, const core::Vm& after,
                     Instant now) {
  if (!before.removed) note_times(after, now);
  if (before.phase != after.phase) phase_changed(before, after, now);
  const std::string since_launch = ms_text(now - after.created);
  std::visit(
      Overloaded{
          [&](const core::JitReady& ready) {
            if (ready.runner.name.empty()) return;
            log(Level::info, "runner_registered",
                {{"vm", after.name}, {"runner", ready.runner.name}});
          },
          [&](const core::JobFinished& finished) {
            log(Level::info, "job_finished",
                {{"vm", after.name}, {"job", after.job}, {"result", finished.result}});
          },
          [&](const core::VmTroubled& troubled) {
            if (after.trouble == before.trouble) return;
            const bool is_over = after.trouble == core::EndCause::none;
            log(is_over ? Level::info : Level::warn, is_over ? "vm_trouble_over" : "vm_troubled",
                {{"vm", after.name},
                 {"cause", std::string(core::cause_name(is_over ? before.trouble : after.trouble))},
                 {"text", troubled.text}});
          },
          [&](const core::VmExited& exited) {
            log(Level::info, "vm_exited", {{"vm", after.name}, {"reason", exited.text}});
          },
          [&](const core::Removed&) {
            log(Level::info, "vm_removed",
                {{"vm", after.name},
                 {"cause", std::string(core::cause_name(after.cause))},
                 {"since_launch_ms", since_launch}});
            times_.erase(after.name);
          },
          [&](const core::RemoveFailed& failed) {
            log(Level::error, "vm_not_removed", {{"vm", after.name}, {"error", failed.error.what}});
          },
          [&](const core::LaunchFailed& failed) {
            log(Level::error, "launch_failed", with_error({{"vm", after.name}}, failed.error));
          },
          [&](const core::DeregisterFailed& failed) {
            log(Level::debug, "runner_not_deleted", with_error({{"vm", after.name}}, failed.error));
          },
          [](const auto&) {},
      },
      event);
}

void Narrator::phase_changed(const core::Vm& before, const core::Vm& after, Instant now) {
  const std::string_view name = line_name(after.phase);
  if (name.empty()) return;
  std::vector<Field> fields = {{"vm", after.name}, {"profile", after.profile}};
  if (!after.job.empty()) fields.emplace_back("job", after.job);
  if (after.phase == core::Phase::ending) {
    fields.emplace_back("cause", std::string(core::cause_name(after.cause)));
    if (!after.cause_text.empty()) fields.emplace_back("text", after.cause_text);
    if (after.exit_code) fields.emplace_back("exit_code", std::to_string(*after.exit_code));
    fields.emplace_back("was", std::string(core::phase_name(before.phase)));
  }
  fields.emplace_back("since_launch_ms", ms_text(now - after.created));
  log(Level::info, name, fields);
}

history::FinishedJob Narrator::finished(const core::Vm& vm) const {
  history::FinishedJob job;
  job.vm = vm.name;
  job.profile = vm.profile;
  job.scope = vm.scope;
  job.job = vm.job;
  job.repository = vm.repository;
  job.workflow = vm.workflow;
  job.queued = vm.queued;
  job.result = vm.result;
  job.cause = std::string(core::cause_name(vm.cause));
  job.cause_text = vm.cause_text;
  job.exit_code = vm.exit_code;
  job.host = config_.host.id;
  job.size = vm.size;
  job.ended = sys::wall_now();  // of a leftover that is found at start
  if (vm.runner) job.runner = vm.runner->name;
  if (const auto it = times_.find(vm.name); it != times_.end()) {
    job.created = it->second.created;
    job.listening = it->second.listening;
    job.started = it->second.started;
    if (it->second.ended) job.ended = it->second.ended;
    if (job.runner.empty()) job.runner = it->second.runner;
  }
  return job;
}

}  // namespace mvr::daemon
