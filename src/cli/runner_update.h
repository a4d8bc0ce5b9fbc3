// mvrunner runner update: the release GitHub names, verified, tried, and then current.
#pragma once

#include <string>

#include "cli/cli.h"

namespace mvr::cli {

struct UpdateArguments {
  std::string file;    // a tarball instead of GitHub's
  std::string sha256;  // what it must have; may be empty without `file`
  bool smokes = true;  // tries it in a VM before it becomes current
  bool is_unattended = false;
};

// Returns the exit code. What was current stays so unless all went well.
int update(const Context& context, const UpdateArguments& arguments);

}  // namespace mvr::cli
