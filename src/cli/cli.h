// The command line: a table of verbs on CLI11, one file per verb.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "core/config.h"

namespace CLI {
class App;
}

namespace mvr::cli {

enum ExitCode : int {
  exit_ok = 0,
  exit_failed = 1,
  exit_usage = 2,
  exit_config = 3,  // the configuration is not valid
  exit_host = 4,    // this host is not ready: a program, kernel or permission is missing
  exit_interrupted = 130,
};

inline constexpr const char* kDefaultConfig = "/etc/mvrunner/mvrunner.yaml";

// What every verb gets.
struct Context {
  std::string config_path = kDefaultConfig;
  bool config_given = false;
  bool json = false;
};

// A verb registers its subcommand, options and callback; the callback stores the exit code.
using Register = void (*)(CLI::App& app, Context& context, int& exit_code);

void register_init(CLI::App& app, Context& context, int& exit_code);
void register_serve(CLI::App& app, Context& context, int& exit_code);
void register_run(CLI::App& app, Context& context, int& exit_code);
void register_ps(CLI::App& app, Context& context, int& exit_code);
void register_explain(CLI::App& app, Context& context, int& exit_code);
void register_ssh(CLI::App& app, Context& context, int& exit_code);
void register_logs(CLI::App& app, Context& context, int& exit_code);
void register_reload(CLI::App& app, Context& context, int& exit_code);
void register_drain(CLI::App& app, Context& context, int& exit_code);
void register_hold(CLI::App& app, Context& context, int& exit_code);
void register_exec(CLI::App& app, Context& context, int& exit_code);
void register_events(CLI::App& app, Context& context, int& exit_code);
void register_top(CLI::App& app, Context& context, int& exit_code);
void register_kill(CLI::App& app, Context& context, int& exit_code);
void register_image(CLI::App& app, Context& context, int& exit_code);
void register_image_build(CLI::App& image, Context& context, int& exit_code);
void register_kernel(CLI::App& app, Context& context, int& exit_code);
void register_runner(CLI::App& app, Context& context, int& exit_code);
void register_firecracker(CLI::App& app, Context& context, int& exit_code);
void register_egress(CLI::App& app, Context& context, int& exit_code);
void register_action(CLI::App& app, Context& context, int& exit_code);
void register_simulate(CLI::App& app, Context& context, int& exit_code);
void register_report(CLI::App& app, Context& context, int& exit_code);
void register_doctor(CLI::App& app, Context& context, int& exit_code);
void register_completion(CLI::App& app, Context& context, int& exit_code);
void register_config(CLI::App& app, Context& context, int& exit_code);

// Loads the configuration; all its problems are printed. Without a file at the default place the
// defaults serve verbs that need no profile (`needs_file` false).
Result<core::Config> load_config(const Context& context, bool needs_file);

// Prints "mvrunner: <text>" and returns the exit code that fits the error.
int report(const Error& error);
// The same for an error of load_config(), whose problems were printed already.
int report_config(const Error& error);

// Adds "-o table|json" to a listing.
void add_output_option(CLI::App& verb, Context& context);

int run(int argc, char** argv);

}  // namespace mvr::cli
