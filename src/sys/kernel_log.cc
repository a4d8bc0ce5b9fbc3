#include "sys/kernel_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "base/fd.h"

namespace mvr::sys {
namespace {

constexpr int kMostRecords = 65'536;  // more than fit the largest log

}  // namespace

bool tells_of_oom_kill(std::string_view line, pid_t pid) {
  return line.find("ut of memory: Killed process " + std::to_string(pid) + " (") !=
         std::string_view::npos;
}

bool was_oom_killed(pid_t pid) {
  const Fd log(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!log) return false;
  std::array<char, 8192> record{};
  for (int n = 0; n < kMostRecords; ++n) {
    const ssize_t got = ::read(log.get(), record.data(), record.size());
    if (got < 0 && errno == EPIPE) continue;  // overwritten while we read
    if (got <= 0) return false;
    const std::string_view line(record.data(), static_cast<std::size_t>(got));
    if (tells_of_oom_kill(line, pid)) return true;
  }
  return false;
}

}  // namespace mvr::sys
