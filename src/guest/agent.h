// Process 1: boot, then serve the host until the machine restarts.
#pragma once

#include <sys/signalfd.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "base/fd.h"
#include "channel/message.h"
#include "guest/action_lines.h"
#include "guest/diagnostics.h"
#include "guest/engine.h"
#include "guest/job.h"
#include "guest/outbox.h"
#include "guest/port.h"
#include "guest/root.h"
#include "guest/runner_lines.h"
#include "guest/ssh.h"
#include "guest/streams.h"
#include "guest/usage.h"
#include "guest/words.h"

namespace mvr::guest {

// Boots and serves; ends by restarting the machine.
[[noreturn]] void run();

// Everything the agent knows, and its one loop. A failure that makes the VM useless is sent and
// ends the machine; one that only refuses a request is sent and that is all.
class Agent {
 public:
  Agent(Port port, Fd signals);

  void say_hello();
  // Mounts the root, sets up system and network.
  Result<void> set_up(const BootWords& words);
  // Instead of both: says hello, and sets up once serve() has heard who this VM is.
  void await_identity(const BootWords& booted);
  [[noreturn]] void serve();
  // Sends `failed`, then restarts the machine.
  [[noreturn]] void give_up(const Error& error);

 private:
  using Clock = std::chrono::steady_clock;

  void wait_and_handle();
  [[nodiscard]] int wait_milliseconds() const;
  void handle_signals();
  void handle_port();
  void handle_due();

  [[nodiscard]] bool is_waiting() const;
  template <class Message>
  void receive(Message& message);
  void handle(channel::Configure& message);
  void handle(const channel::Identity& message);
  void handle(const channel::Sync& message);
  void handle(const channel::Shutdown& message);
  void handle(const channel::AuthorizeKey& message);
  void handle(const channel::Input& message);
  void handle(const channel::Notice& message);
  void handle(const channel::Hold& message);
  void handle(const channel::Open& message);
  void handle(channel::StreamData& message) { streams_.handle(message); }
  void handle(const channel::StreamAck& message) { streams_.handle(message); }
  void handle(const channel::Close& message) { streams_.handle(message); }

  Result<void> open_stream(const channel::Open& message);
  Result<void> start(channel::Configure& message);
  void forward(int stream, std::string bytes);
  void finish_job();
  // Once a second while there is work: what it uses, what the runner logs.
  void tick(Clock::time_point now);
  void report_usage();
  void forward_diagnostics(std::size_t most);
  void refuse(const Error& error);
  // For whoever works in the guest, and for who reads its output.
  void notify(const std::string& text);
  void notify_of(const Result<void>& done);  // what a job can do without
  void send(const channel::FromAgent& message) { outbox_.push(message); }
  void flush();
  [[nodiscard]] bool is_backed_up() const;
  [[nodiscard]] bool must_stay() const;
  // Lets the host take what waits, then restarts the machine.
  [[noreturn]] void leave(std::chrono::milliseconds limit);

  Port port_;
  Fd signals_;
  Outbox outbox_;
  BootWords words_;
  Root root_;
  SshAccess ssh_;
  channel::State state_;
  RunnerLines lines_;
  ConnectionLines connection_;
  UsageMeter meter_;
  Diagnostics diagnostics_;
  ActionLines actions_;
  Streams streams_;
  Engine engine_;
  std::map<std::string, std::string> env_;  // what the claim added to the image's
  std::optional<Job> job_;
  bool configured_ = false;
  bool is_command_ = false;
  bool shutting_down_ = false;
  std::optional<Clock::time_point> kill_at_;    // the grace of a shutdown
  std::optional<Clock::time_point> finish_at_;  // last chance for output after the exit
  std::optional<Clock::time_point> leave_at_;   // nobody asked for a shutdown
  std::optional<Clock::time_point> tick_at_;    // the next look at the work
  Clock::time_point usage_at_;                  // the next report of it at the latest
};

}  // namespace mvr::guest
