#include "github/clock.h"

#include "base/text.h"

namespace mvr::github {

Duration clock_offset(WallTime date, WallTime sent, WallTime received) {
  const WallTime latest = date + std::chrono::seconds{1};
  if (sent > latest) return sent - latest;
  if (received < date) return received - date;
  return Duration{0};
}

std::string offset_text(Duration offset) {
  const bool is_ahead = offset > Duration{0};
  return "this host's clock is " + format_duration(is_ahead ? offset : -offset) +
         (is_ahead ? " ahead of" : " behind") + " GitHub's";
}

std::string clock_text(Duration offset) {
  return offset_text(offset) + "; set it right, for example with: timedatectl set-ntp true";
}

}  // namespace mvr::github
