#include "daemon/status.h"

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "core/names.h"

namespace mvr::daemon {
namespace {

using nlohmann::json;

std::string wall_text(Instant time, Instant now, WallTime wall) {
  return format_iso8601(wall - (now - time));
}

json capacity_json(const core::Capacity& capacity) {
  return {{"memory", capacity.memory.value},
          {"vcpus", capacity.vcpus},
          {"disk", capacity.disk.value},
          {"vms", capacity.vms}};
}

json wait_json(const core::Wait& wait, Instant now, WallTime wall) {
  json out = {{"scope", wait.scope},
              {"profile", wait.profile},
              {"jobs", wait.jobs},
              {"reason", core::reason_name(wait.reason)},
              {"text", core::reason_text(wait.reason, now)}};
  if (wait.oldest) {
    out["oldest"] = {{"job", wait.oldest->name},
                     {"repository", wait.oldest->repository},
                     {"created", format_iso8601(wait.oldest->created)},
                     {"age_ms", (wall - wait.oldest->created).count()}};
  }
  return out;
}

json scope_json(const std::string& id, const core::ScopeState& state, Instant now, WallTime wall) {
  std::size_t queued = state.unmatched.size();
  for (const auto& demand : state.demands) queued += demand.jobs.size();
  json out = {{"scope", id}, {"queued", queued}, {"seen", wall_text(state.as_of, now, wall)}};
  if (state.failure) out["failure"] = state.failure->what;
  return out;
}

}  // namespace

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
              {"memory", vm.size.memory.value},
              {"vcpus", vm.size.vcpus},
              {"disk", vm.size.disk.value},
              {"address", core::slot_names(config, vm.slot).guest.to_text()}};
  if (vm.cause != core::EndCause::none) {
    out["cause"] = core::cause_name(vm.cause);
    out["cause_text"] = vm.cause_text;
  }
  if (vm.exit_code) out["exit_code"] = *vm.exit_code;
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
    if (id != core::kCommandScope) scopes.push_back(scope_json(id, state, now, wall));
  }
  return {{"vms", vms},
          {"waits", waits},
          {"scopes", scopes},
          {"capacity", capacity_json(world.capacity)},
          {"used", capacity_json(core::used(world))},
          {"draining", world.draining}};
}

json finished_json(const history::FinishedJob& job) {
  const auto time = [](const std::optional<WallTime>& value) {
    return value ? json(format_iso8601(*value)) : json("");
  };
  json out = {{"vm", job.vm},
              {"profile", job.profile},
              {"scope", job.scope},
              {"job", job.job},
              {"result", job.result},
              {"cause", job.cause},
              {"cause_text", job.cause_text},
              {"created", time(job.created)},
              {"listening", time(job.listening)},
              {"started", time(job.started)},
              {"ended", time(job.ended)}};
  if (job.exit_code) out["exit_code"] = *job.exit_code;
  return out;
}

}  // namespace mvr::daemon
