// The operations of the control socket; the shapes stand in control.h.
#include <fcntl.h>

#include <array>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/text.h"
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
constexpr std::uint64_t kSshPort = 22;
constexpr std::uint64_t kMaxPort = 65535;
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
  json answer =
      status_json(daemon.config(), daemon.world(), daemon.last_plan(), now, sys::wall_now());
  answer["ok"] = true;
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
  daemon.post(core::KillRequested{(*vm)->slot, "mvrunner kill"});
  session.send({{"ok", true}, {"vm", (*vm)->name}});
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
  log(Level::info, "ssh_key_authorized", {{"vm", (*vm)->name}, {"user", live->user()}});
  session.key_slot = (*vm)->slot;
}

void do_connect(Daemon& daemon, Control&, Session& session, const json& request) {
  auto vm = find_vm(daemon, request);
  if (!vm) return session.send_error(vm.error());
  const auto port = number_field(request, "port", kSshPort, kMaxPort);
  if (!port) {
    return session.send_error(Error{Errc::invalid, "connect: port must be 1 to 65535"});
  }
  auto socket = daemon.network().connect(core::slot_names(daemon.config(), (*vm)->slot),
                                         static_cast<unsigned>(*port));
  if (!socket) return session.send_error(socket.error());
  session.send_with_fd({{"ok", true}}, *socket);
}

// A live VM's log, or what is kept of one that has ended.
Result<std::pair<std::string, std::string>> find_log(const Daemon& daemon, const json& request,
                                                     const std::string& which) {
  auto vm = find_vm(daemon, request);
  if (vm) {
    const core::SlotNames names = core::slot_names(daemon.config(), (*vm)->slot);
    return std::pair((*vm)->name,
                     which == "console" ? names.console : names.directory + "/agent.log");
  }
  const std::string name = text_field(request, "vm");
  const std::string kept = kept_log_path(daemon.config(), name, which);
  if (is_plain_name(name, kMaxVmName) && sys::exists(kept)) return std::pair(name, kept);
  return fail(vm.error());
}

void do_log(Daemon& daemon, Control&, Session& session, const json& request) {
  const std::string which = text_field(request, "which");
  if (which != "console" && which != "agent") {
    return session.send_error(Error{Errc::invalid, "log: which must be console or agent"});
  }
  const auto found = find_log(daemon, request, which);
  if (!found) return session.send_error(found.error());
  auto file = sys::open_read(found->second);
  if (!file) return session.send_error(file.error());
  session.send_with_fd({{"ok", true}, {"vm", found->first}}, *file);
}

Result<std::vector<std::string>> argv_of(const json& request) {
  const auto it = request.find("argv");
  std::vector<std::string> argv;
  if (it == request.end() || !it->is_array() || it->empty() || it->size() > kMaxArguments) {
    return fail(Errc::invalid, "run needs a command: mvrunner run --profile P -- CMD [ARG...]");
  }
  for (const auto& argument : *it) {
    if (!argument.is_string()) return fail(Errc::invalid, "run: argv must be strings");
    argv.push_back(argument.get<std::string>());
  }
  return argv;
}

void do_run(Daemon& daemon, Control& control, Session& session, const json& request) {
  CommandRequest command;
  command.profile = text_field(request, "profile");
  if (command.profile.empty() && daemon.config().profiles.size() == 1) {
    command.profile = daemon.config().profiles.front().name;
  }
  if (daemon.config().profile(command.profile) == nullptr) {
    return session.send_error(
        Error{Errc::not_found, "no profile '" + printable(command.profile, 64) +
                                   "': name one of the configuration with --profile"});
  }
  auto argv = argv_of(request);
  if (!argv) return session.send_error(argv.error());
  command.argv = std::move(*argv);
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
  command.on_end = [send](std::optional<int> code, const std::string& why) {
    if (code) return send({{"event", "exit"}, {"code", *code}}, true);
    send({{"event", "failed"}, {"error", why}}, true);
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
    Operation{"ps", do_ps},           Operation{"drain", do_drain},
    Operation{"kill", do_kill},       Operation{"authorize", do_authorize},
    Operation{"connect", do_connect}, Operation{"log", do_log},
    Operation{"run", do_run},         Operation{"reload", do_reload},
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
