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
// A sealed one with the contents and holes of the file at `path`. Whoever opens it may still map it
// privately and write to his own copy.
Result<Fd> copy_to_memory_file(const std::string& name, const std::string& path);

}  // namespace mvr::sys
