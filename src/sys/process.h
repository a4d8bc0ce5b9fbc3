// Child processes by pidfd. clone3 (into a cgroup where asked), a close-on-exec pipe that carries
// {stage, errno} of a failed set-up step, exec. Between clone and exec only async-signal-safe
// calls are made: libcurl's resolver threads may exist.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace mvr::sys {

struct FdMapping {
  int from = -1;  // ours; stays open here
  int to = -1;    // number in the child
};

struct SpawnOptions {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH unless it has a '/'
  std::vector<std::string> env;   // exactly these NAME=VALUE; empty: PATH only
  std::vector<FdMapping> fds;     // 0,1,2 default to /dev/null; all others are closed
  std::string directory;          // empty: "/"
  std::optional<uid_t> uid;       // with gid; supplementary groups become `groups`
  std::optional<gid_t> gid;
  std::vector<gid_t> groups;
  std::uint64_t capabilities = 0;     // 1 << CAP_*: the program has these, whoever its user is
  int cgroup_fd = -1;                 // directory of a cgroup v2: CLONE_INTO_CGROUP
  int netns_fd = -1;                  // entered by setns before dropping privileges
  bool same_session = false;          // keeps the terminal; else a session of its own
  bool die_with_parent = false;       // PDEATHSIG SIGKILL
  bool low_priority = false;          // nice 19 and the idle class of I/O, as far as allowed
  std::uint64_t file_size_limit = 0;  // RLIMIT_FSIZE; 0 = unchanged
};

struct Exit {
  int code = 0;  // valid when signal == 0
  int signal = 0;
  [[nodiscard]] bool ok() const { return code == 0 && signal == 0; }
  [[nodiscard]] std::string to_text() const;  // "exit 3", "killed by SIGKILL"
  friend bool operator==(const Exit&, const Exit&) = default;
};

// Names a process by pidfd, never by a bare pid. Destroying it does not end the process.
class Process {
 public:
  Process() = default;
  // Err names the failed stage: "spawn qemu: setns: Invalid argument".
  // The child leads a session of its own.
  static Result<Process> spawn(const SpawnOptions& options);
  // Takes over a process that is not our child: Err not_found unless pid lives and has this
  // start time (field 22 of /proc/<pid>/stat).
  static Result<Process> adopt(pid_t pid, std::uint64_t start_time);

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] std::uint64_t start_time() const { return start_time_; }
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }  // readable once it has ended
  explicit operator bool() const { return static_cast<bool>(pidfd_); }
  Result<void> signal(int number) const;  // ok when it has ended already
  // Empty while it runs. For an adopted process the exit is {0,0}: only a parent learns it.
  Result<std::optional<Exit>> reap();
  Result<Exit> wait(Duration limit);  // Err timed_out

 private:
  Fd pidfd_;
  pid_t pid_ = 0;
  std::uint64_t start_time_ = 0;
  bool is_child_ = false;
  std::optional<Exit> exit_;
};

struct RunOptions {
  std::vector<std::string> argv;
  std::vector<std::string> env;  // as SpawnOptions
  std::string input;
  std::string directory;
  Duration limit{60'000};
  std::size_t max_output = 1 << 20;  // kept: the first of stdout, the last of stderr
  bool pass_stderr = false;          // the child's stderr is ours
  bool pass_stdout = false;
  int netns_fd = -1;
};
struct RunResult {
  Exit exit;
  std::string out;
  std::string err;
};
// Runs a program to its end, blocking. A non-zero exit is not an Err; not starting and the time
// limit are (its process group is killed). It dies with us; what it leaves running is not waited
// for.
Result<RunResult> run(const RunOptions& options);
// run(), and Err with the last line of stderr unless it exits with 0.
Result<std::string> run_ok(const RunOptions& options);

std::string boot_id();  // /proc/sys/kernel/random/boot_id
Result<std::uint64_t> process_start_time(pid_t pid);
// Of all its threads, in user and kernel mode, guests' code included.
Result<Duration> process_cpu_time(pid_t pid);

}  // namespace mvr::sys
