// The archive of an action, as GitHub makes it.
#pragma once

#include <string>

#include "base/result.h"

namespace mvr::image {

// Whether the runner could use it: a gzip tar of exactly one directory and what is below that, with
// no path out of it, of bounded size. It is read to its end; nothing is unpacked. Err invalid says
// what is wrong.
Result<void> check_action_archive(const std::string& path);

}  // namespace mvr::image
