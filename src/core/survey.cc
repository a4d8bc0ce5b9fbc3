#include "core/survey.h"

#include <algorithm>

namespace mvr::core {
namespace {

void forget_runner(SurveyPlan& plan, const Vm& vm) {
  if (!vm.runner) return;
  plan.forget.push_back(*vm.runner);
  plan.forget_scopes.push_back(vm.scope);
}

// Its JIT config was in the memory of the daemon that died, never in the guest.
void restart_boot(SurveyPlan& plan, Vm& vm, Instant now) {
  forget_runner(plan, vm);
  vm.runner.reset();
  vm.jit_ready = false;
  vm.jit_failures = 0;
  vm.jit_retry_at = now;
  vm.phase = Phase::booting;
  vm.since = now;
  vm.adopted = true;
}

void normalise(SurveyPlan& plan, Vm& vm, Instant now) {
  vm.in_flight = {};
  vm.requested.clear();
  switch (vm.phase) {
    case Phase::preparing:  // not reached: such a VM is erased
    case Phase::booting:
    case Phase::warm:
      restart_boot(plan, vm, now);
      break;
    case Phase::claiming:
      // The claim may have arrived: by now the guest may even run a job with this runner.
      vm.since = now;
      vm.adopted = true;
      break;
    case Phase::ending:
    case Phase::removing:
      vm.phase = Phase::ending;
      vm.kill_at = now;
      break;
    case Phase::listening:
    case Phase::running:
    case Phase::held:
      break;
  }
}

bool is_adoptable(const Leftover& leftover) {
  return leftover.saved && leftover.process_alive && leftover.saved->vm.slot == leftover.slot &&
         leftover.saved->vm.phase != Phase::preparing;
}

}  // namespace

SurveyPlan survey(const std::vector<Leftover>& leftovers, Instant now) {
  SurveyPlan plan;
  for (const Leftover& leftover : leftovers) {
    if (is_adoptable(leftover)) {
      Vm vm = leftover.saved->vm;
      normalise(plan, vm, now);
      plan.adopt.push_back(std::move(vm));
    } else {
      plan.erase.push_back(leftover.slot);
      if (leftover.saved) forget_runner(plan, leftover.saved->vm);
    }
  }
  return plan;
}

bool is_runner_in_use(const World& world, std::string_view name) {
  return std::ranges::any_of(world.vms, [name](const auto& each) {
    const Vm& vm = each.second;
    return vm.requested == name || (vm.runner && vm.runner->name == name);
  });
}

}  // namespace mvr::core
