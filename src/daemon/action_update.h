// The drive of action archives, brought up to what the VMs of this host used.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/action_ref.h"
#include "base/result.h"
#include "base/units.h"
#include "core/config.h"
#include "image/action_uses.h"

namespace mvr::daemon {

// What came of an attempt to fetch an archive that is not here.
struct ActionAttempt {
  WallTime at{};
  std::string why;  // it was refused; empty: it is well, and there was no room for it
  Bytes size;       // of one without room
  friend bool operator==(const ActionAttempt&, const ActionAttempt&) = default;
};
using ActionAttempts = std::map<ActionRef, ActionAttempt>;

// <state>/actions/attempts.json, both ways strict and bounded. None: nothing was refused.
std::string attempts_json(const ActionAttempts& attempts);
Result<ActionAttempts> parse_attempts(const std::string& json);
Result<ActionAttempts> read_attempts(const std::string& state_dir);

struct ActionUpdate {
  std::uint64_t fetched = 0;
  std::uint64_t archives = 0;  // there are now
  Bytes size;                  // of them
  bool is_new = false;         // the drive is another one
};

// What is refused is tried again after a week. Without `fetches`, and where the cache is off,
// nothing is downloaded; where it is off nothing is kept either. Err busy: another one is under
// way. What was there before an Err stays, and what was fetched before it is there from then on.
Result<ActionUpdate> update_actions(const core::Config& config, bool fetches,
                                    const std::function<void(const std::string&)>& lines);

}  // namespace mvr::daemon
