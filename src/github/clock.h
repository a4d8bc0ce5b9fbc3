// How this host's clock and GitHub's differ. Pure.
#pragma once

#include <string>

#include "base/units.h"

namespace mvr::github {

// Beyond this a warning is due. A JWT of ours stands more than this in either direction.
inline constexpr Duration kClockTolerance{30'000};

// How far this host's clock is ahead of GitHub's (negative: behind), as far as that is beyond
// doubt: `date`, cut to whole seconds, was made between our `sent` and `received`.
Duration clock_offset(WallTime date, WallTime sent, WallTime received);

inline bool is_clock_off(Duration offset) {
  return offset > kClockTolerance || offset < -kClockTolerance;
}

// "this host's clock is 5m ahead of GitHub's"; with what helps.
std::string offset_text(Duration offset);
std::string clock_text(Duration offset);

}  // namespace mvr::github
