#include "daemon/machine_settings.h"

#include <optional>

namespace mvr::daemon {
namespace {

std::optional<vmm::TokenBucket> bucket(std::uint64_t per_second) {
  if (per_second == 0) return std::nullopt;
  return vmm::TokenBucket{per_second, 0, Duration(1'000)};
}

vmm::HugePages pages_of(core::HugePages pages) {
  switch (pages) {
    case core::HugePages::none:
      return vmm::HugePages::none;
    case core::HugePages::transparent:
      return vmm::HugePages::transparent;
    case core::HugePages::reserved:
      return vmm::HugePages::reserved;
  }
  return vmm::HugePages::none;
}

}  // namespace

void apply_settings(const core::MachineSettings& settings, vmm::MachineSpec& spec) {
  spec.smt = settings.smt;
  spec.huge_pages = pages_of(settings.huge_pages);
  spec.receive.bytes = bucket(settings.rates.network.value);
  spec.transmit.bytes = spec.receive.bytes;
  for (vmm::Drive& drive : spec.drives) {
    if (drive.serial != "scratch") continue;
    drive.rate.bytes = bucket(settings.rates.disk.value);
    drive.rate.operations = bucket(settings.rates.iops);
  }
}

std::string settings_text(const core::MachineSettings& settings) {
  const core::RateLimits& rates = settings.rates;
  return settings.vmm + (settings.smt ? " smt " : " ") +
         std::to_string(static_cast<int>(settings.huge_pages)) + " " +
         std::to_string(rates.network.value) + " " + std::to_string(rates.disk.value) + " " +
         std::to_string(rates.iops);
}

sys::IoLimit io_limit(const core::RateLimits& rates, const std::string& path) {
  if (rates.disk.value == 0 && rates.iops == 0) return {};
  return {sys::disk_below(path), rates.disk, rates.iops};
}

}  // namespace mvr::daemon
