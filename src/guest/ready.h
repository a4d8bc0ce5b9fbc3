// What poll(2) has found.
#pragma once

#include <poll.h>

#include <algorithm>
#include <vector>

namespace mvr::guest {

inline bool is_ready(const std::vector<pollfd>& entries, int descriptor, short events) {
  return descriptor >= 0 && std::ranges::any_of(entries, [&](const pollfd& entry) {
           return entry.fd == descriptor && (entry.revents & events) != 0;
         });
}

}  // namespace mvr::guest
