// mvrunner kernel: install, ls, rm.
#include <iostream>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/meter.h"
#include "cli/stores.h"

namespace mvr::cli {
namespace {

using nlohmann::json;

struct InstallOptions {
  std::vector<std::string> packages;
  std::string built;  // directory; empty: from packages
};

int install(const Context& context, const InstallOptions& options) {
  auto store = open_store<image::KernelStore>(context);
  if (!store) return report_config(store.error());
  Meter meter;
  const auto progress = [&meter](const std::string& line) { meter.line(line); };
  auto kernel = options.built.empty()
                    ? store->install(options.packages, progress,
                                     [&meter](Bytes done, Bytes all) { meter.bar(done, all); })
                    : store->install_built(options.built, progress);
  if (!kernel) return report(kernel.error());
  std::cout << kernel->name << "\n";
  return exit_ok;
}

int list(const Context& context) {
  auto store = open_store<image::KernelStore>(context);
  if (!store) return report_config(store.error());
  auto kernels = store->list();
  if (!kernels) return report(kernels.error());
  json all = json::array();
  std::vector<Row> rows;
  for (const auto& kernel : *kernels) {
    all.push_back({{"name", kernel.name},
                   {"digest", kernel.digest},
                   {"source", kernel.source},
                   {"default", all.empty()}});
    rows.push_back(
        {kernel.name, short_digest(kernel.digest), rows.empty() ? "default" : "", kernel.source});
  }
  if (context.json) {
    std::cout << all.dump(2) << "\n";
  } else {
    print_table({"NAME", "DIGEST", "USE", "SOURCE"}, rows);
  }
  return exit_ok;
}

}  // namespace

void register_kernel(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("kernel", "install and list the kernels VMs boot");
  verb->require_subcommand(1);
  auto options = std::make_shared<InstallOptions>();
  CLI::App* add = verb->add_subcommand(
      "install",
      "take the newest cloud kernel of this distribution, a package file, or one that was built");
  CLI::Option* packages =
      add->add_option("--deb", options->packages,
                      "kernel package to take instead of asking apt; may be repeated")
          ->allow_extra_args(false)
          ->type_name("FILE");
  add->add_option("--dir", options->built, "take what kernel/build made: the directory it printed")
      ->excludes(packages)
      ->type_name("DIR");
  add->callback([&context, &exit_code, options] { exit_code = install(context, *options); });
  CLI::App* ls = verb->add_subcommand("ls", "list the kernels, newest first");
  add_output_option(*ls, context);
  ls->callback([&context, &exit_code] { exit_code = list(context); });
  auto name = std::make_shared<std::string>();
  CLI::App* rm = verb->add_subcommand("rm", "remove a kernel");
  rm->add_option("name", *name)->required();
  rm->callback([&context, &exit_code, name] {
    exit_code = remove_entry<image::KernelStore>(context, *name);
  });
}

}  // namespace mvr::cli
