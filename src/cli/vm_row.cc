#include "cli/vm_row.h"

#include <array>
#include <cstdio>

#include "base/text.h"
#include "base/units.h"

namespace mvr::cli {
namespace {

using nlohmann::json;

// "1.5": one place is enough to see what a VM does.
std::string one_place(double value) {
  std::array<char, 32> text{};
  (void)std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

std::string memory_text(const json& vm) {
  constexpr double kGib = 1024.0 * 1024 * 1024;
  std::string all = format_bytes(Bytes{vm.at("memory").get<std::uint64_t>()});
  if (!vm.contains("memory_used")) return all;
  return one_place(vm["memory_used"].get<double>() / kGib) + "/" + all;
}

std::string cpus_text(const json& vm) {
  std::string all = std::to_string(vm.at("vcpus").get<unsigned>());
  if (!vm.contains("busy_cpus")) return all;
  return one_place(vm["busy_cpus"].get<double>()) + "/" + all;
}

}  // namespace

std::string age_text(const json& milliseconds) {
  constexpr std::int64_t kSecond = 1000;
  const auto ms = milliseconds.get<std::int64_t>();
  return format_duration(Duration{ms < kSecond ? ms : ms / kSecond * kSecond});
}

Row vm_row(const json& vm) {
  const std::string repository = vm.at("repository").get<std::string>();
  return {vm.at("vm"),
          vm.at("profile"),
          vm.at("phase"),
          age_text(vm.at("age_ms")),
          repository.empty() ? vm.at("scope").get<std::string>() : repository,
          vm.at("job"),
          memory_text(vm),
          cpus_text(vm)};
}

}  // namespace mvr::cli
