#include "core/room.h"

#include <algorithm>

#include "core/match.h"
#include "core/plan.h"
#include "core/rules.h"

namespace mvr::core {
namespace {

struct Tally {
  std::uint32_t at_it = 0;  // of the scope and the profile
  std::uint32_t warm = 0;   // of the profile
  std::uint32_t in_scope = 0;
  std::uint32_t in_profile = 0;
};

Tally tally(const World& world, std::string_view scope, std::string_view profile) {
  Tally all;
  for (const auto& [slot, vm] : world.vms) {
    if (vm.removed) continue;
    const bool is_of_scope = vm.scope == scope;
    const bool is_of_profile = vm.profile == profile;
    if (is_of_scope) ++all.in_scope;
    if (is_of_profile) ++all.in_profile;
    if (is_of_scope && is_of_profile && vm.phase <= Phase::running) ++all.at_it;
    if (is_of_profile && is_idle(vm)) ++all.warm;
  }
  return all;
}

// How often `size` goes into what is free.
std::uint64_t times(const Capacity& all, const Capacity& used, const Resources& size) {
  const std::uint64_t memory =
      (all.memory - used.memory).value / std::max<std::uint64_t>(1, size.memory.value);
  const std::uint64_t disk =
      (all.disk - used.disk).value / std::max<std::uint64_t>(1, size.disk.value);
  const std::uint64_t cpus =
      (all.vcpus - std::min(all.vcpus, used.vcpus)) / std::max(1U, size.vcpus);
  const std::uint64_t slots = all.vms - std::min(all.vms, used.vms);
  return std::min({memory, disk, cpus, slots});
}

std::uint64_t left_of(std::uint32_t most, std::uint32_t have) {
  return most == 0 ? UINT32_MAX : most - std::min(most, have);
}

}  // namespace

std::uint32_t room_for(const Config& config, const World& world, std::string_view scope,
                       std::string_view profile) {
  const Tally have = tally(world, scope, profile);
  const Profile* settings = config.profile(profile);
  const Scope* limits = config.scope(scope);
  if (world.draining || settings == nullptr || limits == nullptr) return have.at_it;
  const auto size = size_of(config, profile);
  if (world.missing_images.contains(settings->name) || !size) return have.at_it;
  std::uint64_t more = times(world.capacity, used(world), *size);
  more = std::min(more, left_of(settings->max, have.in_profile));
  if (!world.pressure.empty()) more = 0;
  const auto health = world.health.find(std::string(profile));
  // What fails to boot is tried with one VM.
  const bool is_ill = health != world.health.end() && health->second.failures > 0;
  if (is_ill) more = std::min<std::uint64_t>(more, have.at_it == 0 ? 1 : 0);
  more = std::min(more + have.warm, left_of(limits->max, have.in_scope));
  return have.at_it + static_cast<std::uint32_t>(std::min<std::uint64_t>(more, 1000));
}

}  // namespace mvr::core
