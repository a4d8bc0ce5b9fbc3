// The programs this layer runs: where they are, what they see, and how their output is shown.
#pragma once

#include <functional>
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

// Runs with its output handed on line by line, however long it takes. SIGINT, SIGTERM and SIGHUP
// end it with all it has started, and are Err cancelled here; killed ourselves, it ends too.
struct LiveOptions {
  std::vector<std::string> argv;
  std::vector<std::string> extra_environment;
  std::function<void(const std::string&)> line;  // of stdout or stderr, without its end
};
struct LiveRun {
  sys::Exit exit;
  std::string tail;  // the last 64 KiB of the output
};
Result<LiveRun> run_live(const LiveOptions& options);

// The last lines of an output that say what went wrong, for an error text.
std::string last_words(const std::string& output);

}  // namespace mvr::image
