// What an image's label says about its Docker engine (pure).
#pragma once

#include <map>
#include <string>

#include "base/result.h"

namespace mvr::daemon {

inline constexpr const char* kEngineLabel = "dev.mvrunner.engine";

// "boot" (also without the label), "demand" or "off"; Err invalid for anything else.
Result<std::string> engine_mode(const std::map<std::string, std::string>& labels);

}  // namespace mvr::daemon
