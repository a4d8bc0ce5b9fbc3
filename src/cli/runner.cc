// mvrunner runner: releases of actions/runner as read-only drives.
#include <iostream>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/runner_update.h"
#include "cli/stores.h"
#include "image/runner_store.h"

namespace mvr::cli {
namespace {

using image::RunnerStore;
using image::RunnerUse;
using nlohmann::json;

int install(const Context& context, const std::string& name, const std::string& source) {
  auto store = open_store<RunnerStore>(context);
  if (!store) return report_config(store.error());
  auto lock = store->lock();
  if (!lock) return report(lock.error());
  auto installed = store->install(name, source);
  if (!installed) return report(installed.error());
  std::cout << installed->name << " " << installed->digest << " "
            << format_bytes(installed->allocated) << "\n";
  return exit_ok;
}

int roll_back(const Context& context) {
  auto store = open_store<RunnerStore>(context);
  if (!store) return report_config(store.error());
  auto lock = store->lock();
  if (!lock) return report(lock.error());
  const auto use = store->roll_back();
  if (!use) return report(use.error());
  std::cout << use->current << " is current, before: " << use->previous
            << "; the daemon does not take " << use->held << " again by itself\n";
  return exit_ok;
}

std::string use_of(const RunnerUse& use, const std::string& name) {
  if (name == use.current) return image::kCurrentRunner;
  return name == use.previous ? image::kPreviousRunner : "";
}

std::string version_of(const image::Manifest& manifest) {
  const auto version = manifest.labels.find("version");
  return version == manifest.labels.end() ? "" : version->second;
}

int list(const Context& context) {
  auto store = open_store<RunnerStore>(context);
  if (!store) return report_config(store.error());
  const auto use = store->use();
  if (!use) return report(use.error());
  const auto releases = store->list();
  if (!releases) return report(releases.error());
  json all = json::array();
  std::vector<Row> rows;
  for (const auto& manifest : *releases) {
    const std::string how = use_of(*use, manifest.name);
    all.push_back(json::parse(image::manifest_json(manifest)));
    all.back()["use"] = how;
    rows.push_back({manifest.name, version_of(manifest), how, format_bytes(manifest.allocated),
                    manifest.created, short_digest(manifest.digest)});
  }
  if (context.json) {
    std::cout << all.dump(2) << "\n";
  } else {
    print_table({"NAME", "VERSION", "USE", "ALLOCATED", "CREATED", "DIGEST"}, rows);
  }
  return exit_ok;
}

void register_update(CLI::App& runner, Context& context, int& exit_code) {
  CLI::App* verb = runner.add_subcommand(
      "update", "take the release GitHub names, try it in a VM, and make it current");
  auto arguments = std::make_shared<UpdateArguments>();
  CLI::Option* file =
      verb->add_option("--file", arguments->file,
                       "take actions-runner-linux-x64-VERSION.tar.gz from here, without GitHub")
          ->type_name("FILE");
  CLI::Option* sha256 =
      verb->add_option("--sha256", arguments->sha256, "what the tarball must have")
          ->type_name("HEX");
  file->needs(sha256);
  verb->add_flag_callback(
      "--no-smoke", [arguments] { arguments->smokes = false; }, "do not try it in a VM first");
  verb->add_flag("--unattended", arguments->is_unattended,
                 "as the daemon does: leave alone what was rolled back");
  verb->callback([&context, &exit_code, arguments] { exit_code = update(context, *arguments); });
}

void register_install(CLI::App& runner, Context& context, int& exit_code) {
  CLI::App* verb =
      runner.add_subcommand("install", "take a release from its tarball or an unpacked directory");
  auto name = std::make_shared<std::string>();
  auto source = std::make_shared<std::string>();
  verb->add_option("name", *name,
                   "what the configuration's `runner` calls it; current: use it from now on")
      ->required();
  verb->add_option("source", *source, "actions-runner-linux-x64-VERSION.tar.gz, or a directory")
      ->required();
  verb->callback(
      [&context, &exit_code, name, source] { exit_code = install(context, *name, *source); });
}

}  // namespace

void register_runner(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("runner", "update and list releases of actions/runner");
  verb->require_subcommand(1);
  register_update(*verb, context, exit_code);
  CLI::App* back = verb->add_subcommand("rollback", "use the release before the current one again");
  back->callback([&context, &exit_code] { exit_code = roll_back(context); });
  register_install(*verb, context, exit_code);
  CLI::App* ls = verb->add_subcommand("ls", "list the releases");
  add_output_option(*ls, context);
  ls->callback([&context, &exit_code] { exit_code = list(context); });
  auto name = std::make_shared<std::string>();
  CLI::App* rm = verb->add_subcommand("rm", "remove a release that no VM uses");
  rm->add_option("name", *name)->required();
  rm->callback(
      [&context, &exit_code, name] { exit_code = remove_entry<RunnerStore>(context, *name); });
}

}  // namespace mvr::cli
