#include "sys/notify.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/text.h"

namespace mvr::sys {
namespace {

constexpr const char* kSocket = "NOTIFY_SOCKET";
constexpr const char* kWatchdog = "WATCHDOG_USEC";
constexpr const char* kWatchdogPid = "WATCHDOG_PID";

// The value, which is gone from the environment afterwards.
std::string take(const char* name) {
  const char* value = ::getenv(name);
  std::string text = value == nullptr ? "" : value;
  (void)::unsetenv(name);
  return text;
}

std::optional<Duration> interval_of(const std::string& usec, const std::string& pid) {
  const auto limit = parse_u64(usec);
  if (!limit || *limit == 0) return std::nullopt;
  // Of a process that executed us and is somebody else.
  if (!pid.empty() && pid != std::to_string(::getpid())) return std::nullopt;
  constexpr std::uint64_t kLongest = 86'400'000;
  const std::uint64_t half = *limit / 2 / 1'000;
  return Duration(static_cast<std::int64_t>(std::clamp<std::uint64_t>(half, 1, kLongest)));
}

}  // namespace

Result<Notifier> Notifier::from_environment() {
  const std::string path = take(kSocket);
  const std::string usec = take(kWatchdog);
  const std::string pid = take(kWatchdogPid);
  Notifier notifier;
  if (path.empty()) return notifier;
  const bool is_abstract = path.front() == '@';
  if ((path.front() != '/' && !is_abstract) || path.size() < 2 ||
      path.size() >= sizeof notifier.address_.sun_path) {
    return fail(Errc::invalid, std::string(kSocket) + "=" + printable(path, 120) +
                                   " is not the address of a unix socket");
  }
  notifier.address_.sun_family = AF_UNIX;
  std::memcpy(&notifier.address_.sun_path[0], path.data(), path.size());
  if (is_abstract) notifier.address_.sun_path[0] = '\0';
  // The length says where an abstract name ends; a path ends with its zero byte.
  notifier.length_ =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (is_abstract ? 0 : 1));
  notifier.socket_ = Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!notifier.socket_) return fail_errno(errno, "make a socket");
  notifier.watchdog_ = interval_of(usec, pid);
  return notifier;
}

Result<void> Notifier::send(std::string_view assignments) const {
  if (!socket_) return {};
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets interface
  const auto* address = reinterpret_cast<const sockaddr*>(&address_);
  const ssize_t sent = ::sendto(socket_.get(), assignments.data(), assignments.size(), MSG_NOSIGNAL,
                                address, length_);
  if (sent < 0) return fail_errno(errno, "notify the service manager");
  return {};
}

}  // namespace mvr::sys
