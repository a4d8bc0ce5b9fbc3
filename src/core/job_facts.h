// What GitHub says about a job that ran here, once it is over.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/units.h"

namespace mvr::core {

// Texts are printable; empty or 0: not known.
struct JobFacts {
  std::int64_t job = 0;  // GitHub's id; 0: none of this is known
  std::int64_t run = 0;
  std::int64_t attempt = 0;  // of the run, from 1 on: more for a re-run
  std::string repository;    // "owner/repo"
  std::string workflow;
  std::string conclusion;  // "success", "failure", "cancelled", ...
  std::string branch;
  std::string event;  // what started the run: "push", "pull_request", ...
  std::string actor;  // the login of who did
  std::optional<WallTime> created;
  std::optional<WallTime> first_step;  // when its first step began
  std::optional<WallTime> completed;
  friend bool operator==(const JobFacts&, const JobFacts&) = default;
};

}  // namespace mvr::core
