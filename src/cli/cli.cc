#include "cli/cli.h"

#include <array>
#include <cstdio>
#include <exception>
#include <iostream>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "config/load.h"
#include "sys/files.h"
#include "sys/host.h"

namespace mvr::cli {
namespace {

constexpr std::array<Register, 25> kVerbs = {
    register_init,    register_serve,  register_run,         register_ps,     register_top,
    register_explain, register_ssh,    register_exec,        register_logs,   register_events,
    register_hold,    register_kill,   register_drain,       register_egress, register_reload,
    register_image,   register_kernel, register_firecracker, register_runner, register_action,
    register_config,  register_report, register_simulate,    register_doctor, register_completion,
};

constexpr const char* kAbout =
    "mvrunner turns this Linux host into GitHub Actions runners: a fresh microVM for every job.\n"
    "Start with: mvrunner init";

// What is wrong with the verb at `place`, when that is what went wrong: none or an unknown one.
std::string verb_error(const CLI::App& app, const CLI::App& place) {
  std::vector<std::string> names;
  for (const CLI::App* verb : place.get_subcommands({})) {
    // Groups of options are subcommands without a name.
    const bool is_verb = !verb->get_group().empty() && !verb->get_name().empty();
    if (is_verb) names.push_back(verb->get_name());
  }
  if (names.empty()) return {};
  const auto rest = app.remaining(true);
  if (rest.empty() || rest.front().starts_with("-")) {
    return "a verb is missing: one of " + join(names, ", ");
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  std::string text = "unknown verb '" + printable(rest.front(), 32) + "'";
  if (const auto near = nearest_name(rest.front(), views))
    text += "; did you mean `" + *near + "`?";
  return text;
}

// One line, and what to type instead.
int usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* place = &app;
  while (!place->get_subcommands().empty()) place = place->get_subcommands().front();
  const std::string verb = verb_error(app, *place);
  std::string path;
  for (const CLI::App* at = place; at != nullptr; at = at->get_parent()) {
    path = at->get_name() + (path.empty() ? "" : " " + path);
  }
  std::cerr << "mvrunner: " << (verb.empty() ? error.what() : verb) << "; see `" << path
            << " --help`\n";
  return exit_usage;
}

int parse_and_run(int argc, char** argv) {
  CLI::App app(kAbout, "mvrunner");
  Context context;
  int exit_code = exit_ok;
  app.set_version_flag("--version", std::string("mvrunner ") + MVR_VERSION);
  app.add_option("--config", context.config_path, "configuration file")
      ->capture_default_str()
      ->each([&context](const std::string&) { context.config_given = true; });
  app.require_subcommand(1);
  app.fallthrough();
  for (const Register add : kVerbs) add(app, context, exit_code);
  app.add_subcommand("version", "print the version")->callback([] {
    std::cout << "mvrunner " << MVR_VERSION << "\n";
  });
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    return app.exit(done);  // --help and --version
  } catch (const CLI::ParseError& error) {
    return usage_error(app, error);
  }
  return exit_code;
}

}  // namespace

void add_output_option(CLI::App& verb, Context& context) {
  verb.add_option_function<std::string>(
          "-o,--output", [&context](const std::string& form) { context.json = form == "json"; },
          "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->type_name("FORM");
}

int report(const Error& error) {
  std::cerr << "mvrunner: " << full_text(error) << "\n";
  return error.code == Errc::unsupported ? exit_host : exit_failed;
}

int report_config(const Error& error) {
  std::cerr << "mvrunner: " << error.what << "\n";
  return exit_config;
}

Result<core::Config> load_config(const Context& context, bool needs_file) {
  auto facts = sys::host_facts();
  const std::string hostname = facts ? facts->hostname : "host";
  if (!needs_file && !context.config_given && !sys::exists(context.config_path)) {
    return config::defaults(hostname);
  }
  config::Loaded loaded = config::load(context.config_path, hostname);
  if (loaded.problems.empty()) return std::move(loaded.config);
  for (const auto& problem : loaded.problems) std::cerr << problem.to_text() << "\n";
  return fail(Errc::invalid, context.config_path + ": " + std::to_string(loaded.problems.size()) +
                                 (loaded.problems.size() == 1 ? " problem" : " problems"));
}

int run(int argc, char** argv) {
  try {
    return parse_and_run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "mvrunner: internal error: " << error.what() << "\n";
    return exit_failed;
  }
}

}  // namespace mvr::cli
