#include "sys/process.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>

#include "base/text.h"
#include "sys/files.h"
#include "sys/loop.h"

namespace mvr::sys {
namespace {

// Raw calls: the <sys/pidfd.h> of glibc 2.36 declares them without C linkage.
int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U)); }
bool send_signal(const Fd& pidfd, int number) {
  return ::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0U) == 0;
}

// Whether the process has ended, waiting up to `limit_ms` for it.
Result<bool> has_ended(const Fd& pidfd, int limit_ms) {
  pollfd entry{pidfd.get(), POLLIN, 0};
  const int count = ::poll(&entry, 1, limit_ms);
  if (count < 0 && errno != EINTR) return fail_errno(errno, "poll a process");
  return count > 0;
}

}  // namespace

std::string Exit::to_text() const {
  if (signal == 0) return "exit " + std::to_string(code);
  const char* name = ::sigabbrev_np(signal);
  if (name == nullptr) return "killed by signal " + std::to_string(signal);
  return "killed by SIG" + std::string(name);
}

Result<Process> Process::adopt(pid_t pid, std::uint64_t start_time) {
  const std::string what = "adopt process " + std::to_string(pid);
  if (pid <= 0) return fail(Errc::invalid, what + ": not a process id");
  Process process;
  process.pidfd_ = Fd(open_pidfd(pid));
  if (!process.pidfd_) return fail_errno(errno, what);
  // Read after the open: from here on the number cannot come to mean another process unseen.
  const auto found = process_start_time(pid);
  if (!found) return fail(with_context(found.error(), what));
  if (*found != start_time) return fail(Errc::not_found, what + ": the number was used again");
  TRY_ASSIGN(const bool ended, has_ended(process.pidfd_, 0));
  if (ended) return fail(Errc::not_found, what + ": it has ended");
  process.pid_ = pid;
  process.start_time_ = start_time;
  return process;
}

Result<void> Process::signal(int number) const {
  if (!pidfd_) return fail(Errc::invalid, "send a signal: no process");
  if (exit_ || send_signal(pidfd_, number)) return {};
  if (errno == ESRCH) return {};
  return fail_errno(
      errno, "send signal " + std::to_string(number) + " to process " + std::to_string(pid_));
}

Result<std::optional<Exit>> Process::reap() {
  if (exit_) return exit_;
  if (!pidfd_) return fail(Errc::invalid, "reap: no process");
  if (!is_child_) {
    TRY_ASSIGN(const bool ended, has_ended(pidfd_, 0));
    if (ended) exit_ = Exit{};
    return exit_;
  }
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG) != 0) {
    return fail_errno(errno, "wait for process " + std::to_string(pid_));
  }
  if (info.si_pid == 0) return std::nullopt;
  exit_ = info.si_code == CLD_EXITED ? Exit{info.si_status, 0} : Exit{0, info.si_status};
  return exit_;
}

Result<Exit> Process::wait(Duration limit) {
  const Instant deadline = monotonic_now() + limit;
  while (true) {
    TRY_ASSIGN(const std::optional<Exit> exit, reap());
    if (exit) return *exit;
    const auto left = (deadline - monotonic_now()).count();
    if (left <= 0) {
      return fail(Errc::timed_out, "process " + std::to_string(pid_) + " did not end within " +
                                       format_duration(limit));
    }
    TRY(has_ended(pidfd_, static_cast<int>(std::min<std::int64_t>(left, INT_MAX))));
  }
}

std::string boot_id() {
  auto text = read_file("/proc/sys/kernel/random/boot_id", 64);
  if (!text) return {};
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return std::move(*text);
}

namespace {

// The fields of /proc/<pid>/stat from the third on. Field 2 is the program's name in parentheses
// and may hold anything, parentheses too: count from the last one.
Result<std::vector<std::uint64_t>> stat_fields(pid_t pid,
                                               std::initializer_list<std::size_t> wanted) {
  TRY_ASSIGN(const std::string text, read_file("/proc/" + std::to_string(pid) + "/stat", 4096));
  const std::size_t name_end = text.rfind(") ");
  if (name_end == std::string::npos) return fail(Errc::protocol, "unexpected /proc/<pid>/stat");
  const auto fields = split(std::string_view(text).substr(name_end + 2), ' ');
  std::vector<std::uint64_t> values;
  for (const std::size_t number : wanted) {
    if (number - 3 >= fields.size()) return fail(Errc::protocol, "unexpected /proc/<pid>/stat");
    TRY_ASSIGN(const std::uint64_t value, parse_u64(fields[number - 3]));
    values.push_back(value);
  }
  return values;
}

}  // namespace

Result<std::uint64_t> process_start_time(pid_t pid) {
  TRY_ASSIGN(const auto fields, stat_fields(pid, {22}));
  return fields[0];
}

Result<Duration> process_cpu_time(pid_t pid) {
  TRY_ASSIGN(const auto fields, stat_fields(pid, {14, 15}));
  const auto tick = static_cast<std::uint64_t>(std::max(::sysconf(_SC_CLK_TCK), 1L));
  return Duration{static_cast<std::int64_t>((fields[0] + fields[1]) * 1000 / tick)};
}

}  // namespace mvr::sys
