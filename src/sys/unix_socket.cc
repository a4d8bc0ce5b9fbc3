#include "sys/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace mvr::sys {
namespace {

struct Address {
  sockaddr_un value{};
  socklen_t length = 0;
  Fd directory;  // open while the address names the socket through it

  [[nodiscard]] const sockaddr* get() const {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets interface
    return reinterpret_cast<const sockaddr*>(&value);
  }
};

Result<Address> address_of(const std::string& path) {
  Address address;
  address.value.sun_family = AF_UNIX;
  std::string name = path;
  if (name.empty()) return fail(Errc::invalid, "the path of the socket is empty");
  if (name.size() >= sizeof address.value.sun_path) {
    const std::size_t slash = path.find_last_of('/');
    if (slash == std::string::npos) return fail_errno(ENAMETOOLONG, path);
    address.directory =
        Fd(::open(path.substr(0, slash + 1).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!address.directory) return fail_errno(errno, path);
    name = "/proc/self/fd/" + std::to_string(address.directory.get()) + path.substr(slash);
    if (name.size() >= sizeof address.value.sun_path) return fail_errno(ENAMETOOLONG, path);
  }
  std::memcpy(&address.value.sun_path[0], name.c_str(), name.size() + 1);
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + 1);
  return address;
}

Result<Fd> make_socket(int flags) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!fd) return fail_errno(errno, "make a socket");
  return fd;
}

// Removes what a dead listener left behind; anything else in the way stays.
Result<void> clear_stale(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno(errno, path);
  }
  if (!S_ISSOCK(status.st_mode)) return fail(Errc::exists, path + " exists and is no socket");
  const auto probe = connect_unix(path);
  if (probe || probe.error().code == Errc::busy) {
    return fail(Errc::exists, "another process listens on " + path);
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(errno, "remove " + path);
  return {};
}

}  // namespace

Result<Fd> listen_unix(const std::string& path, unsigned mode) {
  constexpr int kBacklog = 128;
  TRY(context(clear_stale(path), "listen"));
  TRY_ASSIGN(const Address address, address_of(path));
  TRY_ASSIGN(Fd fd, make_socket(SOCK_NONBLOCK));
  // The mode before bind(2) is the most the file ever has; afterwards it is exact in spite of
  // the umask.
  if (::fchmod(fd.get(), mode) != 0) return fail_errno(errno, "set the mode of " + path);
  if (::bind(fd.get(), address.get(), address.length) != 0) {
    return fail_errno(errno, "bind " + path);
  }
  if (::chmod(path.c_str(), mode) != 0) return fail_errno(errno, "set the mode of " + path);
  if (::listen(fd.get(), kBacklog) != 0) return fail_errno(errno, "listen on " + path);
  return fd;
}

Result<Fd> connect_unix(const std::string& path) {
  TRY_ASSIGN(const Address address, address_of(path));
  // Not blocking: a listener that never accepts must not hold us, EAGAIN tells of it.
  TRY_ASSIGN(Fd fd, make_socket(SOCK_NONBLOCK));
  if (::connect(fd.get(), address.get(), address.length) != 0) {
    return fail_errno(errno, "connect to " + path);
  }
  TRY(set_nonblocking(fd, false));
  return fd;
}

Result<std::optional<Fd>> accept_unix(const Fd& listener) {
  while (true) {
    const int raw = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (raw >= 0) return std::optional<Fd>(Fd(raw));
    if (errno == EAGAIN || errno == ECONNABORTED) return std::optional<Fd>();
    if (errno != EINTR) return fail_errno(errno, "accept a connection");
  }
}

Result<PeerCredentials> peer_credentials(const Fd& socket) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    return fail_errno(errno, "ask for the peer's credentials");
  }
  return PeerCredentials{credentials.pid, credentials.uid, credentials.gid};
}

Result<void> set_nonblocking(const Fd& fd, bool on) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0) return fail_errno(errno, "read a descriptor's flags");
  const int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (::fcntl(fd.get(), F_SETFL, wanted) != 0) return fail_errno(errno, "set a descriptor's flags");
  return {};
}

Result<void> send_with_fd(int socket, std::string_view text, int fd) {
  if (text.empty()) return fail(Errc::invalid, "a descriptor needs at least one byte with it");
  alignas(cmsghdr) std::array<unsigned char, CMSG_SPACE(sizeof(int))> control{};
  bool is_attached = fd >= 0;
  while (!text.empty()) {
    std::string copy(text);  // iovec wants it mutable
    iovec part{copy.data(), copy.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (is_attached) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    const ssize_t count = ::sendmsg(socket, &message, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(errno, "send a descriptor");
    text.remove_prefix(static_cast<std::size_t>(count));
    is_attached = false;  // it went with the first bytes
  }
  return {};
}

Result<Received> receive_with_fd(int socket, std::size_t max) {
  std::string buffer(max, '\0');
  iovec part{buffer.data(), buffer.size()};
  alignas(cmsghdr) std::array<unsigned char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  // Not CMSG_SPACE: its padding would let a second descriptor in. The kernel closes the rest.
  message.msg_controllen = CMSG_LEN(sizeof(int));
  ssize_t count = -1;
  do {
    count = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return fail_errno(errno, "receive");
  Received received;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
      header->cmsg_len == CMSG_LEN(sizeof(int))) {
    int raw = -1;
    std::memcpy(&raw, CMSG_DATA(header), sizeof raw);
    received.fd = Fd(raw);
  }
  buffer.resize(static_cast<std::size_t>(count));
  received.text = std::move(buffer);
  return received;
}

}  // namespace mvr::sys
