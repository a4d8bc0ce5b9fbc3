// One live VM as a row of `ps` and `top`.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "cli/output.h"

namespace mvr::cli {

// "3h 5m": whole seconds, and milliseconds below one.
std::string age_text(const nlohmann::json& milliseconds);

// VM, profile, phase, age, repository (or scope), job, memory in use of what it has, and CPUs. The
// latter two are left at what it has while what it uses is not known. `vm`: see
// daemon/status.h.
Row vm_row(const nlohmann::json& vm);

}  // namespace mvr::cli
