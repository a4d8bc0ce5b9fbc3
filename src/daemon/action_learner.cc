#include "daemon/action_learner.h"

#include <utility>

#include "daemon/journal.h"

namespace mvr::daemon {

ActionLearner::ActionLearner(std::string state_dir) : state_dir_(std::move(state_dir)) {
  auto uses = image::read_uses(state_dir_);
  if (uses) {
    uses_ = std::move(*uses);
    return;
  }
  log(Level::warn, "actions_forgotten",
      with_error({{"effect", "which actions jobs use is learned anew"}}, uses.error()));
}

void ActionLearner::note(const std::string& vm, const std::vector<ActionRef>& used, WallTime now) {
  image::note_uses(uses_, used, vm, now);
  is_saved_ = is_saved_ && used.empty();
}

void ActionLearner::save() {
  if (is_saved_) return;
  const auto written = image::write_uses(state_dir_, uses_);
  if (!written) log(Level::warn, "actions_not_saved", with_error({}, written.error()));
  is_saved_ = written.has_value();
}

}  // namespace mvr::daemon
