// mvrunner config: check, show.
#include <iostream>

#include <CLI/CLI.hpp>

#include "cli/cli.h"
#include "config/load.h"

namespace mvr::cli {
namespace {

int check(Context context, const std::string& file) {
  if (!file.empty()) context.config_path = file;
  auto config = load_config(context, true);
  if (!config) return report_config(config.error());
  std::cout << context.config_path << ": ok, " << config->profiles.size()
            << (config->profiles.size() == 1 ? " profile, " : " profiles, ")
            << config->github.scopes.size()
            << (config->github.scopes.size() == 1 ? " scope\n" : " scopes\n");
  return exit_ok;
}

int show(const Context& context) {
  auto config = load_config(context, true);
  if (!config) return report_config(config.error());
  std::cout << config::to_yaml(*config);
  return exit_ok;
}

}  // namespace

void register_config(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("config", "check or show the configuration");
  verb->require_subcommand(1);
  auto file = std::make_shared<std::string>();
  CLI::App* test = verb->add_subcommand("check", "report every problem of a configuration file");
  test->add_option("file", *file, "instead of --config");
  test->callback([&context, &exit_code, file] { exit_code = check(context, *file); });
  CLI::App* print =
      verb->add_subcommand("show", "print the effective configuration, defaults included");
  print->callback([&context, &exit_code] { exit_code = show(context); });
}

}  // namespace mvr::cli
