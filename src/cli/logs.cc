// mvrunner logs: what the runner and the guest's console said. The daemon hands the file over.
#include <unistd.h>

#include <array>
#include <iostream>
#include <thread>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/client.h"

namespace mvr::cli {
namespace {

constexpr std::chrono::milliseconds kPoll{200};
constexpr int kPollsPerCheck = 10;

// Copies what is there. A terminal gets control characters made visible.
void copy_rest(const Fd& file) {
  std::array<char, 64 * 1024> buffer{};
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  ssize_t count = 0;
  while ((count = ::read(file.get(), buffer.data(), buffer.size())) > 0) {
    const std::string_view text(buffer.data(), static_cast<std::size_t>(count));
    if (!terminal) {
      std::cout << text;
      continue;
    }
    for (const auto line : split(text, '\n')) {
      const bool last = line.data() + line.size() == text.data() + text.size();
      std::cout << printable(line, buffer.size()) << (last ? "" : "\n");
    }
  }
  std::cout << std::flush;
}

bool is_alive(const core::Config& config, const std::string& vm) {
  auto status = ask(config, {{"op", "ps"}});
  if (!status) return false;
  for (const auto& row : (*status)["vms"]) {
    if (row["vm"] == vm) return true;
  }
  return false;
}

// How a VM ended, for whoever wonders about its log. To standard error: it is no part of the log.
void print_end(const core::Config& config, const std::string& vm) {
  const auto status = ask(config, {{"op", "ps"}, {"all", true}});
  if (!status) return;
  for (const auto& row : (*status)["finished"]) {
    if (row["vm"] != vm || row["cause"] == "finished") continue;
    std::cerr << "mvrunner: " << vm << " ended: " << printable(row.value("cause", ""), 64);
    const std::string text = row.value("cause_text", "");
    std::cerr << (text.empty() ? "" : ": ") << printable(text, 400) << "\n";
    return;
  }
}

int logs(const Context& context, const std::string& vm, const std::string& which, bool follow) {
  auto config = load_config(context, false);
  if (!config) return report_config(config.error());
  auto client = Client::connect(*config);
  if (!client) return report(client.error());
  auto sent = client->send({{"op", "log"}, {"vm", vm}, {"which", which}});
  if (!sent) return report(sent.error());
  auto answer = client->receive();
  if (!answer) return report(answer.error());
  const Fd file = client->take_fd();
  if (!*answer || !file) return report(Error{Errc::protocol, "the daemon sent no file"});
  const std::string name = (**answer)["vm"];
  copy_rest(file);
  for (int polls = 1; follow; ++polls) {
    std::this_thread::sleep_for(kPoll);
    copy_rest(file);
    if (polls % kPollsPerCheck == 0 && !is_alive(*config, name)) break;
  }
  print_end(*config, name);
  return exit_ok;
}

}  // namespace

void register_logs(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("logs", "print what a VM's runner wrote, or its console");
  auto vm = std::make_shared<std::string>();
  auto console = std::make_shared<bool>(false);
  auto runner = std::make_shared<bool>(false);
  auto follow = std::make_shared<bool>(false);
  verb->add_option("vm", *vm, "a VM by name or slot number, or a job by name or id")->required();
  verb->add_flag("--console", *console, "the guest's console instead of the runner's output");
  verb->add_flag("--runner", *runner, "the runner's own log files (_diag) instead")
      ->excludes("--console");
  verb->add_flag("-f,--follow", *follow, "go on until the VM is gone");
  verb->callback([&context, &exit_code, vm, console, runner, follow] {
    const std::string which = *console ? "console" : *runner ? "runner" : "agent";
    exit_code = logs(context, *vm, which, *follow);
  });
}

}  // namespace mvr::cli
