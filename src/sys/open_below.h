// Ways into a tree that is being changed by others.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace mvr::sys {

// Opens the directory `name` below `parent` only if the path stays on this mount and passes no
// link: a tree that is being changed under our feet can then make us fail, but not leave it.
// `shown`: what errors call it. Err busy: a mount point.
Result<Fd> open_below(int parent, const char* name, const std::string& shown);

// The same for whatever `name` is, as a mere reference (O_PATH): what is found there can be looked
// at, and reached through /proc/self/fd, without being exchanged in between.
Result<Fd> refer_below(int parent, const char* name, const std::string& shown);

}  // namespace mvr::sys
