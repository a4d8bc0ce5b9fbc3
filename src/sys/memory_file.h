// Files without a name that others could open.
#pragma once

#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace mvr::sys {

// A sealed file in memory that holds `data`: what a child is to read and nobody else. A child
// that inherits it as number N reads it as /proc/self/fd/N, whatever user it runs as.
Result<Fd> make_memory_file(const std::string& name, std::string_view data);

}  // namespace mvr::sys
