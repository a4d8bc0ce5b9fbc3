// mvrunner firecracker: releases of Firecracker, which no distribution has.
#include "vmm/firecracker.h"

#include <iostream>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/meter.h"
#include "cli/stores.h"
#include "daemon/download.h"
#include "github/releases.h"
#include "image/firecracker_store.h"

namespace mvr::cli {
namespace {

using image::FirecrackerStore;
using nlohmann::json;

struct InstallArguments {
  std::string file;
  std::string url;
  std::string sha256;
};

// The tarball on this host, held to its digest.
Result<std::string> obtain(const core::Config& config, const InstallArguments& arguments,
                           const image::WorkDirectory& work, Meter& meter) {
  const std::string sha256 = ascii_lower(arguments.sha256);
  if (!github::is_sha256(sha256)) {
    return fail(Errc::invalid,
                "--sha256 takes 64 hexadecimal digits: a release has them in a file "
                "beside its tarball, .tgz.sha256.txt");
  }
  if (!arguments.file.empty()) {
    TRY(daemon::check_sha256(arguments.file, sha256, arguments.file));
    return arguments.file;
  }
  const std::string shown = daemon::shown_url(arguments.url);
  meter.line("downloading " + shown);
  std::string path = work.path() + "/release.tgz";
  TRY(daemon::download_file(config, {arguments.url, shown, sha256, Secret()}, path,
                            [&meter](Bytes done, Bytes all) { meter.bar(done, all); }));
  return path;
}

Result<std::string> take(const core::Config& config, const InstallArguments& arguments) {
  const FirecrackerStore store(config.state_dir);
  Meter meter;
  TRY_ASSIGN(const image::WorkDirectory work, store.make_work_directory());
  TRY_ASSIGN(const std::string tarball, obtain(config, arguments, work, meter));
  TRY_ASSIGN(const image::UnpackedFirecracker release, store.unpack(tarball));
  TRY_ASSIGN(std::string version, vmm::firecracker_release(release.firecracker, release.jailer));
  TRY(store.publish(release, version));
  return version;
}

int install(const Context& context, const InstallArguments& arguments) {
  const auto config = load_config(context, false);
  if (!config) return report_config(config.error());
  const auto version = take(*config, arguments);
  if (!version) return report(version.error());
  std::cout << *version << " is current; a daemon uses it from its next start on\n";
  return exit_ok;
}

int list(const Context& context) {
  auto store = open_store<FirecrackerStore>(context);
  if (!store) return report_config(store.error());
  const auto releases = store->list();
  if (!releases) return report(releases.error());
  json all = json::array();
  std::vector<Row> rows;
  for (const auto& each : *releases) {
    all.push_back({{"version", each.version}, {"current", each.is_current}});
    rows.push_back({each.version, each.is_current ? "current" : ""});
  }
  if (context.json) {
    std::cout << all.dump(2) << "\n";
  } else {
    print_table({"VERSION", "USE"}, rows);
  }
  return exit_ok;
}

void register_install(CLI::App& firecracker, Context& context, int& exit_code) {
  CLI::App* verb = firecracker.add_subcommand(
      "install", "take firecracker and jailer from a release's tarball, and use them");
  auto arguments = std::make_shared<InstallArguments>();
  CLI::Option_group* from = verb->add_option_group("source");
  from->add_option("--file", arguments->file, "firecracker-vVERSION-ARCHITECTURE.tgz")
      ->type_name("FILE");
  from->add_option("--url", arguments->url, "the same by https")->type_name("URL");
  from->require_option(1);
  verb->add_option("--sha256", arguments->sha256, "what the tarball must have")
      ->type_name("HEX")
      ->required();
  verb->callback([&context, &exit_code, arguments] { exit_code = install(context, *arguments); });
}

}  // namespace

void register_firecracker(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("firecracker", "install and list releases of Firecracker");
  verb->require_subcommand(1);
  register_install(*verb, context, exit_code);
  CLI::App* ls = verb->add_subcommand("ls", "list the releases");
  add_output_option(*ls, context);
  ls->callback([&context, &exit_code] { exit_code = list(context); });
  auto version = std::make_shared<std::string>();
  CLI::App* rm = verb->add_subcommand("rm", "remove a release that is not current");
  rm->add_option("version", *version)->required();
  rm->callback([&context, &exit_code, version] {
    exit_code = remove_entry<FirecrackerStore>(context, *version);
  });
}

}  // namespace mvr::cli
