// mvrunner hold: keep a VM after its job, for somebody to look into.
#include <iostream>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/client.h"

namespace mvr::cli {
namespace {

constexpr const char* kDefaultTime = "30m";

int hold(const Context& context, const std::string& vm, const std::string& time) {
  auto duration = time.empty() ? Result<Duration>(Duration{0}) : parse_duration(time);
  const bool fits = duration && *duration <= std::chrono::hours(24);
  if (!fits) {
    std::cerr << "mvrunner: --for: \"" << printable(time, 32)
              << "\" is not a duration of up to 24h, like 90s, 30m or 2h\n";
    return exit_usage;
  }
  auto answer = ask(context, {{"op", "hold"}, {"vm", vm}, {"for_ms", duration->count()}});
  if (!answer) return report(answer.error());
  const std::string name = (*answer)["vm"].get<std::string>();
  const bool is_held = (*answer)["phase"] == "held";
  if (time.empty()) {
    std::cout << name << (is_held ? " goes now\n" : " goes when its job has ended\n");
  } else {
    std::cout << name << " is held for " << format_duration(*duration)
              << (is_held ? " from now on\n" : " once its job has ended\n");
  }
  return exit_ok;
}

}  // namespace

void register_hold(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("hold", "keep a VM after its job, to look into it");
  auto vm = std::make_shared<std::string>();
  auto time = std::make_shared<std::string>(kDefaultTime);
  auto off = std::make_shared<bool>(false);
  verb->add_option("vm", *vm, "name or slot number, as `mvrunner ps` shows them")->required();
  CLI::Option* wanted = verb->add_option("--for", *time, "how long, at most 24h");
  wanted->capture_default_str()->type_name("DURATION");
  verb->add_flag("--off", *off, "do not hold it, or let it go now")->excludes(wanted);
  verb->callback(
      [&context, &exit_code, vm, time, off] { exit_code = hold(context, *vm, *off ? "" : *time); });
}

}  // namespace mvr::cli
