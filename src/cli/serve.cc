// mvrunner serve: the daemon.
#include <CLI/CLI.hpp>

#include "cli/cli.h"
#include "daemon/daemon.h"
#include "daemon/journal.h"

namespace mvr::cli {
namespace {

int serve(const Context& context, bool for_run) {
  auto config = load_config(context, true);
  if (!config) return report_config(config.error());
  if (auto set = daemon::set_log_level(for_run ? "warn" : config->log_level); !set)
    return report(set.error());
  if (for_run) config->github.scopes.clear();
  auto daemon = daemon::Daemon::start(std::move(*config),
                                      daemon::DaemonOptions{context.config_path, for_run});
  if (!daemon) return report(daemon.error());
  if (auto ran = (*daemon)->run(); !ran) return report(ran.error());
  return exit_ok;
}

}  // namespace

void register_serve(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb =
      app.add_subcommand("serve", "run the daemon: find queued jobs, run each in a fresh microVM");
  auto for_run = std::make_shared<bool>(false);
  // How `mvrunner run` works on a host without a daemon: no scopes, ends when idle.
  verb->add_flag("--for-run", *for_run)->group("");
  verb->callback([&context, &exit_code, for_run] { exit_code = serve(context, *for_run); });
}

}  // namespace mvr::cli
