// The verbs of `mvrunner image`, by file.
#pragma once

#include "cli/cli.h"

namespace mvr::cli {

// ls, inspect, rm, prune, tag, rollback, diff.
void register_image_store(CLI::App& image, Context& context, int& exit_code);
// import, pull, export.
void register_image_transfer(CLI::App& image, Context& context, int& exit_code);

}  // namespace mvr::cli
