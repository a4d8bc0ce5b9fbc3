// The control socket: one JSON request line per connection, one or more JSON answer lines, some
// with a descriptor attached. Members of control_group (and root) may connect.
//
//   {"op":"ps"}                       -> the status (status.h)
//   {"op":"ps","all":true}            -> the status with "finished": the latest ended VMs
//   {"op":"ps","about":X}             -> the status with "about": what a job or profile X is
//   {"op":"drain","on":bool,"deadline_ms":N}
//                                     -> {"ok":true,"deadline":ISO time}: without deadline_ms one
//                                        given before stands; there may be none
//   {"op":"reload"}                   -> {"ok":true,"problems":[T...],
//                                        "changes":[{"key":K,"applied":bool,"text":T}...]};
//                                        with problems nothing has changed
//   {"op":"kill","vm":V}              -> {"ok":true,"vm":name}
//   {"op":"hold","vm":V,"for_ms":N}   -> {"ok":true,"vm":name}; 0 lets it go
//   {"op":"authorize","vm":V,"public_key":K,"lifetime_s":N}
//                                     -> {"ok":true,"vm":name,"user":U,"host_key":H}
//   {"op":"open","vm":V,"user":U,"argv":[...]}
//                                     -> {"ok":true,"vm":name} + a socket that is the program's
//                                        input and output; then as for `run` what it writes to its
//                                        standard error, and its exit. Without argv: the ssh
//                                        server, which nobody gets past without a key
//   {"op":"log","vm":V,"which":W}     -> {"ok":true,"vm":name} + the file opened for reading;
//                                        V may be a job here, by id or display name, W is console,
//                                        agent or runner
//   {"op":"events","follow":bool}     -> the latest lines of the log, one object a line:
//                                        {"time":T,"level":L,"event":E,fields...}
//   {"op":"run","profile":P,"argv":[...],"image":I,"runner":R}
//                                     -> {"event":"queued"}, {"event":"started","vm":name},
//                                        {"event":"output","stream":1,"data":base64}...,
//                                        {"event":"exit","code":N} or
//                                        {"event":"failed","vm":name,"error":T}; with an image I
//                                        or a runner release R ("": the image's own) in place of
//                                        the profile's, and then there need be no profile
//
// Any request can be answered {"ok":false,"error":T,"code":errc}. V is a VM's name or slot number.
// A `run` belongs to its connection: when the client goes, the VM is ended.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "base/fd.h"
#include "base/result.h"
#include "channel/message.h"
#include "core/world.h"
#include "daemon/guest_streams.h"
#include "daemon/journal.h"
#include "sys/loop.h"

namespace mvr::daemon {

class Daemon;

// One client connection.
class Session {
 public:
  Session(std::uint64_t id, Fd socket) : id_(id), socket_(std::move(socket)) {}

  [[nodiscard]] std::uint64_t id() const { return id_; }
  // Queues one line. The session is closed when the client reads too slowly.
  void send(const nlohmann::json& line);
  void send_error(const Error& error);
  // Sends one line with a descriptor; only as the first answer. `last`: no more lines follow.
  void send_with_fd(const nlohmann::json& line, const Fd& fd, bool last = true);
  // No more lines follow: closes once all is written.
  void end() { ending_ = true; }

  std::optional<std::int64_t> command;  // the `run` request this connection holds
  std::optional<core::Slot> key_slot;   // waiting for the guest's answer to `authorize`
  bool follows_events = false;
  std::string who;  // for the log: the user at the other end

 private:
  friend class Control;
  std::uint64_t id_;
  Fd socket_;
  sys::Watch watch_;
  std::string incoming_;
  std::string outgoing_;
  bool requested_ = false;
  bool ending_ = false;
  bool dead_ = false;
};

class Control {
 public:
  static Result<std::unique_ptr<Control>> open(Daemon& daemon);
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  // Answers the sessions that wait for a guest's key.
  void key_authorized(core::Slot slot, const channel::KeyAuthorized& key);
  // True when a session waited for it.
  bool key_refused(core::Slot slot, const std::string& what);
  // Writes what is queued, closes what has ended; called at the end of each turn.
  void flush();
  Session* find(std::uint64_t id);
  [[nodiscard]] GuestStreams& streams() { return streams_; }
  [[nodiscard]] bool idle() const { return sessions_.empty(); }

 private:
  explicit Control(Daemon& daemon);
  GuestStreams::Hooks stream_hooks();
  void tell(const LogLine& line);
  void accept();
  void on_ready(std::uint64_t id, std::uint32_t events);
  void read_some(Session& session);
  void write_some(Session& session);
  void drop(std::uint64_t id);

  Daemon& daemon_;
  std::string path_;
  Fd listener_;
  sys::Watch watch_;
  std::map<std::uint64_t, std::unique_ptr<Session>> sessions_;
  std::uint64_t last_id_ = 0;
  GuestStreams streams_;
};

// One line of the log as the clients of `events` get it.
nlohmann::json log_line_json(const LogLine& line);

// Handles one request (requests.cc). Unknown or malformed ones are answered with an error.
void handle_request(Daemon& daemon, Control& control, Session& session, const std::string& line);

}  // namespace mvr::daemon
