// Which VMs demand still asks for.
#include <algorithm>

#include "core/rules.h"

namespace mvr::core {
namespace {

bool is_certain(const Config& config, const World& world, const std::string& scope, Instant now) {
  // A scope that left the configuration has no demand; commands have no listing that lags.
  if (world.draining || scope == kCommandScope || config.scope(scope) == nullptr) return true;
  const auto state = world.scopes.find(scope);
  if (state == world.scopes.end()) return false;
  if (state->second.failure || state->second.is_partial) return false;
  return now - state->second.as_of <= kListingAge;
}

// All listed jobs count here, also those just taken: a listing that lags must not cancel the
// VM meant for the next job.
std::size_t level(const Config& config, const World& world, const DemandKey& key) {
  const bool known = key.first == kCommandScope || config.scope(key.first) != nullptr;
  if (world.draining || !known || config.profile(key.second) == nullptr) return 0;
  const auto state = world.scopes.find(key.first);
  if (state == world.scopes.end()) return 0;
  const auto& demands = state->second.demands;
  const auto demand = std::ranges::find(demands, key.second, &Demand::profile);
  return demand == demands.end() ? 0 : demand->jobs.size();
}

}  // namespace

bool goes_before(const Vm* a, const Vm* b) {
  if (a->phase != b->phase) return a->phase > b->phase;
  if (a->created != b->created) return a->created < b->created;
  return a->slot < b->slot;
}

std::map<DemandKey, std::vector<const Vm*>> on_the_way(const World& world) {
  std::map<DemandKey, std::vector<const Vm*>> groups;
  for (const auto& [slot, vm] : world.vms) {
    if (is_on_the_way(vm)) groups[{vm.scope, vm.profile}].push_back(&vm);
  }
  return groups;
}

std::set<Slot> surplus_idle(const Config& config, const World& world) {
  std::map<std::string, std::vector<const Vm*>> idle;
  for (const auto& [slot, vm] : world.vms) {
    if (is_idle(vm)) idle[vm.profile].push_back(&vm);
  }
  std::set<Slot> surplus;
  for (auto& [name, vms] : idle) {
    const Profile* profile = config.profile(name);
    std::ranges::sort(vms, goes_before);
    for (std::size_t n = profile == nullptr ? 0 : profile->warm; n < vms.size(); ++n) {
      surplus.insert(vms[n]->slot);
    }
  }
  return surplus;
}

std::map<Slot, Want> wants(const Config& config, const World& world, Instant now) {
  std::map<Slot, Want> result;
  for (auto& [key, vms] : on_the_way(world)) {
    std::ranges::sort(vms, goes_before);
    const std::size_t wanted = level(config, world, key);
    const Want rest = is_certain(config, world, key.first, now) ? Want::no : Want::doubtful;
    for (std::size_t n = 0; n < vms.size(); ++n) {
      // A claimed command is with the guest already: a drain lets it run like any job.
      const bool is_handed_over =
          world.draining && key.first == kCommandScope && vms[n]->phase == Phase::claiming;
      result[vms[n]->slot] = n < wanted || is_handed_over ? Want::yes : rest;
    }
  }
  return result;
}

}  // namespace mvr::core
