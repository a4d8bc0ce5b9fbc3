// What the worker's log says about the actions of its job (pure).
#pragma once

#include <set>
#include <string_view>
#include <vector>

#include "base/action_ref.h"
#include "guest/runner_lines.h"

namespace mvr::guest {

// Looks for two lines, the first of which is written where the runner has a directory of archives,
// the second where it downloads one (actions/runner, ActionManager.cs):
//   [<time> INFO ActionManager] Check if action archive '<owner>/<name>@<sha>' already exists in
//   ...
//   [<time> INFO ActionManager] Save archive '<address of GitHub>' into ...
// A job may write the like itself. What is told of it is bounded, and nobody's but its own VM's.
class ActionLines {
 public:
  // The actions in these bytes that were in none before; channel::kMaxActions in all.
  std::vector<ActionRef> feed(std::string_view bytes);

 private:
  Lines lines_;
  std::set<ActionRef> known_;
};

}  // namespace mvr::guest
