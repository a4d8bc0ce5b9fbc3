#include "daemon/status.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "core/names.h"

namespace mvr::daemon {
namespace {

using nlohmann::json;

constexpr std::size_t kMostJobs = 20;  // of one name

std::string wall_text(Instant time, Instant now, WallTime wall) {
  return format_iso8601(wall - (now - time));
}

json capacity_json(const core::Capacity& capacity) {
  return {{"memory", capacity.memory.value},
          {"vcpus", capacity.vcpus},
          {"disk", capacity.disk.value},
          {"vms", capacity.vms}};
}

json job_json(const core::JobHint& job, WallTime wall) {
  return {{"id", job.id},
          {"job", job.name},
          {"repository", job.repository},
          {"created", format_iso8601(job.created)},
          {"age_ms", (wall - job.created).count()}};
}

json wait_json(const core::Wait& wait, Instant now, WallTime wall) {
  json out = {{"scope", wait.scope},
              {"profile", wait.profile},
              {"jobs", wait.jobs},
              {"reason", core::reason_name(wait.reason)},
              {"text", core::reason_text(wait.reason, now)},
              {"advice", core::reason_advice(wait.reason)}};
  if (wait.next) out["next"] = wall_text(*wait.next, now, wall);
  if (const auto* unmatched = std::get_if<core::NoProfile>(&wait.reason)) {
    out["labels"] = unmatched->labels;
  }
  if (wait.oldest) out["oldest"] = job_json(*wait.oldest, wall);
  return out;
}

json scope_json(const std::string& id, const core::ScopeState& state, Instant now, WallTime wall) {
  json out = {
      {"scope", id}, {"queued", core::listed(state)}, {"seen", wall_text(state.as_of, now, wall)}};
  if (state.failure) {
    out["failure"] = state.failure->what;
    out["advice"] = core::reason_advice(core::DiscoveryDown{*state.failure, state.retry_at});
  }
  return out;
}

}  // namespace

json about_json(const core::Config& config, const core::World& world, const std::string& wanted,
                WallTime wall) {
  json jobs = json::array();
  const auto add = [&](const std::string& scope, const std::string& profile,
                       const core::JobHint& job) -> json* {
    if (jobs.size() >= kMostJobs) return nullptr;
    if (job.name != wanted && std::to_string(job.id) != wanted) return nullptr;
    json row = job_json(job, wall);
    row["scope"] = scope;
    row["profile"] = profile;
    row["labels"] = job.labels;
    jobs.push_back(std::move(row));
    return &jobs.back();
  };
  for (const auto& [scope, state] : world.scopes) {
    for (const auto& demand : state.demands) {
      for (const auto& job : demand.jobs) add(scope, demand.profile, job);
    }
    for (const auto& job : state.unmatched) {
      json* row = add(scope, "", job);
      if (row == nullptr) continue;
      const core::Reason why = core::why_unserved(config, config.scope(scope), job);
      (*row)["text"] = core::reason_text(why, Instant{});  // none of them tells a time
    }
  }
  return {{"profile", config.profile(wanted) != nullptr}, {"jobs", jobs}};
}

json vm_json(const core::Config& config, const core::Vm& vm, Instant now, WallTime wall) {
  json out = {{"vm", vm.name},
              {"slot", vm.slot},
              {"profile", vm.profile},
              {"scope", vm.scope},
              {"phase", core::phase_name(vm.phase)},
              {"phase_ms", (now - vm.since).count()},
              {"age_ms", (now - vm.created).count()},
              {"created", wall_text(vm.created, now, wall)},
              {"job", vm.job},
              {"result", vm.result},
              {"runner", vm.runner ? vm.runner->name : ""},
              {"repository", vm.repository},
              {"memory", vm.size.memory.value},
              {"vcpus", vm.size.vcpus},
              {"disk", vm.size.disk.value},
              {"address", core::slot_names(config, vm.slot).guest.to_text()}};
  if (vm.cause != core::EndCause::none) {
    out["cause"] = core::cause_name(vm.cause);
    out["cause_text"] = vm.cause_text;
  }
  if (vm.exit_code) out["exit_code"] = *vm.exit_code;
  if (vm.phase == core::Phase::held && vm.held_until) {
    out["held_until"] = wall_text(*vm.held_until, now, wall);
  }
  if (vm.hold > Duration{0}) out["hold_ms"] = vm.hold.count();
  if (vm.trouble != core::EndCause::none) {
    out["trouble"] = core::cause_name(vm.trouble);
    out["trouble_text"] = vm.trouble_text;
  }
  return out;
}

json use_json(const LiveVm& vm) {
  json out = {{"busy_cpus", std::round(vm.busy_cpus() * 100) / 100},
              {"cpu_ms", vm.cpu_time().count()},
              {"accel", vm.accelerated() ? "kvm" : "tcg"},
              {"user", vm.user()},
              {"image", vm.image()}};
  if (!vm.usage()) return out;
  const channel::Usage& usage = *vm.usage();
  out["memory_used"] = usage.memory;
  out["memory_peak"] = usage.memory_peak;
  out["disk_used"] = usage.disk;
  out["disk_peak"] = usage.disk_peak;
  return out;
}

json status_json(const core::Config& config, const core::World& world, const core::Plan& plan,
                 Instant now, WallTime wall) {
  json vms = json::array();
  for (const auto& [slot, vm] : world.vms) vms.push_back(vm_json(config, vm, now, wall));
  json waits = json::array();
  for (const auto& wait : plan.waits) waits.push_back(wait_json(wait, now, wall));
  json scopes = json::array();
  for (const auto& [id, state] : world.scopes) {
    // Of one that left the configuration, VMs may be left, but no listing comes any more.
    const bool is_known = config.scope(id) != nullptr;
    if (is_known) scopes.push_back(scope_json(id, state, now, wall));
  }
  json out = {{"vms", vms},
              {"waits", waits},
              {"scopes", scopes},
              {"capacity", capacity_json(world.capacity)},
              {"used", capacity_json(core::used(world))},
              {"draining", world.draining},
              {"pressure", world.pressure}};
  if (world.drain_deadline) out["drain_deadline"] = wall_text(*world.drain_deadline, now, wall);
  return out;
}

json finished_json(const history::FinishedJob& job) {
  const auto time = [](const std::optional<WallTime>& value) {
    return value ? json(format_iso8601(*value)) : json("");
  };
  json out = {{"vm", job.vm},
              {"profile", job.profile},
              {"scope", job.scope},
              {"job", job.job},
              {"repository", job.repository},
              {"workflow", job.workflow},
              {"result", job.result},
              {"cause", job.cause},
              {"cause_text", job.cause_text},
              {"created", time(job.created)},
              {"listening", time(job.listening)},
              {"started", time(job.started)},
              {"ended", time(job.ended)}};
  if (job.exit_code) out["exit_code"] = *job.exit_code;
  if (job.used) {
    out["memory_peak"] = job.used->memory.value;
    out["disk_peak"] = job.used->disk.value;
    out["cpu_ms"] = job.used->cpu.count();
  }
  if (job.facts.job == 0) return out;
  const core::JobFacts& facts = job.facts;
  out["facts"] = {{"job_id", facts.job},
                  {"run_id", facts.run},
                  {"attempt", facts.attempt},
                  {"conclusion", facts.conclusion},
                  {"branch", facts.branch},
                  {"event", facts.event},
                  {"actor", facts.actor},
                  {"created", time(facts.created)},
                  {"first_step", time(facts.first_step)},
                  {"completed", time(facts.completed)}};
  return out;
}

}  // namespace mvr::daemon
