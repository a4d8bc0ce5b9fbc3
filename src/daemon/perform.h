// Carries out the core's actions: each becomes calls of the adapters, each outcome exactly one
// event. The only place where decisions meet effects.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/result.h"
#include "core/config.h"
#include "core/plan.h"
#include "core/survey.h"
#include "daemon/commands.h"
#include "daemon/kept_logs.h"
#include "daemon/machine_room.h"
#include "daemon/network.h"
#include "daemon/vm.h"
#include "github/client.h"
#include "sys/loop.h"

namespace mvr::daemon {

class Performer {
 public:
  struct Parts {
    sys::Loop& loop;
    const core::Config& config;
    MachineRoom& room;
    Network& network;
    Commands& commands;
    github::Client* github = nullptr;  // null: no scopes are configured
  };
  // `hooks.report` receives every outcome.
  Performer(Parts parts, VmHooks hooks);

  // Saves the changed records of `world`, in which the action is already Dispatched, then acts.
  void perform(const core::Action& action, const core::World& world);
  // Start-up: takes over a VM found alive. Err: it cannot be adopted and is to be erased.
  Result<void> adopt(const core::SavedVm& saved);
  // Writes spec.json of each record that changed since it was last written.
  void save(const core::World& world);

  // For when the first scopes are configured while the daemon runs.
  void set_github(github::Client* client) { parts_.github = client; }

  [[nodiscard]] LiveVm* find(core::Slot slot);
  // What each VMM uses, see LiveVm::measure().
  void measure(Instant now);
  void bound_logs() const;

 private:
  void launch(const core::Launch& action);
  void request_jit(const core::RequestJit& action);
  void claim(const core::Claim& action);
  void warn(const core::Warn& action);
  void hold(const core::Hold& action);
  void stop(const core::Stop& action);
  void kill(const core::Kill& action);
  void remove(const core::Remove& action, const std::string& vm);
  void deregister(const core::Deregister& action);
  VmContext vm_context();
  void report(core::Event event) { hooks_.report(std::move(event)); }

  Parts parts_;
  VmHooks hooks_;
  std::map<core::Slot, std::unique_ptr<LiveVm>> vms_;
  std::map<core::Slot, core::Vm> saved_;
  KeptLogs logs_;
};

}  // namespace mvr::daemon
