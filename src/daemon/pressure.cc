#include "daemon/pressure.h"

#include <charconv>

#include "base/text.h"
#include "sys/files.h"
#include "sys/host.h"

namespace mvr::daemon {
namespace {

constexpr double kStallBegins = 20;
constexpr double kStallEnds = 5;

bool is_short(Bytes left, Bytes reserve, bool before) {
  const std::uint64_t quarters = before ? 3 : 2;
  return left.value < reserve.value / 4 * quarters;
}

std::string shortage(std::string_view what, Bytes left, std::string_view key, Bytes reserve) {
  return format_bytes(left) + " of " + std::string(what) + " left, less than " + std::string(key) +
         " (" + format_bytes(reserve) + ") allows";
}

}  // namespace

Result<PressureFacts> pressure_facts(const std::string& state_dir) {
  PressureFacts facts;
  TRY_ASSIGN(facts.memory, sys::available_memory());
  TRY_ASSIGN(const sys::DiskSpace space, sys::disk_space(state_dir));
  facts.disk = space.free;
  facts.memory_stall = sys::memory_stall();
  return facts;
}

std::string pressure_of(const PressureFacts& facts, const core::HostSettings& settings,
                        bool before) {
  if (is_short(facts.memory, settings.reserve_memory, before)) {
    return shortage("memory", facts.memory, "host.reserve_memory", settings.reserve_memory);
  }
  if (is_short(facts.disk, settings.reserve_disk, before)) {
    return shortage("disk", facts.disk, "host.reserve_disk", settings.reserve_disk);
  }
  if (facts.memory_stall < (before ? kStallEnds : kStallBegins)) return {};
  return "all tasks wait for memory " + std::to_string(static_cast<int>(facts.memory_stall)) +
         " % of the time";
}

}  // namespace mvr::daemon
