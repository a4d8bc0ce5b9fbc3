// mvrunner drain, undrain: take no new jobs and let running ones finish; take jobs again.
#include <csignal>
#include <iostream>
#include <thread>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/client.h"
#include "cli/waits.h"
#include "sys/loop.h"

namespace mvr::cli {
namespace {

using nlohmann::json;

constexpr std::chrono::milliseconds kPoll{500};
constexpr std::chrono::hours kMaxDeadline{30 * 24};

// Until no VM is left. Prints the count when it changes.
int wait_empty(const core::Config& config) {
  std::size_t last = SIZE_MAX;
  while (true) {
    auto status = ask(config, {{"op", "ps"}});
    if (!status) return report(status.error());
    const std::size_t left = (*status)["vms"].size();
    if (left == 0) break;
    if ((*status)["draining"] == false) {
      return report(Error{Errc::cancelled, "draining was ended by someone else; not drained"});
    }
    if (left != last) std::cout << left << (left == 1 ? " VM" : " VMs") << " left\n" << std::flush;
    last = left;
    std::this_thread::sleep_for(kPoll);
  }
  std::cout << "drained\n";
  return exit_ok;
}

int undrain(const Context& context) {
  auto answer = ask(context, {{"op", "drain"}, {"on", false}});
  if (!answer) return report(answer.error());
  std::cout << "taking jobs again\n";
  return exit_ok;
}

struct DrainOptions {
  bool off = false;
  bool no_wait = false;
  std::string deadline;
};

int drain(const Context& context, const DrainOptions& options) {
  json request = {{"op", "drain"}, {"on", true}};
  if (!options.deadline.empty()) {
    const auto limit = parse_duration(options.deadline);
    if (!limit || *limit <= Duration::zero() || *limit > kMaxDeadline) {
      std::cerr << "mvrunner: --deadline: \"" << printable(options.deadline, 60)
                << "\" is not a duration of up to 30d, like 90s, 30m or 2h\n";
      return exit_usage;
    }
    request["deadline_ms"] = limit->count();
  }
  auto config = load_config(context, false);
  if (!config) return report_config(config.error());
  auto answer = ask(*config, request);
  if (!answer) return report(answer.error());
  if (const auto end = parse_iso8601(answer->value("deadline", std::string()))) {
    std::cout << "jobs that still run are stopped at " << when_text(*end, sys::wall_now()) << "\n"
              << std::flush;
  }
  return options.no_wait ? static_cast<int>(exit_ok) : wait_empty(*config);
}

}  // namespace

void register_drain(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb =
      app.add_subcommand("drain", "take no new jobs and wait until the running ones are done");
  auto options = std::make_shared<DrainOptions>();
  auto* off = verb->add_flag("--off", options->off, "take jobs again, like undrain");
  verb->add_flag("--no-wait", options->no_wait, "return at once");
  verb->add_option("--deadline", options->deadline,
                   "stop the jobs that still run after this long, like 30m")
      ->type_name("DURATION")
      ->excludes(off);
  verb->callback([&context, &exit_code, options] {
    exit_code = options->off ? undrain(context) : drain(context, *options);
  });
  CLI::App* end = app.add_subcommand("undrain", "take jobs again");
  end->callback([&context, &exit_code] { exit_code = undrain(context); });
}

}  // namespace mvr::cli
