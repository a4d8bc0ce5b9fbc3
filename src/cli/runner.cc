// mvrunner runner: releases of actions/runner as read-only drives.
#include <iostream>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "image/store.h"

namespace mvr::cli {
namespace {

using nlohmann::json;

Result<image::RunnerStore> open_store(const Context& context) {
  TRY_ASSIGN(const core::Config config, load_config(context, false));
  return image::RunnerStore(config.state_dir);
}

int install(const Context& context, const std::string& name, const std::string& source) {
  auto store = open_store(context);
  if (!store) return report_config(store.error());
  auto installed = store->install(name, source);
  if (!installed) return report(installed.error());
  std::cout << installed->name << " " << installed->digest << " "
            << format_bytes(installed->allocated) << "\n";
  return exit_ok;
}

int list(const Context& context) {
  auto store = open_store(context);
  if (!store) return report_config(store.error());
  auto runners = store->list();
  if (!runners) return report(runners.error());
  json all = json::array();
  std::vector<Row> rows;
  for (const auto& manifest : *runners) {
    all.push_back(json::parse(image::manifest_json(manifest)));
    rows.push_back({manifest.name, manifest.digest.substr(0, 19), format_bytes(manifest.allocated),
                    manifest.created});
  }
  if (context.json) {
    std::cout << all.dump(2) << "\n";
  } else {
    print_table({"NAME", "DIGEST", "ALLOCATED", "CREATED"}, rows);
  }
  return exit_ok;
}

int remove(const Context& context, const std::string& name) {
  auto store = open_store(context);
  if (!store) return report_config(store.error());
  if (auto removed = store->remove(name); !removed) return report(removed.error());
  std::cout << "removed " << name << "\n";
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
  ls->callback([&context, &exit_code] { exit_code = list(context); });
  CLI::App* rm = verb->add_subcommand("rm", "remove a release that no VM uses");
  rm->add_option("name", *name)->required();
  rm->callback([&context, &exit_code, name] { exit_code = remove(context, *name); });
}

}  // namespace mvr::cli
