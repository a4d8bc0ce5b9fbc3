// Unix stream sockets, with descriptor passing. Listeners do not block; connected and accepted
// sockets do until set_nonblocking() says otherwise.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace mvr::sys {

// Paths longer than sun_path go through /proc/self/fd of their directory.
Result<Fd> listen_unix(const std::string& path, unsigned mode);  // unlinks a stale socket first
Result<Fd> connect_unix(const std::string& path);                // Err not_found, unavailable
Result<std::optional<Fd>> accept_unix(const Fd& listener);       // empty: nothing to accept
struct PeerCredentials {
  int pid = 0;
  unsigned uid = 0;
  unsigned gid = 0;
};
Result<PeerCredentials> peer_credentials(const Fd& socket);

Result<void> set_nonblocking(const Fd& fd, bool on);
// Sends `text` with one descriptor attached (SCM_RIGHTS); receive takes at most one.
Result<void> send_with_fd(int socket, std::string_view text, int fd);
struct Received {
  std::string text;
  Fd fd;
};  // empty text: end of stream
Result<Received> receive_with_fd(int socket, std::size_t max);

}  // namespace mvr::sys
