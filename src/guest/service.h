// A program of the image that runs beside the job, and is started again when it ends.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "guest/log_file.h"
#include "guest/process.h"

namespace mvr::guest {

// How long to wait before the start after the `ended`th end; nothing: that was the last one.
std::optional<std::chrono::seconds> restart_delay(int ended);

class Service {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Its log is <log_directory>/<name>.log.
  Service(std::string name, SpawnSpec spec, std::string log_directory = "/var/log");

  // Starts it, or plans another start where that fails. Returns what there is to tell; empty: all
  // is well. So do the two below.
  std::string start(Time now);
  std::string reaped(pid_t pid, int wait_status, Time now);
  std::string handle_due(Time now);
  // It has ended too often and is not started again.
  [[nodiscard]] bool has_failed() const { return has_failed_; }
  // Asks it to end, and does not start it again.
  void stop();

  [[nodiscard]] std::optional<Time> next_due() const { return start_at_; }
  void add_to(std::vector<pollfd>& entries) const;
  void serve(const std::vector<pollfd>& entries);  // after poll(): writes its log

 private:
  Result<void> spawn_with_log();
  void read_log();
  std::string plan_restart(const std::string& why, Time now);

  std::string name_;
  SpawnSpec spec_;
  std::string log_directory_;
  LogFile log_;
  Fd output_;
  pid_t pid_ = -1;
  int ended_ = 0;  // times
  bool has_failed_ = false;
  bool is_stopping_ = false;
  std::optional<Time> start_at_;
};

}  // namespace mvr::guest
