// mvrunner doctor: is this host fit to run jobs, and what to do where it is not.
#include "daemon/doctor.h"

#include <algorithm>
#include <iostream>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/client.h"
#include "cli/one_off.h"
#include "daemon/journal.h"
#include "sys/host.h"
#include "sys/loop.h"

namespace mvr::cli {
namespace {

using daemon::Finding;
using daemon::Verdict;
using nlohmann::json;

constexpr const char* kLookup = "getent ahosts \"$1\" >/dev/null || exit 71; ";
constexpr const char* kFetch =
    "command -v curl >/dev/null || exit 72; "
    "curl -sS -o /dev/null --max-time 20 \"$2\" || exit 73";
constexpr Duration kVmLimit{180'000};
constexpr int kNoName = 71;
constexpr int kNoCurl = 72;
constexpr int kNoRoute = 73;

Finding judge_exit(int code, const std::string& url, const std::string& said) {
  const std::string host = host_of(url);
  switch (code) {
    case 0:
      return {"test VM", Verdict::ok, "a VM booted, resolved " + host + " and reached " + url, ""};
    case kNoName:
      return {"test VM", Verdict::fail, "a VM booted, but cannot resolve " + host,
              "check network.resolv_conf and that this host resolves the name"};
    case kNoCurl:
      return {"test VM", Verdict::ok, "a VM booted and resolved " + host, ""};
    case kNoRoute:
      return {"test VM", Verdict::fail, "a VM booted, but does not reach " + url + ": " + said,
              "check this host's firewall and routes for forwarded packets; network.allow"};
    default:
      return {"test VM", Verdict::fail,
              "its command ended with status " + std::to_string(code) + ": " + said,
              "mvrunner run -- true"};
  }
}

// What only a guest can tell.
Finding check_vm(const Context& context, const core::Config& config) {
  const auto status = ask(config, {{"op", "ps"}});
  if (status && status->value("draining", false)) {
    return {"test VM", Verdict::warn, "not tried: the host is draining", "mvrunner undrain"};
  }
  std::string said;
  const std::string& url = config.github.url;
  OneOff command;
  command.profile = config.profiles.front().name;
  command.argv = {"sh", "-c", std::string(kLookup) + kFetch, "sh", host_of(url), url};
  command.on_output = [&](int /*stream*/, const std::string& data) {
    if (said.size() < 1000) said += data;
  };
  command.quiet_limit = kVmLimit;
  const auto code = run_one_off(context, config, command);
  if (!code && code.error().code == Errc::timed_out) {
    return {"test VM", Verdict::warn, "not tried: no VM in " + format_duration(kVmLimit),
            "the host may be full: see mvrunner ps, and try again later"};
  }
  if (!code) {
    return {"test VM", Verdict::fail, code.error().what,
            "mvrunner logs --console VM, or mvrunner run -- true"};
  }
  return judge_exit(*code, url, printable(said, 300));
}

std::vector<Finding> examine(const Context& context, const core::Config& config, bool boots) {
  std::vector<Finding> all;
  const auto add = [&](std::vector<Finding> some) {
    for (auto& finding : some) all.push_back(std::move(finding));
  };
  const auto facts = sys::host_facts();
  add(daemon::check_settings("", facts ? facts->kernel : "", config));
  add(daemon::check_programs(config));
  add(daemon::check_kernel_objects(config));
  add(daemon::check_room(config));
  add(daemon::check_stores(config, sys::wall_now()));
  add(daemon::check_upkeep(config));
  add(daemon::check_github(config));
  if (!boots) return all;
  add(daemon::check_kvm(config));
  // What fails here tells more than a VM that does not come up because of it.
  const bool fit = std::ranges::none_of(all, [](const Finding& one) {
    return one.check != "kvm" && one.check != "github" && one.verdict == Verdict::fail;
  });
  if (fit) all.push_back(check_vm(context, config));
  return all;
}

void print(const std::vector<Finding>& findings) {
  for (const auto& finding : findings) {
    std::string line(daemon::verdict_name(finding.verdict));
    line.resize(6, ' ');
    line += finding.check;
    line.resize(std::max<std::size_t>(line.size() + 2, 24), ' ');
    std::cout << line << printable(finding.text, 500) << "\n";
    if (!finding.remedy.empty()) {
      std::cout << std::string(24, ' ') << "-> " << printable(finding.remedy, 500) << "\n";
    }
  }
}

int doctor(const Context& context, bool boots) {
  auto config = load_config(context, true);
  if (!config) return report_config(config.error());
  (void)daemon::set_log_level("error");  // what is wrong becomes a finding
  const std::vector<Finding> findings = examine(context, *config, boots);
  if (context.json) {
    json all = json::array();
    for (const auto& finding : findings) {
      all.push_back({{"check", finding.check},
                     {"verdict", daemon::verdict_name(finding.verdict)},
                     {"text", finding.text},
                     {"remedy", finding.remedy}});
    }
    std::cout << all.dump(2, ' ', false, json::error_handler_t::replace) << "\n";
  } else {
    print(findings);
  }
  const bool failed = std::ranges::any_of(
      findings, [](const Finding& one) { return one.verdict == Verdict::fail; });
  return failed ? exit_host : exit_ok;
}

}  // namespace

void register_doctor(CLI::App& app, Context& context, int& exit_code) {
  CLI::App* verb =
      app.add_subcommand("doctor", "look for what is wrong with this host, and say what to do");
  auto quick = std::make_shared<bool>(false);
  verb->add_flag("--quick", *quick, "boot no VM");
  add_output_option(*verb, context);
  verb->callback([&context, &exit_code, quick] { exit_code = doctor(context, !*quick); });
}

}  // namespace mvr::cli
