// A pace: on average one unit per gap, and up to `burst` units at once after a pause. Pure.
#pragma once

#include <algorithm>

#include "base/units.h"

namespace mvr::github {

class Pace {
 public:
  Pace(Duration gap, int burst) : gap_(gap), burst_(burst) {}

  // When the next request may go.
  [[nodiscard]] Instant ready_at() const { return full_at_ - gap_ * burst_; }
  // Accounts for a request of `units` at `now`.
  void spend(Instant now, int units) { full_at_ = std::max(full_at_, now) + gap_ * units; }

 private:
  Duration gap_;
  int burst_;
  Instant full_at_{};  // when the whole burst is available again
};

}  // namespace mvr::github
