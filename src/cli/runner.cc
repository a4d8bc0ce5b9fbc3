// mvrunner runner: releases of actions/runner as read-only drives.
#include <iostream>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/stores.h"

namespace mvr::cli {
namespace {

int install(const Context& context, const std::string& name, const std::string& source) {
  auto store = open_store<image::RunnerStore>(context);
  if (!store) return report_config(store.error());
  auto installed = store->install(name, source);
  if (!installed) return report(installed.error());
  std::cout << installed->name << " " << installed->digest << " "
            << format_bytes(installed->allocated) << "\n";
  return exit_ok;
}

}  // namespace

void register_runner(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("runner", "install and list releases of actions/runner");
  verb->require_subcommand(1);
  auto name = std::make_shared<std::string>();
  auto source = std::make_shared<std::string>();
  CLI::App* add =
      verb->add_subcommand("install", "take a release from its tarball or an unpacked directory");
  add->add_option("name", *name, "what the configuration's `runner` calls it")->required();
  add->add_option("source", *source, "actions-runner-linux-x64-VERSION.tar.gz, or a directory")
      ->required();
  add->callback(
      [&context, &exit_code, name, source] { exit_code = install(context, *name, *source); });
  CLI::App* ls = verb->add_subcommand("ls", "list the releases");
  add_output_option(*ls, context);
  ls->callback([&context, &exit_code] { exit_code = list_manifests<image::RunnerStore>(context); });
  CLI::App* rm = verb->add_subcommand("rm", "remove a release that no VM uses");
  rm->add_option("name", *name)->required();
  rm->callback([&context, &exit_code, name] {
    exit_code = remove_entry<image::RunnerStore>(context, *name);
  });
}

}  // namespace mvr::cli
