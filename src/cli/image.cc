// mvrunner image: its verbs stand in image_build.cc, image_store.cc and image_transfer.cc.
#include <CLI/CLI.hpp>

#include "cli/image_verbs.h"

namespace mvr::cli {

void register_image(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("image", "build and manage the images VMs boot from");
  verb->require_subcommand(1);
  register_image_build(*verb, context, exit_code);
  register_image_store(*verb, context, exit_code);
  register_image_transfer(*verb, context, exit_code);
}

}  // namespace mvr::cli
