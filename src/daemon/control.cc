#include "daemon/control.h"

#include <grp.h>
#include <pwd.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "core/names.h"
#include "daemon/daemon.h"
#include "daemon/journal.h"
#include "sys/files.h"
#include "sys/unix_socket.h"

namespace mvr::daemon {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxRequest = 256 * 1024;
constexpr std::size_t kMaxOutgoing = 64U << 20U;
constexpr std::size_t kMaxSessions = 128;
constexpr unsigned kGroupMode = 0660;
constexpr unsigned kRootMode = 0600;

std::string to_line(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

// The gid of the control group; empty when the host has no such group.
std::optional<gid_t> group_id(const std::string& name) {
  if (name.empty()) return std::nullopt;
  const group* entry = ::getgrnam(name.c_str());
  if (entry == nullptr) return std::nullopt;
  return entry->gr_gid;
}

std::string who_is(const Fd& socket) {
  const auto peer = sys::peer_credentials(socket);
  if (!peer) return "?";
  const passwd* entry = ::getpwuid(peer->uid);
  return entry == nullptr ? "uid " + std::to_string(peer->uid) : std::string(entry->pw_name);
}

}  // namespace

json log_line_json(const LogLine& line) {
  json object = {{"time", format_iso8601(line.time)},
                 {"level", level_name(line.level)},
                 {"event", line.event}};
  for (const auto& [key, value] : line.fields) object[key] = value;
  return object;
}

void Session::send(const json& line) {
  if (dead_) return;
  outgoing_ += to_line(line);
  if (outgoing_.size() > kMaxOutgoing) dead_ = true;
}

void Session::send_error(const Error& error) {
  send({{"ok", false}, {"error", full_text(error)}, {"code", errc_name(error.code)}});
  end();
}

void Session::send_with_fd(const json& line, const Fd& fd, bool last) {
  if (!sys::send_with_fd(socket_.get(), to_line(line), fd.get())) dead_ = true;
  if (last) end();
}

Control::Control(Daemon& daemon) : daemon_(daemon), streams_(daemon.loop(), stream_hooks()) {
  follow_log([this](const LogLine& line) { tell(line); });
}

GuestStreams::Hooks Control::stream_hooks() {
  GuestStreams::Hooks hooks;
  hooks.send = [this](core::Slot slot, const channel::ToAgent& message) -> Result<void> {
    LiveVm* vm = daemon_.performer().find(slot);
    if (vm == nullptr) return fail(Errc::unavailable, "the VM is gone");
    return vm->send(message);
  };
  hooks.error_output = [this](std::uint64_t client, const std::string& data) {
    if (Session* session = find(client); session != nullptr) {
      session->send({{"event", "output"}, {"stream", 2}, {"data", base64_encode(data)}});
    }
  };
  hooks.ended = [this](std::uint64_t client, std::optional<int> code) {
    Session* session = find(client);
    if (session == nullptr) return;
    if (code) session->send({{"event", "exit"}, {"code", *code}});
    if (!code) session->send({{"event", "failed"}, {"error", "the VM or its agent is gone"}});
    session->end();
  };
  return hooks;
}

void Control::tell(const LogLine& line) {
  json object;
  for (auto& [id, session] : sessions_) {
    if (!session->follows_events) continue;
    if (object.is_null()) object = log_line_json(line);
    session->send(object);
  }
}

Result<std::unique_ptr<Control>> Control::open(Daemon& daemon) {
  std::unique_ptr<Control> control(new Control(daemon));
  const core::Config& config = daemon.config();
  TRY(sys::make_directories(config.run_dir, 0755));
  control->path_ = core::host_names(config).control_socket;
  const auto group = group_id(config.control_group);
  TRY_ASSIGN(control->listener_, sys::listen_unix(control->path_, group ? kGroupMode : kRootMode));
  if (group) TRY(sys::change_owner(control->path_, 0, *group));
  TRY(sys::set_nonblocking(control->listener_, true));
  Control* raw = control.get();
  TRY_ASSIGN(control->watch_, daemon.loop().watch(control->listener_.get(), EPOLLIN,
                                                  [raw](std::uint32_t) { raw->accept(); }));
  return control;
}

Control::~Control() {
  follow_log(nullptr);
  (void)sys::remove_file(path_);
}

void Control::accept() {
  auto accepted = sys::accept_unix(listener_);
  if (!accepted || !*accepted) return;
  if (sessions_.size() >= kMaxSessions) return;  // closed at once: too many clients
  const std::uint64_t id = ++last_id_;
  auto session = std::make_unique<Session>(id, std::move(**accepted));
  if (!sys::set_nonblocking(session->socket_, true)) return;
  auto watch = daemon_.loop().watch(session->socket_.get(), EPOLLIN,
                                    [this, id](std::uint32_t events) { on_ready(id, events); });
  if (!watch) return;
  session->watch_ = std::move(*watch);
  session->who = who_is(session->socket_);
  sessions_.emplace(id, std::move(session));
}

Session* Control::find(std::uint64_t id) {
  const auto it = sessions_.find(id);
  return it == sessions_.end() ? nullptr : it->second.get();
}

void Control::on_ready(std::uint64_t id, std::uint32_t events) {
  Session* session = find(id);
  if (session == nullptr) return;
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0U) read_some(*session);
  if ((events & EPOLLOUT) != 0U) write_some(*session);
}

