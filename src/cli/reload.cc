// mvrunner reload: the daemon reads its configuration again.
#include <iostream>

#include <CLI/CLI.hpp>

#include "cli/client.h"
#include "config/load.h"
#include "sys/host.h"

namespace mvr::cli {
namespace {

int refused(const std::vector<std::string>& problems) {
  for (const auto& problem : problems) std::cerr << problem << "\n";
  std::cerr << "mvrunner: nothing was changed\n";
  return exit_config;
}

int reload(const Context& context) {
  const auto facts = sys::host_facts();
  const config::Loaded loaded = config::load(context.config_path, facts ? facts->hostname : "host");
  std::vector<std::string> problems;
  for (const auto& problem : loaded.problems) problems.push_back(problem.to_text());
  // A file with problems still says where the daemon is, most of the time; the daemon is asked all
  // the same, so that its log has them, too.
  auto answer = ask(loaded.config, {{"op", "reload"}});
  if (!answer) return problems.empty() ? report(answer.error()) : refused(problems);
  const auto told = (*answer)["problems"].get<std::vector<std::string>>();
  if (!told.empty()) return refused(told);
  if (!problems.empty()) {
    for (const auto& problem : problems) std::cerr << problem << "\n";
    std::cerr << "mvrunner: the daemon that answers reads another file, and has read it again\n";
    return exit_config;
  }
  for (const auto& change : (*answer)["changes"]) {
    std::cout << change["text"].get<std::string>() << "\n";
  }
  if ((*answer)["changes"].empty()) std::cout << "nothing has changed\n";
  return exit_ok;
}

}  // namespace

void register_reload(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand(
      "reload", "make the daemon read its configuration again; running VMs go on");
  verb->callback([&context, &exit_code] { exit_code = reload(context); });
}

}  // namespace mvr::cli
