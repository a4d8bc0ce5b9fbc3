// The operations of the control socket; the shapes stand in control.h.
#include <fcntl.h>

#include <array>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "core/match.h"
#include "daemon/control.h"
#include "daemon/daemon.h"
#include "daemon/journal.h"
#include "daemon/kept_logs.h"
#include "daemon/status.h"
#include "sys/files.h"

namespace mvr::daemon {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxArguments = 1024;
constexpr std::uint64_t kDefaultKeyLifetime = 60;
constexpr std::uint64_t kMaxKeyLifetime = 24 * 3600;
constexpr std::uint64_t kNoDeadline = 0;
constexpr std::uint64_t kMaxDeadline = 30ULL * 24 * 3600 * 1000;
constexpr std::size_t kMaxFinished = 200;

std::string text_field(const json& request, const char* name) {
  const auto it = request.find(name);
  return it != request.end() && it->is_string() ? it->get<std::string>() : std::string();
}

bool flag_field(const json& request, const char* name) {
  const auto it = request.find(name);
  return it != request.end() && it->is_boolean() && it->get<bool>();
}

// A whole number of 1..max; `fallback` when the field is absent.
std::optional<std::uint64_t> number_field(const json& request, const char* name,
                                          std::uint64_t fallback, std::uint64_t max) {
  const auto it = request.find(name);
  if (it == request.end()) return fallback;
  if (!it->is_number_unsigned()) return std::nullopt;
  const auto value = it->get<std::uint64_t>();
  if (value == 0 || value > max) return std::nullopt;
  return value;
}

// A VM by its name or slot number.
Result<const core::Vm*> find_vm(const Daemon& daemon, const json& request) {
  const std::string wanted = text_field(request, "vm");
  for (const auto& [slot, vm] : daemon.world().vms) {
    if (vm.name == wanted || std::to_string(slot) == wanted) return &vm;
  }
  return fail(Errc::not_found,
              "no VM '" + printable(wanted, 64) + "': `mvrunner ps -a` lists them");
}

void do_ps(Daemon& daemon, Control&, Session& session, const json& request) {
  const Instant now = daemon.loop().now();
  daemon.performer().measure(now);
  json answer =
      status_json(daemon.config(), daemon.world(), daemon.last_plan(), now, sys::wall_now());
  answer["ok"] = true;
  for (auto& row : answer["vms"]) {
    const LiveVm* live = daemon.performer().find(row["slot"].get<core::Slot>());
    if (live != nullptr) row.update(use_json(*live));
  }
  if (const std::string wanted = text_field(request, "about"); !wanted.empty()) {
    answer["about"] = about_json(daemon.config(), daemon.world(), wanted, sys::wall_now());
  }
  if (flag_field(request, "all")) {
    auto finished = daemon.history().recent(kMaxFinished);
    if (!finished) return session.send_error(finished.error());
    answer["finished"] = json::array();
    for (const auto& job : *finished) answer["finished"].push_back(finished_json(job));
  }
  session.send(answer);
  session.end();
}

void do_drain(Daemon& daemon, Control&, Session& session, const json& request) {
  const auto on = request.find("on");
  if (on == request.end() || !on->is_boolean()) {
    return session.send_error(Error{Errc::invalid, "drain needs \"on\": true or false"});
  }
  const auto limit = number_field(request, "deadline_ms", kNoDeadline, kMaxDeadline);
  if (!limit) {
    return session.send_error(Error{Errc::invalid, "drain: deadline_ms must be 1 to 30 days"});
  }
  core::DrainChanged drain{on->get<bool>(), std::nullopt};
  // Asked again without one, as people do to wait for the end, the deadline that was given stands.
  if (drain.draining) drain.deadline = daemon.world().drain_deadline;
  if (*limit != kNoDeadline) drain.deadline = daemon.loop().now() + Duration{*limit};
  daemon.post(drain);
  json answer = {{"ok", true}};
  if (drain.deadline) {
    answer["deadline"] = format_iso8601(sys::wall_now() + (*drain.deadline - daemon.loop().now()));
  }
  session.send(answer);
  session.end();
}

void do_reload(Daemon& daemon, Control&, Session& session, const json&) {
  const Reloaded reloaded = daemon.reload();
  json changes = json::array();
  for (const auto& change : reloaded.changes) {
    changes.push_back(
        {{"key", change.key}, {"applied", change.applied}, {"text", change_text(change)}});
  }
  session.send({{"ok", true}, {"changes", changes}, {"problems", reloaded.problems}});
  session.end();
}

void do_kill(Daemon& daemon, Control&, Session& session, const json& request) {
  auto vm = find_vm(daemon, request);
  if (!vm) return session.send_error(vm.error());
  daemon.post(core::KillRequested{(*vm)->slot, session.who + " (mvrunner kill)"});
  session.send({{"ok", true}, {"vm", (*vm)->name}});
  session.end();
}

void do_hold(Daemon& daemon, Control&, Session& session, const json& request) {
  constexpr std::uint64_t kMost = 24ULL * 3600 * 1000;
  auto vm = find_vm(daemon, request);
  if (!vm) return session.send_error(vm.error());
  const auto it = request.find("for_ms");
  const bool is_valid = it != request.end() && it->is_number_unsigned() && *it <= kMost;
  if (!is_valid) return session.send_error(Error{Errc::invalid, "hold: for_ms is at most a day"});
  const core::Vm& record = **vm;
  const bool has_runner =
      record.phase >= core::Phase::claiming && record.phase <= core::Phase::running;
  if (!has_runner && record.phase != core::Phase::held) {
    return session.send_error(
        Error{Errc::unavailable,
              "VM " + record.name + " is " + std::string(core::phase_name(record.phase)) +
                  ": one is held when its runner has exited, so hold it while its job runs"});
  }
  const Duration time{it->get<std::int64_t>()};
  log(Level::info, "hold_requested",
      {{"vm", record.name}, {"for", format_duration(time)}, {"by", session.who}});
  daemon.post(core::HoldRequested{record.slot, time});
  session.send({{"ok", true}, {"vm", record.name}, {"phase", core::phase_name(record.phase)}});
  session.end();
}

void do_authorize(Daemon& daemon, Control&, Session& session, const json& request) {
  auto vm = find_vm(daemon, request);
  if (!vm) return session.send_error(vm.error());
  LiveVm* live = daemon.performer().find((*vm)->slot);
  if (live == nullptr) return session.send_error(Error{Errc::busy, "the VM is not up yet"});
  const std::string key = text_field(request, "public_key");
  const auto lifetime = number_field(request, "lifetime_s", kDefaultKeyLifetime, kMaxKeyLifetime);
  const bool valid =
      key.starts_with("ssh-ed25519 ") && key.size() < 1024 && printable(key, 2048) == key;
  if (!valid || !lifetime) {
    return session.send_error(
        Error{Errc::invalid,
              "authorize needs an ssh-ed25519 public_key and a lifetime_s of at most a day"});
  }
  auto sent =
      live->send(channel::AuthorizeKey{live->user(), key, static_cast<std::uint32_t>(*lifetime)});
  if (!sent) return session.send_error(sent.error());
  log(Level::info, "ssh_key_authorized",
      {{"vm", (*vm)->name}, {"user", live->user()}, {"by", session.who}});
  session.key_slot = (*vm)->slot;
}

// Nothing when there is no such field.
Result<std::vector<std::string>> strings_of(const json& request, const char* name) {
  std::vector<std::string> strings;
  const auto it = request.find(name);
  if (it == request.end()) return strings;
  if (!it->is_array() || it->size() > kMaxArguments) {
    return fail(Errc::invalid, std::string(name) + " must be a list of at most " +
                                   std::to_string(kMaxArguments) + " strings");
  }
  for (const auto& item : *it) {
    if (!item.is_string()) return fail(Errc::invalid, std::string(name) + " must be strings");
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

void do_open(Daemon& daemon, Control& control, Session& session, const json& request) {
  auto vm = find_vm(daemon, request);
  if (!vm) return session.send_error(vm.error());
  LiveVm* live = daemon.performer().find((*vm)->slot);
  const bool is_up = live != nullptr && (*vm)->phase > core::Phase::booting;
  if (!is_up) return session.send_error(Error{Errc::busy, "the VM is not up yet"});
  auto argv = strings_of(request, "argv");
  if (!argv) return session.send_error(argv.error());
  std::string user = text_field(request, "user");
  if (user.empty()) user = live->user();
  auto socket = control.streams().open((*vm)->slot, user, *argv, session.id());
  if (!socket) return session.send_error(socket.error());
  log(Level::info, argv->empty() ? "ssh_connected" : "command_started",
      {{"vm", (*vm)->name}, {"user", user}, {"by", session.who}});
  session.send_with_fd({{"ok", true}, {"vm", (*vm)->name}}, *socket, false);
}

void do_events(Daemon&, Control&, Session& session, const json& request) {
  for (const LogLine& line : latest_lines()) session.send(log_line_json(line));
  session.follows_events = flag_field(request, "follow");
  if (!session.follows_events) session.end();
}

// The VM that a job by this id or name runs or last ran in; empty: none is known.
std::string vm_of_job(Daemon& daemon, const std::string& wanted) {
  constexpr std::size_t kMostLooked = 10'000;
  for (const auto& [slot, vm] : daemon.world().vms) {
    if (!wanted.empty() && vm.job == wanted) return vm.name;
  }
  const auto id = parse_u64(wanted);
  const auto finished = daemon.history().recent(kMostLooked);
  if (!finished || wanted.empty()) return {};
  for (const auto& job : *finished) {
    const bool has_id = id && job.facts.job > 0 && static_cast<std::uint64_t>(job.facts.job) == *id;
    if (job.job == wanted || has_id) return job.vm;
  }
  return {};
}

// A live VM's log, or what is kept of one that has ended.
Result<std::pair<std::string, std::string>> find_log(Daemon& daemon, const json& request,
                                                     const std::string& which) {
  std::string name = text_field(request, "vm");
  auto vm = find_vm(daemon, request);
  for (const bool is_job : {false, true}) {
    if (is_job) {
      const std::string other = vm_of_job(daemon, name);
      if (other.empty()) break;
      name = other;
      vm = find_vm(daemon, {{"vm", name}});
    }
    if (vm) {
      const core::SlotNames names = core::slot_names(daemon.config(), (*vm)->slot);
      return std::pair((*vm)->name, names.directory + "/" + which + ".log");
    }
    const std::string kept = kept_log_path(daemon.config(), name, which);
    if (is_plain_name(name, kMaxVmName) && sys::exists(kept)) return std::pair(name, kept);
  }
  return fail(Errc::not_found, "no VM and no job '" + printable(name, 64) +
                                   "' with a log: `mvrunner ps -a` lists them");
}

void do_log(Daemon& daemon, Control&, Session& session, const json& request) {
  const std::string which = text_field(request, "which");
  if (which != "console" && which != "agent" && which != "runner") {
    return session.send_error(Error{Errc::invalid, "log: which must be console, agent or runner"});
  }
  const auto found = find_log(daemon, request, which);
  if (!found) return session.send_error(found.error());
  auto file = sys::open_read(found->second);
  if (!file) return session.send_error(file.error());
  session.send_with_fd({{"ok", true}, {"vm", found->first}}, *file);
}

// For a host whose configuration has no profile that would say more: any image boots with it.
core::Profile plain_profile() {
  core::Profile profile;
  profile.size = {gib(1), 1, gib(4)};
  profile.kernel = "default";
  profile.limits = {std::chrono::minutes(4), std::chrono::minutes(5), std::chrono::minutes(10)};
  return profile;
}

// The name of the profile a command runs with: with an image or a runner release of its own, one
// made for it.
Result<std::string> profile_for(Daemon& daemon, const json& request) {
  const auto& profiles = daemon.config().profiles;
  std::string name = text_field(request, "profile");
  if (name.empty() && profiles.size() == 1) name = profiles.front().name;
  const core::Profile* base = daemon.config().profile(name);
  const std::string image = text_field(request, "image");
  if (base == nullptr && (image.empty() || !name.empty())) {
    return fail(Errc::not_found, "no profile '" + printable(name, 64) +
                                     "': name one of the configuration with --profile");
  }
  const bool has_runner = request.contains("runner");
  if (image.empty() && !has_runner) return name;
  core::Profile trial = base == nullptr ? plain_profile() : *base;
  if (const auto size = core::size_of(daemon.config(), name)) trial.size = *size;
  trial.name.clear();
  if (!image.empty()) trial.image = image;
  if (has_runner) trial.runner = text_field(request, "runner");
  return daemon.add_trial(std::move(trial));
}

void do_run(Daemon& daemon, Control& control, Session& session, const json& request) {
  CommandRequest command;
  auto argv = strings_of(request, "argv");
  if (argv && argv->empty()) {
    argv = fail(Errc::invalid, "run needs a command: mvrunner run --profile P -- CMD [ARG...]");
  }
  if (!argv) return session.send_error(argv.error());
  command.argv = std::move(*argv);
  auto profile = profile_for(daemon, request);
  if (!profile) return session.send_error(profile.error());
  command.profile = std::move(*profile);
  const auto send = [&control, id = session.id()](const json& line, bool last) {
    Session* live = control.find(id);
    if (live == nullptr) return;
    live->send(line);
    if (!last) return;
    live->command.reset();
    live->end();
  };
  command.on_started = [send](core::Slot, const std::string& vm) {
    send({{"event", "started"}, {"vm", vm}}, false);
  };
  command.on_output = [send](int stream, const std::string& data) {
    send({{"event", "output"}, {"stream", stream}, {"data", base64_encode(data)}}, false);
  };
  command.on_end = [send](const std::string& vm, std::optional<int> code, const std::string& why) {
    if (code) return send({{"event", "exit"}, {"vm", vm}, {"code", *code}}, true);
    send({{"event", "failed"}, {"vm", vm}, {"error", why}}, true);
  };
  session.command = daemon.commands().add(std::move(command));
  session.send({{"event", "queued"}});
  daemon.commands_changed();
}

using Handler = void (*)(Daemon&, Control&, Session&, const json&);
struct Operation {
  std::string_view name;
  Handler handler;
};
constexpr std::array kOperations = {
    Operation{"ps", do_ps},     Operation{"drain", do_drain},
    Operation{"kill", do_kill}, Operation{"authorize", do_authorize},
    Operation{"open", do_open}, Operation{"log", do_log},
    Operation{"run", do_run},   Operation{"reload", do_reload},
    Operation{"hold", do_hold}, Operation{"events", do_events},
};

}  // namespace

void handle_request(Daemon& daemon, Control& control, Session& session, const std::string& line) {
  const json request = json::parse(line, nullptr, false);
  if (!request.is_object())
    return session.send_error(Error{Errc::invalid, "the request is not a JSON object"});
  const std::string op = text_field(request, "op");
  for (const auto& operation : kOperations) {
    if (operation.name == op) return operation.handler(daemon, control, session, request);
  }
  session.send_error(
      Error{Errc::unsupported, "unknown operation '" + printable(op, 32) +
                                   "': the daemon is of another version, restart it"});
}

}  // namespace mvr::daemon
