// mvrunner egress: what VMs of a profile that learns asked for, as a list to paste.
#include "core/egress.h"

#include <iostream>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "daemon/egress_notes.h"

namespace mvr::cli {
namespace {

int show(const Context& context, const std::string& name) {
  const auto config = load_config(context, false);
  if (!config) return report_config(config.error());
  const core::Profile* profile = config->profile(name);
  if (profile == nullptr) {
    return report(
        Error{Errc::not_found, "profile '" + printable(name, 60) + "' is not configured"});
  }
  const auto asked = daemon::EgressNotes::learned(config->state_dir, name);
  if (!asked && asked.error().code == Errc::not_found) {
    return report(Error{Errc::not_found, "no VM of profile " + name + " has been listened to",
                        "set egress: learn in the profile, and run its jobs"});
  }
  if (!asked) return report(asked.error());
  const auto list = core::egress_list(*asked, config->github.url);
  if (context.json) {
    std::cout << nlohmann::json(list).dump(2) << "\n";
    return exit_ok;
  }
  std::cout << "    egress: allow-list\n    egress_allow:" << (list.empty() ? " []" : "") << "\n";
  for (const std::string& each : list) std::cout << "      - " << each << "\n";
  return exit_ok;
}

}  // namespace

void register_egress(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand(
      "egress", "print what jobs of a profile that learns asked for, as its allow-list");
  auto name = std::make_shared<std::string>();
  verb->add_option("profile", *name)->required();
  add_output_option(*verb, context);
  verb->callback([&context, &exit_code, name] { exit_code = show(context, *name); });
}

}  // namespace mvr::cli
