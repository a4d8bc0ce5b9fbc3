// The one program this VM is for, while it runs: its process and its pipes.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "guest/process.h"

namespace mvr::guest {

class Job {
 public:
  // Standard input is /dev/null, or a pipe fed by add_input().
  static Result<Job> start(const SpawnSpec& spec, bool with_input);

  [[nodiscard]] pid_t pid() const { return pid_; }
  // -1 when there is nothing to wait for.
  [[nodiscard]] int input() const { return pending_.empty() ? -1 : input_.get(); }
  [[nodiscard]] int output() const { return output_.get(); }
  [[nodiscard]] int error() const { return error_.get(); }

  // What the pipe has now; at its end the pipe is closed.
  std::string read_output() { return read_from(output_); }
  std::string read_error() { return read_from(error_); }
  // Err too_large when more than kMaxInput waits: the program does not read.
  Result<void> add_input(std::string_view data, bool end);
  void write_input();

  void reaped(int wait_status) { exit_code_ = exit_code(wait_status); }
  [[nodiscard]] std::optional<int> result() const { return exit_code_; }
  [[nodiscard]] bool has_open_output() const { return output_ || error_; }
  // SIGINT, to the program alone or with its children; SIGKILL always to all.
  void interrupt(bool with_children) const;
  void kill() const;

 private:
  static constexpr std::size_t kMaxInput = 16 << 20;
  static std::string read_from(Fd& pipe);

  pid_t pid_ = -1;
  Fd input_;
  Fd output_;
  Fd error_;
  std::string pending_;  // of the input
  bool input_ends_ = false;
  std::optional<int> exit_code_;
};

}  // namespace mvr::guest
