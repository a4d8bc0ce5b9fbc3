// mvrunner config: check, show.
#include <iostream>

#include <CLI/CLI.hpp>

#include "cli/cli.h"
#include "config/load.h"
#include "daemon/capacity.h"

namespace mvr::cli {
namespace {

// A warning only: the file may be meant for another host, and disks fill and empty.
void warn_of_unfit(const core::Config& config) {
  std::vector<core::Slot> slots;
  for (core::Slot slot = 0; slot < config.host.max_vms; ++slot) slots.push_back(slot);
  const auto measures = daemon::measure_host(config, slots);
  if (!measures) {
    std::cerr << "mvrunner: this host could not be measured: " << measures.error().what << "\n";
    return;
  }
  const core::Capacity capacity = daemon::capacity_of(config.host, *measures);
  for (const std::string& line : daemon::unfit_profiles(config, capacity)) {
    std::cerr << "mvrunner: warning: " << line << "\n";
  }
}

int check(Context context, const std::string& file) {
  if (!file.empty()) context.config_path = file;
  auto config = load_config(context, true);
  if (!config) return report_config(config.error());
  warn_of_unfit(*config);
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
