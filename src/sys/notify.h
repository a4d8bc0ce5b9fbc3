// What a service manager is told about this process: sd_notify(3)'s datagrams, without its library.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace mvr::sys {

class Notifier {
 public:
  // Speaks to nobody: every send() succeeds.
  Notifier() = default;
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and unsets them: children are not the
  // service. Without NOTIFY_SOCKET it speaks to nobody. Err invalid: no address of a unix socket.
  static Result<Notifier> from_environment();

  // Assignments, one a line: "READY=1\nSTATUS=3 VMs". Never waits: Err when the manager does not
  // take it now, or is gone.
  Result<void> send(std::string_view assignments) const;
  [[nodiscard]] explicit operator bool() const { return static_cast<bool>(socket_); }
  // How often WATCHDOG=1 is due: half of what the manager allows. Empty: it does not watch.
  [[nodiscard]] std::optional<Duration> watchdog_interval() const { return watchdog_; }

 private:
  Fd socket_;
  sockaddr_un address_{};
  socklen_t length_ = 0;
  std::optional<Duration> watchdog_;
};

}  // namespace mvr::sys
