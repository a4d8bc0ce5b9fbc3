#include "daemon/capacity.h"

#include <algorithm>

#include "base/text.h"
#include "core/names.h"
#include "sys/files.h"
#include "sys/host.h"

namespace mvr::daemon {
namespace {

// The directory itself may not be made yet.
Result<sys::DiskSpace> space_below(std::string path) {
  while (path.size() > 1 && !sys::exists(path))
    path.erase(std::max<std::size_t>(path.rfind('/'), 1));
  return sys::disk_space(path);
}

std::string lacks(const core::Resources& size, const core::Capacity& all) {
  std::vector<std::string> lines;
  const auto add = [&lines](const std::string& needs, const std::string& has) {
    lines.push_back("needs " + needs + ", this host has " + has + " for VMs");
  };
  if (size.memory > all.memory) {
    add(format_bytes(size.memory) + " of memory", format_bytes(all.memory));
  }
  if (size.vcpus > all.vcpus) {
    add(std::to_string(size.vcpus) + " vCPUs", std::to_string(all.vcpus));
  }
  if (size.disk > all.disk) add(format_bytes(size.disk) + " of disk", format_bytes(all.disk));
  return join(lines, "; ");
}

}  // namespace

Result<HostMeasures> measure_host(const core::Config& config,
                                  const std::vector<core::Slot>& slots) {
  TRY_ASSIGN(const sys::HostFacts facts, sys::host_facts());
  TRY_ASSIGN(const sys::DiskSpace space, space_below(config.state_dir));
  HostMeasures measures{facts.memory, facts.cpus, space.free};
  for (const core::Slot slot : slots) {
    measures.disk += sys::allocated_size(core::slot_names(config, slot).scratch);
  }
  return measures;
}

core::Capacity capacity_of(const core::HostSettings& settings, const HostMeasures& measures) {
  core::Capacity capacity;
  capacity.memory = settings.memory.value_or(measures.memory) - settings.reserve_memory;
  const double cpus = static_cast<double>(settings.cpus.value_or(measures.cpus));
  capacity.vcpus = static_cast<std::uint32_t>(cpus * settings.cpu_overcommit);
  capacity.disk =
      std::min(settings.disk.value_or(measures.disk), measures.disk) - settings.reserve_disk;
  capacity.vms = settings.max_vms;
  return capacity;
}

std::vector<std::string> unfit_profiles(const core::Config& config,
                                        const core::Capacity& capacity) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < config.profiles.size(); ++i) {
    const core::Profile& profile = config.profiles[i];
    const std::string why = lacks(profile.size, capacity);
    if (why.empty()) continue;
    lines.push_back("profiles[" + std::to_string(i) + "] \"" + profile.name +
                    "\" does not fit this host: " + (profile.most ? "the least " : "") + why);
  }
  return lines;
}

}  // namespace mvr::daemon
