#include "daemon/perform.h"

#include "base/assert.h"
#include "base/overloaded.h"
#include "base/text.h"
#include "core/backoff.h"
#include "core/match.h"
#include "daemon/fail_point.h"
#include "daemon/journal.h"
#include "sys/files.h"

namespace mvr::daemon {
namespace {

// What of a record a restarted daemon needs; changes of nothing else are written.
core::Vm durable(core::Vm vm) {
  vm.in_flight = {};
  vm.requested.clear();
  vm.jit_ready = false;
  vm.jit_failures = 0;
  vm.jit_retry_at = {};
  vm.kill_at = {};
  vm.remove_failures = 0;
  vm.remove_retry_at = {};
  return vm;
}

// A scope that left the configuration while VMs of it live: enough of it to delete their runners.
core::Scope former_scope(const std::string& id) {
  core::Scope scope;
  const auto slash = id.find('/');
  scope.owner = id.substr(0, slash);
  if (id.starts_with("enterprises/")) {
    scope.kind = core::ScopeKind::enterprise;
    scope.owner = id.substr(slash + 1);
  } else if (slash == std::string::npos) {
    scope.kind = core::ScopeKind::organization;
  } else {
    scope.repository = id.substr(slash + 1);
  }
  return scope;
}

// GitHub's own pace for a failed call, never sooner than the client allows.
Instant retry_time(Instant now, const github::Client* client, const core::Scope& scope,
                   std::string_view key) {
  const Instant jittered = now + core::backoff_delay(core::kApiBackoff, 3, key);
  return client == nullptr ? jittered : std::max(jittered, client->not_before(scope));
}

}  // namespace

Performer::Performer(Parts parts, VmHooks hooks) : parts_(parts), hooks_(std::move(hooks)) {}

VmContext Performer::vm_context() {
  return VmContext{parts_.loop, parts_.config, parts_.room, parts_.network, hooks_};
}

LiveVm* Performer::find(core::Slot slot) {
  const auto it = vms_.find(slot);
  return it == vms_.end() ? nullptr : it->second.get();
}

void Performer::perform(const core::Action& action, const core::World& world) {
  if (const auto* first = std::get_if<core::Launch>(&action)) {
    vms_[first->slot] =
        std::make_unique<LiveVm>(vm_context(), first->slot, first->vm, first->profile);
  }
  save(world);  // intent before effect: a crash in between finds it on disk
  fail_point("before", core::action_name(action));
  std::visit(Overloaded{
                 [this](const core::Launch& a) { launch(a); },
                 [this](const core::RequestJit& a) { request_jit(a); },
                 [this](const core::Claim& a) { claim(a); },
                 [this](const core::Warn& a) { warn(a); },
                 [this](const core::Stop& a) { stop(a); },
                 [this](const core::Kill& a) { kill(a); },
                 [&](const core::Remove& a) { remove(a, world.vms.at(a.slot).name); },
                 [this](const core::Deregister& a) { deregister(a); },
                 [this](const core::Hold& a) { hold(a); },
             },
             action);
  fail_point("after", core::action_name(action));
}

void Performer::launch(const core::Launch& action) {
  const Instant begin = parts_.loop.now();
  LiveVm* vm = find(action.slot);
  MVR_ASSERT(vm != nullptr);
  if (auto launched = vm->launch(action); !launched) {
    report(core::LaunchFailed{action.slot, launched.error()});
    return;
  }
  const Duration took = parts_.loop.now() - begin;
  log(Level::info, "vm_started",
      {{"vm", action.vm},
       {"profile", action.profile},
       {"scope", action.scope},
       {"slot", std::to_string(action.slot)},
       {"pid", std::to_string(vm->pid())},
       {"host_ms", std::to_string(took.count())}});
  hooks_.launched(took);
  report(core::VmStarted{action.slot});
}

void Performer::request_jit(const core::RequestJit& action) {
  LiveVm* vm = find(action.slot);
  const core::Slot slot = action.slot;
  if (vm == nullptr) return report(core::JitFailed{slot, Error{Errc::not_found, "no such VM"}, {}});
  if (action.scope == core::kCommandScope) {
    const bool bound = parts_.commands.assign(vm->profile(), slot) != nullptr;
    if (bound) return report(core::JitReady{slot, {}});
    return report(core::JitFailed{slot, Error{Errc::cancelled, "no command waits for this VM"},
                                  parts_.loop.now()});
  }
  const core::Scope* scope = parts_.config.scope(action.scope);
  const core::Profile* profile = parts_.config.profile(vm->profile());
  if (scope == nullptr || profile == nullptr || parts_.github == nullptr) {
    return report(core::JitFailed{
        slot, Error{Errc::not_found, "scope or profile is no longer configured"}, {}});
  }
  const std::string name = vm->name();
  parts_.github->generate_jit(
      *scope, action.runner, core::labels_of(parts_.config, vm->profile()),
      [this, slot, name, scope = *scope, runner = action.runner](Result<github::JitConfig> made) {
        fail_point("answer to request_jit");
        if (!made) {
          log(Level::warn, "jit_failed",
              with_error({{"vm", name}, {"runner", runner}}, made.error()));
          report(core::JitFailed{slot, made.error(),
                                 retry_time(parts_.loop.now(), parts_.github, scope, runner)});
          return;
        }
        // Answered also when the VM is gone meanwhile: its record waits for this, and then has
        // the runner deleted.
        LiveVm* live = find(slot);
        if (live != nullptr && live->name() == name) live->set_jit(std::move(made->encoded));
        report(core::JitReady{slot, made->runner});
      });
}

void Performer::claim(const core::Claim& action) {
  LiveVm* vm = find(action.slot);
  if (vm == nullptr)
    return report(core::ClaimFailed{action.slot, Error{Errc::not_found, "no such VM"}});
  const CommandRequest* command = parts_.commands.find(action.slot);
  auto sent = vm->claim(command == nullptr ? std::vector<std::string>{} : command->argv);
  fail_point("claim sent");
  // One-off commands have an empty standard input.
  if (sent && command != nullptr) sent = vm->send(channel::ToAgent{channel::Input{"", true}});
  if (!sent) report(core::ClaimFailed{action.slot, sent.error()});
}

void Performer::warn(const core::Warn& action) {
  LiveVm* vm = find(action.slot);
  if (vm == nullptr) return;
  const std::string left = format_duration(action.left);
  log(Level::warn, "job_near_its_limit", {{"vm", vm->name()}, {"left", left}});
  // A guest that cannot be told is ended all the same.
  (void)vm->send(channel::Notice{"this job is ended in " + left + ": it is near its time limit"});
}

// A guest that is not told ends by itself soon; so be it.
void Performer::hold(const core::Hold& action) {
  LiveVm* vm = find(action.slot);
  if (vm == nullptr) return;
  log(Level::info, "vm_held", {{"vm", vm->name()}, {"for", format_duration(action.time)}});
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(action.time).count();
  (void)vm->send(channel::Hold{static_cast<std::uint32_t>(seconds)});
}

void Performer::stop(const core::Stop& action) {
  LiveVm* vm = find(action.slot);
  if (vm == nullptr || !vm->stop(action.grace)) report(core::StopFailed{action.slot});
}

void Performer::kill(const core::Kill& action) {
  LiveVm* vm = find(action.slot);
  if (vm == nullptr) return report(core::VmExited{action.slot, "no process"});
  if (auto killed = vm->kill(); !killed) {
    log(Level::error, "kill_failed", {{"vm", vm->name()}, {"error", killed.error().what}});
  }
}

// `vm` may have ended while no daemon ran; it is empty when a former one had not come to write it.
void Performer::remove(const core::Remove& action, const std::string& vm) {
  if (is_plain_name(vm, kMaxVmName)) {
    const core::SlotNames names = core::slot_names(parts_.config, action.slot);
    if (auto kept = logs_.keep(parts_.config, names, vm); !kept) {
      log(Level::warn, "logs_not_kept", {{"vm", vm}, {"error", kept.error().what}});
    }
  }
  fail_point("logs kept");
  vms_.erase(action.slot);  // closes pins, taps and sockets before the objects behind them go
  auto removed = remove_vm(parts_.config, parts_.room.cgroups(), parts_.network, action.slot);
  if (!removed) return report(core::RemoveFailed{action.slot, removed.error()});
  saved_.erase(action.slot);
  report(core::Removed{action.slot});
}

void Performer::deregister(const core::Deregister& action) {
  const core::Scope* configured = parts_.config.scope(action.scope);
  const core::Scope scope = configured == nullptr ? former_scope(action.scope) : *configured;
  const core::Slot slot = action.slot;
  if (parts_.github == nullptr) return report(core::Deregistered{slot});
  parts_.github->delete_runner(
      scope, action.runner.id, [this, slot, scope, name = action.runner.name](Result<bool> done) {
        fail_point("answer to deregister");
        if (done) return report(core::Deregistered{slot});
        report(core::DeregisterFailed{slot, done.error(),
                                      retry_time(parts_.loop.now(), parts_.github, scope, name)});
      });
}

Result<void> Performer::adopt(const core::SavedVm& saved) {
  auto vm = std::make_unique<LiveVm>(vm_context(), saved.vm.slot, saved.vm.name, saved.vm.profile);
  TRY(vm->adopt(saved));
  vms_[saved.vm.slot] = std::move(vm);
  return {};
}

void Performer::save(const core::World& world) {
  for (const auto& [slot, record] : world.vms) {
    if (record.removed) continue;
    const core::Vm wanted = durable(record);
    if (const auto it = saved_.find(slot); it != saved_.end() && it->second == wanted) continue;
    const LiveVm* vm = find(slot);
    if (vm == nullptr) continue;
    if (auto written = vm->save(record); !written) {
      log(Level::error, "spec_not_written", {{"vm", record.name}, {"error", written.error().what}});
      continue;
    }
    saved_[slot] = wanted;
  }
}

void Performer::measure(Instant now) {
  for (auto& [slot, vm] : vms_) vm->measure(now);
}

void Performer::bound_logs() const {
  for (const auto& [slot, vm] : vms_) vm->bound_logs();
}

}  // namespace mvr::daemon
