// mvrunner run: one command in a fresh VM, without GitHub. Uses the running daemon; without one,
// a daemon of its own for as long as the command takes.
#include <filesystem>
#include <iostream>
#include <thread>

#include <CLI/CLI.hpp>

#include "base/text.h"
#include "cli/client.h"
#include "sys/process.h"

namespace mvr::cli {
namespace {

using nlohmann::json;

constexpr std::chrono::milliseconds kPoll{50};
constexpr Duration kStartLimit{120'000};  // the first use of a kernel probes the accelerator
constexpr Duration kEndLimit{30'000};

// A daemon that ends by itself, and the client connected to it.
Result<Client> start_daemon(const Context& context, const core::Config& config,
                            sys::Process& process) {
  std::error_code error;
  const auto path = std::filesystem::absolute(context.config_path, error);  // its directory is /
  if (error) return fail(Errc::io, "the current directory: " + error.message());
  sys::SpawnOptions options;
  options.argv = {"/proc/self/exe", "--config", path.string(), "serve", "--for-run"};
  options.fds = {{2, 2}};
  TRY_ASSIGN(process, sys::Process::spawn(options));
  const auto end = std::chrono::steady_clock::now() + kStartLimit;
  while (std::chrono::steady_clock::now() < end) {
    if (auto client = Client::connect(config)) return client;
    TRY_ASSIGN(const auto exit, process.reap());
    if (exit)
      return fail(Errc::unavailable, "the VM could not be prepared; the reason stands above");
    std::this_thread::sleep_for(kPoll);
  }
  return fail(Errc::timed_out, "the daemon for this command did not start");
}

// Passes one event on. True when it was the last; the exit code is set then.
Result<bool> handle(const json& event, int& exit_code) {
  const std::string kind = event.value("event", std::string());
  if (kind == "output") {
    TRY_ASSIGN(const std::string data, base64_decode(event.value("data", std::string())));
    (event.value("stream", 1) == 2 ? std::cerr : std::cout) << data << std::flush;
    return false;
  }
  if (kind == "exit") {
    exit_code = event.value("code", 1);
    return true;
  }
  if (kind == "failed") return fail(Errc::io, event.value("error", std::string()));
  return false;
}

Result<int> stream(Client& client) {
  int exit_code = exit_failed;
  while (true) {
    TRY_ASSIGN(const auto event, client.receive());
    if (!event) return fail(Errc::unavailable, "the daemon ended; its VMs go on until it is back");
    TRY_ASSIGN(const bool last, handle(*event, exit_code));
    if (last) return exit_code;
  }
}

Result<int> run_command(const Context& context, const core::Config& config, const json& request) {
  sys::Process own;
  auto connected = Client::connect(config);
  if (!connected && connected.error().code == Errc::unavailable) {
    connected = start_daemon(context, config, own);
  }
  TRY_ASSIGN(Client client, std::move(connected));
  TRY(client.send(request));
  auto result = stream(client);
  client = Client();
  if (own) (void)own.wait(kEndLimit);  // it removes the VM; nothing is left when we return
  return result;
}

}  // namespace

void register_run(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb = app.add_subcommand("run", "run one command in a fresh VM, without GitHub");
  auto profile = std::make_shared<std::string>();
  auto command = std::make_shared<std::vector<std::string>>();
  verb->add_option("--profile", *profile, "size and image; not needed when there is only one");
  verb->add_option("command", *command, "after --: the program and its arguments")->required();
  verb->callback([&context, &exit_code, profile, command] {
    auto config = load_config(context, true);
    if (!config) {
      exit_code = report_config(config.error());
      return;
    }
    auto code =
        run_command(context, *config, {{"op", "run"}, {"profile", *profile}, {"argv", *command}});
    exit_code = code ? *code : report(code.error());
  });
}

}  // namespace mvr::cli
