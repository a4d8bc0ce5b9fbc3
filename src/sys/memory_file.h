// Files in memory, without a name that others could open. A child that inherits one as number N
// opens it as /proc/self/fd/N, whatever user it runs as.
#pragma once

#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace mvr::sys {

// A sealed one that holds `data`: what a child is to read and nobody else.
Result<Fd> make_memory_file(const std::string& name, std::string_view data);
// One of `size` bytes that are a hole, open to be written and mapped.
Result<Fd> make_empty_memory_file(const std::string& name, Bytes size);
// From now on nobody changes it, by whatever descriptor. Whoever opens it may still map it
// privately and write to his own copy. Err busy while somebody has it mapped to write.
Result<void> seal_memory_file(const Fd& file);

}  // namespace mvr::sys
