#include "cli/smoke.h"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "cli/client.h"
#include "cli/one_off.h"
#include "core/names.h"
#include "daemon/kept_logs.h"
#include "image/runner_store.h"
#include "image/store.h"
#include "sys/files.h"

namespace mvr::cli {
namespace {

using nlohmann::json;

// What it says last is the listener's version. Each way it may end has a status of its own.
constexpr const char* kScript =
    "getent ahosts \"$1\" >/dev/null || exit 71; "
    "for at in /opt/actions-runner \"$HOME/actions-runner\" \"$HOME\"; do "
    "[ -x \"$at/bin/Runner.Listener\" ] || continue; "
    "cd \"$at\" && bin/Runner.Listener --version || exit 74; exit 0; "
    "done; exit 75";
constexpr int kNoName = 71;
constexpr int kNoListener = 74;
constexpr int kNoRunner = 75;

constexpr Duration kQuietLimit{15 * 60'000};  // for a host that is busy
constexpr std::size_t kMostSaid = 2'000;
constexpr std::size_t kConsoleLines = 12;
constexpr std::size_t kMostConsole = 16U << 20U;

struct Outcome {
  std::string vm;
  std::string said;
  Result<int> status = 0;
};

std::string all_of(const Fd& file) {
  std::string text;
  std::array<char, 16384> buffer{};
  for (ssize_t got = 0; (got = ::read(file.get(), buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (text.size() > kMostConsole) break;
  }
  return text;
}

// Of a VM that is ending, from the daemon; of one that a daemon of ours ran, from what it kept.
std::string console_of(const core::Config& config, const std::string& vm) {
  auto client = Client::connect(config);
  if (client && client->send({{"op", "log"}, {"vm", vm}, {"which", "console"}})) {
    const auto answer = client->receive();
    if (const Fd file = client->take_fd(); answer && file) return all_of(file);
  }
  const auto kept = sys::read_file(daemon::kept_log_path(config, vm, "console"), kMostConsole);
  return kept ? *kept : std::string();
}

std::string console_tail(const core::Config& config, const std::string& vm) {
  if (vm.empty() || !is_plain_name(vm, daemon::kMaxVmName)) return {};
  const std::string text = console_of(config, vm);
  std::vector<std::string> lines;
  for (const std::string_view line : split(text, '\n')) {
    std::string shown = printable(line.substr(0, line.find('\r')), 200);
    if (!shown.empty()) lines.push_back("  | " + std::move(shown));
  }
  if (lines.size() > kConsoleLines) lines.erase(lines.begin(), lines.end() - kConsoleLines);
  if (lines.empty()) return {};
  return "\nthe last lines of the console of " + vm + ":\n" + join(lines, "\n");
}

Error bad(const core::Config& config, const Outcome& outcome, const std::string& step,
          const std::string& why) {
  std::string text = "the canary failed at \"" + step + "\": " + why;
  if (!outcome.said.empty()) text += "\nit said: " + printable(outcome.said, 600);
  return Error{Errc::invalid, text + console_tail(config, outcome.vm)};
}

Result<void> judge(const core::Config& config, const SmokeTarget& target, const Outcome& outcome,
                   bool has_release) {
  const std::string host = host_of(config.github.url);
  const auto say = [&target](const std::string& line) {
    if (target.progress) target.progress(line);
  };
  if (!outcome.status) {
    const Error& error = outcome.status.error();
    if (error.code == Errc::timed_out) {
      return fail(Errc::timed_out, "no VM for the canary within " + format_duration(kQuietLimit) +
                                       ": the host may be full, see `mvrunner ps`");
    }
    if (error.code != Errc::io) return fail(error);  // the daemon refused, or is gone
    return fail(bad(config, outcome, "boot and greet", error.what));
  }
  switch (*outcome.status) {
    case 0:
      say("the canary booted, resolved " + host + " and started the runner's listener " +
          printable(outcome.said.substr(0, outcome.said.find('\n')), 40));
      return {};
    case kNoName:
      return fail(
          bad(config, outcome, "resolve " + host,
              "the guest cannot look the name up; does this host? see network.resolv_conf"));
    case kNoListener:
      return fail(bad(config, outcome, "start the listener",
                      "bin/Runner.Listener --version failed; the image may lack libraries: libc, "
                      "ICU, OpenSSL, Kerberos, zlib"));
    case kNoRunner:
      if (has_release) {
        return fail(
            bad(config, outcome, "start the listener", "the VM has no bin/Runner.Listener"));
      }
      say("the canary booted and resolved " + host +
          "; its listener was not tried, no runner release is installed");
      return {};
    default:
      return fail(bad(config, outcome, "start a shell",
                      "`sh` ended with status " + std::to_string(*outcome.status)));
  }
}

// A release that is configured and not installed yet keeps no image from being tried.
std::optional<std::string> usable_runner(const core::Config& config, const SmokeTarget& target) {
  if (target.runner) return target.runner;
  if (config.runner.empty()) return std::nullopt;
  if (image::RunnerStore(config.state_dir).find(config.runner)) return std::nullopt;
  return std::string();
}

Result<void> check_fit(const core::Config& config, const SmokeTarget& target) {
  const core::Profile* profile = config.profile(target.profile);
  const std::string kernel = profile == nullptr ? "default" : profile->kernel;
  if (const auto found = image::KernelStore(config.state_dir).find(kernel); !found) {
    return fail(Errc::not_found, "no VM can boot yet: " + found.error().what);
  }
  const auto status = ask(config, {{"op", "ps"}});
  if (status && status->value("draining", false)) {
    return fail(Errc::busy, "the host is draining and starts no VM: mvrunner undrain");
  }
  if (!status && status.error().code != Errc::unavailable) return fail(status.error());
  if (!status && ::geteuid() != 0) {
    return fail(Errc::denied, "no daemon runs, and to boot a VM without one takes root");
  }
  return {};
}

}  // namespace

std::string smoke_profile(const core::Config& config, const std::string& tag) {
  const auto& profiles = config.profiles;
  const auto user = std::ranges::find(profiles, tag, &core::Profile::image);
  if (user != profiles.end()) return user->name;
  const auto memory = [](const core::Profile& profile) { return profile.size.memory; };
  const auto smallest = std::ranges::min_element(profiles, {}, memory);
  return smallest == profiles.end() ? "" : smallest->name;
}

Result<void> smoke(const Context& context, const core::Config& config, const SmokeTarget& target) {
  TRY(check_fit(config, target));
  // As long as this lives the image stays, whatever else happens to it.
  TRY_ASSIGN(const image::PinnedImage image, image::ImageStore(config.state_dir).pin(target.image));
  if (target.progress) target.progress("trying the image in a VM");
  Outcome outcome;
  OneOff command;
  command.profile = target.profile;
  command.image = image.manifest.id;
  command.runner = usable_runner(config, target);
  command.argv = {"sh", "-c", kScript, "sh", host_of(config.github.url)};
  command.quiet_limit = kQuietLimit;
  command.on_vm = [&outcome](const std::string& vm) { outcome.vm = vm; };
  command.on_output = [&outcome](int /*stream*/, const std::string& data) {
    if (outcome.said.size() < kMostSaid) outcome.said += data;
  };
  outcome.status = run_one_off(context, config, command);
  const std::string runner = command.runner.value_or(config.runner);
  return judge(config, target, outcome, !runner.empty());
}

}  // namespace mvr::cli
