#include "daemon/survey_host.h"

#include "base/text.h"
#include "core/names.h"
#include "daemon/journal.h"
#include "daemon/spec_file.h"
#include "sys/files.h"
#include "sys/process.h"

namespace mvr::daemon {
namespace {

core::Leftover look_at(const core::Config& config, core::Slot slot, const std::string& boot) {
  core::Leftover leftover;
  leftover.slot = slot;
  auto text = sys::read_file(core::slot_names(config, slot).spec);
  if (!text) return leftover;
  auto saved = decode_spec(*text);
  if (!saved || saved->vm.slot != slot) {
    log(Level::warn, "spec_unreadable",
        {{"slot", std::to_string(slot)},
         {"error", saved ? "names another slot" : saved.error().what}});
    return leftover;
  }
  leftover.process_alive = saved->pid > 0 && saved->boot_id == boot &&
                           sys::Process::adopt(saved->pid, saved->start_time).has_value();
  leftover.saved = std::move(*saved);
  return leftover;
}

}  // namespace

Result<std::vector<core::Leftover>> survey_host(const core::Config& config) {
  const std::string directory = core::host_names(config).vms_directory;
  TRY(sys::make_directories(directory, 0711));
  TRY_ASSIGN(const auto entries, sys::list_directory(directory));
  TRY_ASSIGN(const core::Subnet subnet, core::parse_subnet(config.network.subnet));
  const std::string boot = sys::boot_id();
  std::vector<core::Leftover> leftovers;
  for (const auto& entry : entries) {
    auto slot = parse_u64(entry);
    if (!slot || *slot >= core::slots_in(subnet)) continue;
    if (entry != std::to_string(*slot)) continue;  // "007" is not ours, nor is it slot 7
    leftovers.push_back(look_at(config, static_cast<core::Slot>(*slot), boot));
  }
  return leftovers;
}

}  // namespace mvr::daemon
