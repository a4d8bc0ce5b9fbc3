// mvrunner run: one command in a fresh VM, without GitHub.
#include <iostream>

#include <CLI/CLI.hpp>

#include "cli/one_off.h"

namespace mvr::cli {

void register_run(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("run", "run one command in a fresh VM, without GitHub");
  auto profile = std::make_shared<std::string>();
  auto image = std::make_shared<std::string>();
  auto command = std::make_shared<std::vector<std::string>>();
  verb->add_option("--profile", *profile, "size and image; not needed when there is only one");
  verb->add_option("--image", *image, "a tag or id, in place of the profile's image");
  verb->add_option("command", *command, "after --: the program and its arguments")->required();
  verb->callback([&context, &exit_code, profile, image, command] {
    auto config = load_config(context, true);
    if (!config) {
      exit_code = report_config(config.error());
      return;
    }
    const auto print = [](int stream, const std::string& data) {
      (stream == 2 ? std::cerr : std::cout) << data << std::flush;
    };
    OneOff one_off;
    one_off.profile = *profile;
    one_off.image = *image;
    one_off.argv = *command;
    one_off.on_output = print;
    auto code = run_one_off(context, *config, one_off);
    exit_code = code ? *code : report(code.error());
  });
}

}  // namespace mvr::cli
