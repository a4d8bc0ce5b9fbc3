// mvrunner drain: take no new jobs, let running ones finish.
#include <csignal>
#include <iostream>
#include <thread>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/client.h"

namespace mvr::cli {
namespace {

constexpr std::chrono::milliseconds kPoll{500};

// Until no VM is left. Prints the count when it changes.
int wait_empty(const core::Config& config) {
  std::size_t last = SIZE_MAX;
  while (true) {
    auto status = ask(config, {{"op", "ps"}});
    if (!status) return report(status.error());
    const std::size_t left = (*status)["vms"].size();
    if (left == 0) break;
    if (left != last) std::cout << left << (left == 1 ? " VM" : " VMs") << " left\n" << std::flush;
    last = left;
    std::this_thread::sleep_for(kPoll);
  }
  std::cout << "drained\n";
  return exit_ok;
}

int drain(const Context& context, bool off, bool no_wait) {
  auto config = load_config(context, false);
  if (!config) return report_config(config.error());
  auto answer = ask(*config, {{"op", "drain"}, {"on", !off}});
  if (!answer) return report(answer.error());
  if (off) {
    std::cout << "taking jobs again\n";
    return exit_ok;
  }
  return no_wait ? static_cast<int>(exit_ok) : wait_empty(*config);
}

}  // namespace

void register_drain(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb =
      app.add_subcommand("drain", "take no new jobs and wait until the running ones are done");
  auto off = std::make_shared<bool>(false);
  auto no_wait = std::make_shared<bool>(false);
  verb->add_flag("--off", *off, "take jobs again");
  verb->add_flag("--no-wait", *no_wait, "return at once");
  verb->callback(
      [&context, &exit_code, off, no_wait] { exit_code = drain(context, *off, *no_wait); });
}

}  // namespace mvr::cli
