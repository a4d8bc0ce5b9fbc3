// Where a job comes from, by the event that started it, and whether its VM may run it (pure).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mvr::guest {

// Of the profile whose VM this is.
struct Served {
  std::string profile;
  bool public_repositories = false;
  bool fork_pull_requests = false;
};

// Why a job started by this event (the runner's event.json) must not run, as a sentence for its
// log; nothing when it may. What the event does not say clearly counts as what is not served.
std::optional<std::string> why_refused(std::string_view event, const Served& served);

}  // namespace mvr::guest
