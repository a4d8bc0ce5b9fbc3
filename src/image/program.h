// The programs this layer runs: where they are, what they see, and how their output is shown.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "sys/process.h"

namespace mvr::image {

// Looks in PATH, then in the sbin directories that a user's PATH lacks. Err not_found names the
// Debian package.
Result<std::string> find_program(const std::string& name, const std::string& package);

// The whole environment of this process: builders are the user's own tools and are set up by it.
std::vector<std::string> inherited_environment();

// Runs quietly and returns stdout; Err has what the program said unless it exits with 0.
Result<std::string> run_quiet(const std::vector<std::string>& argv, Duration limit);

// Runs with stdout and stderr shown live on our stderr, however long it takes.
struct LiveRun {
  sys::Exit exit;
  std::string tail;  // the last 64 KiB of the output
};
Result<LiveRun> run_live(const std::vector<std::string>& argv);

// The last lines of an output that say what went wrong, for an error text.
std::string last_words(const std::string& output);

}  // namespace mvr::image
