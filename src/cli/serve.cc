// mvrunner serve: the daemon.
#include <CLI/CLI.hpp>

#include "cli/cli.h"
#include "daemon/daemon.h"
#include "daemon/journal.h"

namespace mvr::cli {
namespace {

struct ServeOptions {
  bool for_run = false;
  bool leave = false;
  bool prepare = false;
};

int serve(const Context& context, const ServeOptions& options) {
  auto config = load_config(context, true);
  if (!config) return report_config(config.error());
  if (options.prepare) {
    if (auto made = daemon::Network::make_namespace(*config); !made) return report(made.error());
    return exit_ok;
  }
  if (auto set = daemon::set_log_level(options.for_run ? "warn" : config->log_level); !set)
    return report(set.error());
  if (options.for_run) config->github.scopes.clear();
  auto daemon = daemon::Daemon::start(
      std::move(*config),
      daemon::DaemonOptions{context.config_path, options.for_run, options.leave});
  if (!daemon) return report(daemon.error());
  if (auto ran = (*daemon)->run(); !ran) return report(ran.error());
  return exit_ok;
}

}  // namespace

void register_serve(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb =
      app.add_subcommand("serve", "run the daemon: find queued jobs, run each in a fresh microVM");
  auto options = std::make_shared<ServeOptions>();
  // How `mvrunner run` works on a host without a daemon: no scopes, ends when idle.
  auto* for_run = verb->add_flag("--for-run", options->for_run)->group("");
  // How a package that is removed leaves the host: see packaging/leave.
  verb->add_flag("--leave", options->leave)->group("")->excludes(for_run);
  // What the unit does before it takes the daemon's view of the file system away: see there.
  verb->add_flag("--prepare", options->prepare)->group("");
  verb->callback([&context, &exit_code, options] { exit_code = serve(context, *options); });
}

}  // namespace mvr::cli
