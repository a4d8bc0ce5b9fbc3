// Which actions the VMs of this host used, and which of them their archives are kept of. Learned
// from guests, so that all of it is bounded and nothing of it is believed of one VM alone. But for
// the two that read and write the file, pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/action_ref.h"
#include "base/result.h"
#include "base/units.h"

namespace mvr::image {

struct ActionUse {
  std::uint32_t vms = 0;  // different ones that used it
  WallTime last{};
  std::string vm;  // the last of them, by name: it counts once however often it tells
  friend bool operator==(const ActionUse&, const ActionUse&) = default;
};
using ActionUses = std::map<ActionRef, ActionUse>;

// Fewer, and its archive is not fetched.
inline constexpr std::uint32_t kLeastVms = 2;
// Half of them for what fewer VMs used, half for the rest; of each, what was not used in the last
// 30 days is forgotten first, then what the fewest VMs used, then what was used the longest ago.
inline constexpr std::size_t kMostActionUses = 1024;

void note_uses(ActionUses& uses, const std::vector<ActionRef>& used, const std::string& vm,
               WallTime now);

// What enough VMs used in the last 90 days, the most wanted first: what was used in the last 30
// days before what was not, then by the number of VMs, then by the last use.
std::vector<ActionRef> wanted_actions(const ActionUses& uses, WallTime now);

// Both ways strict and bounded.
std::string uses_json(const ActionUses& uses);
Result<ActionUses> parse_uses(const std::string& json);

// <state>/actions/used.json; none: nothing was used yet.
Result<ActionUses> read_uses(const std::string& state_dir);
Result<void> write_uses(const std::string& state_dir, const ActionUses& uses);

}  // namespace mvr::image
