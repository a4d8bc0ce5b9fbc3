// From a job's labels to a profile, and what an instance of a pattern profile has of its own.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"
#include "core/demand.h"

namespace mvr::core {

// The name of the first profile, in config order, whose labels (with extra_labels) contain all of
// the job's, compared case-insensitively. A pattern serves labels that spell a size within its
// limits; the name is then that of the instance. Empty job labels match none.
std::optional<std::string> match_profile(const Config& config,
                                         const std::vector<std::string>& labels);

// The same for a queued job: the first such profile that also serves jobs of its origin. None
// either when the scope's runner group bars it. Otherwise why_unserved() of core/plan.h tells why.
std::optional<std::string> match_job(const Config& config, const JobHint& job);

// Is the repository, by its name without the owner, one of those an organisation or enterprise
// scope looks at? Without regard to case; * stands for any characters.
bool is_selected(const Scope& scope, std::string_view repository);
// Are the repositories all named, so that none has to be found?
bool are_named(const Scope& scope);

// Of a profile or an instance by name; nothing when the configuration has no such profile.
std::optional<Resources> size_of(const Config& config, std::string_view name);
// The labels its runners register with: an instance's have the numbers in place.
std::vector<std::string> labels_of(const Config& config, std::string_view name);

// True for a label with exactly one {cpus} and one {memory}, apart from each other.
bool is_pattern_label(std::string_view label);

}  // namespace mvr::core
