// mvrunner serve: the daemon.
#include <CLI/CLI.hpp>
#include <malloc.h>

#include "cli/cli.h"
#include "core/names.h"
#include "daemon/daemon.h"
#include "daemon/journal.h"
#include "daemon/privileges.h"
#include "sys/files.h"

namespace mvr::cli {
namespace {

struct ServeOptions {
  bool for_run = false;
  bool leave = false;
  bool prepare = false;
  bool tidy = false;
};

// For the unit, in the host's view of the file system: the VMs' namespace is named before the
// daemon starts, and what is left of the network goes after it ended, unless VMs are there.
int serve_unit(const core::Config& config, const ServeOptions& options) {
  const auto vms = sys::list_directory(core::host_names(config).vms_directory);
  if (options.tidy && vms && !vms->empty()) return exit_ok;
  const auto done =
      options.tidy ? daemon::Network::down(config) : daemon::Network::make_namespace(config);
  return done ? static_cast<int>(exit_ok) : report(done.error());
}

// As base/wipe.cc does for ours, for the libraries in C: blocks they free are overwritten, all but
// the small ones (mallopt(3)). What is allocated reads as zeros then.
void overwrite_what_is_freed() {
#ifdef M_PERTURB
  (void)::mallopt(M_PERTURB, 0xff);
#endif
}

int serve(const Context& context, const ServeOptions& options) {
  overwrite_what_is_freed();
  auto config = load_config(context, !options.for_run);
  if (!config) return report_config(config.error());
  if (options.prepare || options.tidy) return serve_unit(*config, options);
  if (auto set = daemon::set_log_level(options.for_run ? "warn" : config->log_level); !set)
    return report(set.error());
  if (auto given = daemon::give_up_privileges(); !given) return report(given.error());
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
  // How a package that is removed leaves the host: see config/debian/leave.
  verb->add_flag("--leave", options->leave)->group("")->excludes(for_run);
  verb->add_flag("--prepare", options->prepare)->group("")->excludes(for_run);
  verb->add_flag("--tidy", options->tidy)->group("")->excludes(for_run);
  verb->callback([&context, &exit_code, options] { exit_code = serve(context, *options); });
}

}  // namespace mvr::cli
