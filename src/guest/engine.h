// Docker's engine, where the image has one: containerd and dockerd, kept running.
//
// Its socket listens from the start. It is made here and handed to dockerd as systemd does it
// (sd_listen_fds(3)): a client that comes while dockerd starts, or starts again, waits and is
// served. Nothing polls, and the job need not wait for an engine it may never use.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "guest/service.h"
#include "guest/words.h"

namespace mvr::guest {

class Engine {
 public:
  using Time = Service::Time;
  // `tell` is for whoever runs jobs: a sentence about what went wrong.
  explicit Engine(std::function<void(const std::string&)> tell) : tell_(std::move(tell)) {}

  // What an engine needs of the system, then the engine, by `mode`. Without dockerd in the image
  // nothing happens. The VM goes on without an engine that cannot be started. `modules`: a
  // directory with modules of the kernel for it; empty: all are built in.
  void set_up(EngineMode mode, const std::string& modules, Time now);
  void reaped(pid_t pid, int wait_status, Time now);
  void handle_due(Time now);
  [[nodiscard]] std::optional<Time> next_due() const;
  void add_to(std::vector<pollfd>& entries) const;
  void serve(const std::vector<pollfd>& entries, Time now);  // after poll()
  // The machine is about to end.
  void stop();

 private:
  Result<void> prepare(const std::string& dockerd);
  // Loads the modules, then starts both programs.
  void start(Time now);
  void tell(const std::string& text) const;
  void check();
  void give_up();

  std::function<void(const std::string&)> tell_;
  std::string modules_;
  Fd listener_;
  std::vector<Service> services_;  // in the order of their start
  bool is_started_ = false;
};

// The command lines of the engine (pure). `containerd` may be empty: dockerd starts its own.
struct EngineCommands {
  std::vector<std::string> containerd;
  std::vector<std::string> dockerd;
};
EngineCommands engine_commands(const std::string& dockerd, const std::string& containerd);

}  // namespace mvr::guest
