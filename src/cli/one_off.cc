#include "cli/one_off.h"

#include <filesystem>
#include <thread>

#include "base/text.h"
#include "cli/client.h"
#include "sys/files.h"
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
  options.argv = {"/proc/self/exe", "serve", "--for-run"};
  // Without a file at the default place it takes the defaults, as we did.
  const bool has_file = context.config_given || sys::exists(path);
  if (has_file) options.argv.insert(options.argv.end(), {"--config", path.string()});
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
Result<bool> handle(const json& event, const OneOff& command, int& exit_code) {
  const std::string kind = event.value("event", std::string());
  const std::string vm = event.value("vm", std::string());
  if (!vm.empty() && command.on_vm) command.on_vm(vm);
  if (kind == "output") {
    TRY_ASSIGN(const std::string data, base64_decode(event.value("data", std::string())));
    command.on_output(event.value("stream", 1), data);
    return false;
  }
  if (kind == "exit") {
    exit_code = event.value("code", 1);
    return true;
  }
  if (kind == "failed") return fail(Errc::io, event.value("error", std::string()));
  return false;
}

Result<int> stream(Client& client, const OneOff& command) {
  int exit_code = exit_failed;
  while (true) {
    TRY_ASSIGN(const auto event, client.receive());
    if (!event) return fail(Errc::unavailable, "the daemon ended; its VMs go on until it is back");
    TRY_ASSIGN(const bool last, handle(*event, command, exit_code));
    if (last) return exit_code;
  }
}

}  // namespace

std::string host_of(const std::string& url) {
  const std::size_t slashes = url.find("://");
  const std::string rest = slashes == std::string::npos ? url : url.substr(slashes + 3);
  return rest.substr(0, rest.find_first_of(":/"));
}

Result<int> run_one_off(const Context& context, const core::Config& config, const OneOff& command) {
  sys::Process own;
  auto connected = Client::connect(config);
  if (!connected && connected.error().code == Errc::unavailable) {
    connected = start_daemon(context, config, own);
  }
  TRY_ASSIGN(Client client, std::move(connected));
  if (command.quiet_limit) TRY(client.set_limit(*command.quiet_limit));
  json request = {{"op", "run"}, {"profile", command.profile}, {"argv", command.argv}};
  if (!command.image.empty()) request["image"] = command.image;
  if (command.runner) request["runner"] = *command.runner;
  TRY(client.send(request));
  auto result = stream(client, command);
  client = Client();
  if (own) (void)own.wait(kEndLimit);  // it removes the VM; nothing is left when we return
  return result;
}

}  // namespace mvr::cli
