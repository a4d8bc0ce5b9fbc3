// Files that share their blocks until one of them changes.
#pragma once

#include <string>

namespace mvr::sys {

// Whether the file system of this directory can do that (ioctl_ficlone(2)); tried with two files of
// its own without a name. False also where none can be made.
bool can_clone(const std::string& directory);

}  // namespace mvr::sys
