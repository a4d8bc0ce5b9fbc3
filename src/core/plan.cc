#include "core/plan.h"

#include <algorithm>
#include <set>

#include "base/assert.h"
#include "core/rules.h"

namespace mvr::core {
namespace {

// Plans against the world as it will be once the actions are Dispatched, so that planning again
// afterwards finds nothing left to do.
class Planner {
 public:
  Planner(const Config& config, const World& world, Instant now)
      : config_(config), seen_(&world), now_(now), wake_(now) {}

  Plan run() {
    do {
      while (add_steps()) {
      }
    } while (add_launches());
    plan_.wake_at = is_full() ? now_ + Duration{1} : wake_.at();
    MVR_ASSERT(*plan_.wake_at > now_);
    MVR_ASSERT(plan_.actions.size() <= kMaxActions);
    return std::move(plan_);
  }

 private:
  [[nodiscard]] bool is_full() const { return plan_.actions.size() >= kMaxActions; }

  bool add_steps() {
    const std::vector<Action> needed = steps(config_, *seen_, now_, wake_);
    bool added = false;
    for (const Action& action : needed) {
      if (is_full() || !acted_.insert(slot_of(action)).second) continue;
      add(action);
      added = true;
    }
    return added;
  }

  // True when that changed something: who goes next may have changed with it.
  bool add_launches() {
    const std::size_t room = kMaxActions - plan_.actions.size();
    Packing packing = pack(config_, *seen_, now_, room, wake_);
    plan_.waits = std::move(packing.waits);
    bool added = false;
    for (const Action& action : packing.actions) {
      if (is_full() || !acted_.insert(slot_of(action)).second) continue;
      add(action);
      added = true;
    }
    return added && !is_full();
  }

  void add(const Action& action) {
    if (seen_ != &next_) next_ = *seen_;
    seen_ = &next_;
    (void)observe(next_, Dispatched{action}, now_);  // what it says is for the daemon's log
    plan_.actions.push_back(action);
  }

  const Config& config_;
  const World* seen_;
  Instant now_;
  World next_;  // the world with the actions so far Dispatched; unused while there are none
  WakeUp wake_;
  std::set<Slot> acted_;
  Plan plan_;
};

}  // namespace

Plan plan(const Config& config, const World& world, Instant now) {
  return Planner(config, world, now).run();
}

}  // namespace mvr::core
