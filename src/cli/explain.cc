// mvrunner explain: why queued jobs wait.
#include <iostream>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/client.h"

namespace mvr::cli {
namespace {

using nlohmann::json;

void print_wait(const json& wait) {
  const int jobs = wait["jobs"].get<int>();
  std::cout << jobs << (jobs == 1 ? " job" : " jobs") << " in "
            << printable(wait["scope"].get<std::string>());
  const std::string profile = wait["profile"];
  if (!profile.empty()) std::cout << " for profile " << printable(profile);
  std::cout << ": " << printable(wait["text"].get<std::string>()) << "\n";
  if (!wait.contains("oldest")) return;
  const json& oldest = wait["oldest"];
  std::cout << "  oldest: " << printable(oldest["job"].get<std::string>()) << " of "
            << printable(oldest["repository"].get<std::string>()) << ", queued for "
            << format_duration(Duration{oldest["age_ms"].get<std::int64_t>() / 1000 * 1000})
            << "\n";
}

int explain(const Context& context) {
  auto status = ask(context, {{"op", "ps"}});
  if (!status) return report(status.error());
  const json& waits = (*status)["waits"];
  if (context.json) {
    std::cout << waits.dump(2) << "\n";
    return exit_ok;
  }
  if (waits.empty()) std::cout << "No job waits.\n";
  for (const auto& wait : waits) print_wait(wait);
  return exit_ok;
}

}  // namespace

void register_explain(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("explain", "say why queued jobs wait");
  add_output_option(*verb, context);
  verb->callback([&context, &exit_code] { exit_code = explain(context); });
}

}  // namespace mvr::cli
