// Process 1: boot, then serve the host until the machine restarts.
#pragma once

#include <sys/signalfd.h>

#include <chrono>
#include <optional>
#include <string>

#include "base/fd.h"
#include "channel/message.h"
#include "guest/job.h"
#include "guest/outbox.h"
#include "guest/port.h"
#include "guest/root.h"
#include "guest/runner_lines.h"
#include "guest/ssh.h"
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
  Result<void> set_up();
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

  void handle(channel::Configure& message);
  void handle(const channel::Sync& message);
  void handle(const channel::Shutdown& message);
  void handle(const channel::AuthorizeKey& message);
  void handle(const channel::Input& message);
  void handle(const channel::Notice& message);

  Result<void> start(channel::Configure& message);
  void forward(int stream, std::string bytes);
  void finish_job();
  void refuse(const Error& error);
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
  std::optional<Job> job_;
  bool configured_ = false;
  bool is_command_ = false;
  bool shutting_down_ = false;
  std::optional<Clock::time_point> kill_at_;    // the grace of a shutdown
  std::optional<Clock::time_point> finish_at_;  // last chance for output after the exit
  std::optional<Clock::time_point> leave_at_;   // nobody asked for a shutdown
};

}  // namespace mvr::guest
