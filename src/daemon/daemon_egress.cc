// The gates of VMs: how they change, and what is asked for at their resolvers.
#include "daemon/daemon.h"
#include "daemon/journal.h"

namespace mvr::daemon {

Result<void> Daemon::change_policy(const core::Config& wanted) {
  if (!is_policy_changed(config_, wanted)) return {};
  std::vector<Guest> guests;
  for (const auto& [slot, vm] : world_.vms) guests.push_back({slot, vm.egress});
  TRY(network_->set_policy(wanted, guests));
  return gate_resolvers_->follow(wanted);
}

void Daemon::asked(const Gate& gate, const Query& query) {
  for (const auto& [slot, vm] : world_.vms) {
    if (core::slot_names(config_, slot).guest != query.from) continue;
    if (passes(gate, query.name) && gate.is_limited) return;
    if (!egress_notes_.note(vm, query.name) || !gate.is_limited) return;
    log(Level::warn, "egress_refused",
        {{"vm", vm.name}, {"profile", vm.profile}, {"name", query.name}});
    return;
  }
}

void Daemon::end_egress(const core::Vm& vm) {
  const bool learns = vm.egress.mode == core::EgressMode::learn;
  if (auto noted = egress_notes_.end(vm, learns); !noted) {
    log(Level::warn, "egress_not_noted", with_error({{"vm", vm.name}}, noted.error()));
  } else if (learns) {
    log(Level::info, "egress_learned",
        {{"vm", vm.name}, {"list", "mvrunner egress " + vm.profile}});
  }
}

}  // namespace mvr::daemon
