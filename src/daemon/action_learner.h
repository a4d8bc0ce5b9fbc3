// What the daemon learns of the actions that jobs use; `mvrunner action update` reads it from the
// state directory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/action_ref.h"
#include "base/units.h"
#include "image/action_uses.h"

namespace mvr::daemon {

// The cache of their archives, for metrics.
struct ActionCacheState {
  std::uint64_t archives = 0;
  Bytes size;
  Bytes max_size;
  std::uint64_t known = 0;  // actions that VMs used
};

class ActionLearner {
 public:
  // What cannot be read is said in the log, and learned anew.
  explicit ActionLearner(std::string state_dir);

  void note(const std::string& vm, const std::vector<ActionRef>& used, WallTime now);
  // What is new; call it now and then, and at the end.
  void save();
  [[nodiscard]] std::size_t known() const { return uses_.size(); }

 private:
  std::string state_dir_;
  image::ActionUses uses_;
  bool is_saved_ = true;
};

}  // namespace mvr::daemon