void Control::read_some(Session& session) {
  std::array<char, 16 * 1024> buffer{};
  const ssize_t count = ::read(session.socket_.get(), buffer.data(), buffer.size());
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {
    session.dead_ = true;
    return;
  }
  if (session.requested_) return;  // a client that talks on is ignored
  session.incoming_.append(buffer.data(), static_cast<std::size_t>(count));
  const auto newline = session.incoming_.find('\n');
  if (newline == std::string::npos) {
    if (session.incoming_.size() > kMaxRequest) session.dead_ = true;
    return;
  }
  session.requested_ = true;
  session.incoming_.resize(newline);
  handle_request(daemon_, *this, session, session.incoming_);
}

void Control::write_some(Session& session) {
  while (!session.outgoing_.empty() && !session.dead_) {
    const ssize_t sent = ::send(session.socket_.get(), session.outgoing_.data(),
                                session.outgoing_.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) {
      (void)session.watch_.set_events(EPOLLIN | EPOLLOUT);
      return;
    }
    if (sent < 0) {
      session.dead_ = true;
      return;
    }
    session.outgoing_.erase(0, static_cast<std::size_t>(sent));
  }
  (void)session.watch_.set_events(EPOLLIN);
}

void Control::flush() {
  std::vector<std::uint64_t> gone;
  for (auto& [id, session] : sessions_) {
    if (!session->dead_ && !session->outgoing_.empty()) write_some(*session);
    const bool done = session->ending_ && session->outgoing_.empty();
    if (session->dead_ || done) gone.push_back(id);
  }
  for (const std::uint64_t id : gone) drop(id);
}

void Control::drop(std::uint64_t id) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end()) return;
  const auto command = it->second->command;
  sessions_.erase(it);
  if (!command) return;
  if (const auto slot = daemon_.commands().cancel(*command)) {
    daemon_.post(core::KillRequested{*slot, "the client of mvrunner run went away"});
  }
  daemon_.commands_changed();
}

void Control::key_authorized(core::Slot slot, const channel::KeyAuthorized& key) {
  for (auto& [id, session] : sessions_) {
    if (session->key_slot != slot) continue;
    session->key_slot.reset();
    const auto vm = daemon_.world().vms.find(slot);
    const LiveVm* live = daemon_.performer().find(slot);
    if (vm == daemon_.world().vms.end() || live == nullptr) continue;
    session->send({{"ok", true},
                   {"vm", vm->second.name},
                   {"user", live->user()},
                   {"host_key", key.host_key}});
    session->end();
  }
}

bool Control::key_refused(core::Slot slot, const std::string& what) {
  bool waited = false;
  for (auto& [id, session] : sessions_) {
    if (session->key_slot != slot) continue;
    session->key_slot.reset();
    session->send_error(Error{Errc::unavailable, what});
    waited = true;
  }
  return waited;
}

}  // namespace mvr::daemon
