#include "cli/one_off.h"

#include <filesystem>
#include <thread>

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
Result<bool> handle(const json& event, const OnOutput& on_output, int& exit_code) {
  const std::string kind = event.value("event", std::string());
  if (kind == "output") {
    TRY_ASSIGN(const std::string data, base64_decode(event.value("data", std::string())));
    on_output(event.value("stream", 1), data);
    return false;
  }
  if (kind == "exit") {
    exit_code = event.value("code", 1);
    return true;
  }
  if (kind == "failed") return fail(Errc::io, event.value("error", std::string()));
  return false;
}

Result<int> stream(Client& client, const OnOutput& on_output) {
  int exit_code = exit_failed;
  while (true) {
    TRY_ASSIGN(const auto event, client.receive());
    if (!event) return fail(Errc::unavailable, "the daemon ended; its VMs go on until it is back");
    TRY_ASSIGN(const bool last, handle(*event, on_output, exit_code));
    if (last) return exit_code;
  }
}

}  // namespace

Result<int> run_one_off(const Context& context, const core::Config& config, const OneOff& command) {
  sys::Process own;
  auto connected = Client::connect(config);
  if (!connected && connected.error().code == Errc::unavailable) {
    connected = start_daemon(context, config, own);
  }
  TRY_ASSIGN(Client client, std::move(connected));
  if (command.quiet_limit) TRY(client.set_limit(*command.quiet_limit));
  TRY(client.send({{"op", "run"}, {"profile", command.profile}, {"argv", command.argv}}));
  auto result = stream(client, command.on_output);
  client = Client();
  if (own) (void)own.wait(kEndLimit);  // it removes the VM; nothing is left when we return
  return result;
}

}  // namespace mvr::cli
