#include "guest/port.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>

#include "guest/files.h"
#include "guest/vsock.h"

namespace mvr::guest {
namespace {

constexpr std::chrono::milliseconds kLookAgain{2};

std::optional<std::string> find_port() {
  const std::string ports = "/sys/class/virtio-ports";
  const std::string wanted = std::string(channel::kPortName) + "\n";
  for (const std::string& name : list_directory(ports)) {
    // The name comes by a message of its own, after the port itself.
    if (read_file(ports + "/" + name + "/name").value_or(std::string()) == wanted) {
      return "/dev/" + name;
    }
  }
  return std::nullopt;
}

// What a socket says when the other end is no more.
bool has_ended(int error) {
  return error == EPIPE || error == ECONNRESET || error == ENOTCONN || error == ETIMEDOUT;
}

}  // namespace

bool Port::is_present() { return find_port().has_value() || has_vsock(); }

Result<Port> Port::open(std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    if (const auto path = find_port()) return open_serial(*path);
    if (has_vsock()) return over(connect_vsock);
    if (std::chrono::steady_clock::now() >= deadline) break;
    std::this_thread::sleep_for(kLookAgain);
  }
  return fail(Errc::not_found,
              "no vsock and no virtio-serial port named " + std::string(channel::kPortName) +
                  ": does the kernel have virtio_console or vmw_vsock_virtio_transport?");
}

Result<Port> Port::open_serial(const std::string& path) {
  Fd file(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!file) return fail_errno(errno, "open " + path);
  const int flags = ::fcntl(file.get(), F_GETFL);
  if (::fcntl(file.get(), F_SETOWN, ::getpid()) != 0 ||
      ::fcntl(file.get(), F_SETFL, flags | O_ASYNC) != 0) {
    return fail_errno(errno, "ask for SIGIO of " + path);
  }
  return Port(std::move(file), {});
}

void Port::refresh(Outbox& outbox) {
  if (connect_) return refresh_socket(outbox);
  pollfd entry{file_.get(), POLLOUT, 0};
  const bool connected = ::poll(&entry, 1, 0) < 0 || (entry.revents & POLLHUP) == 0;
  if (connected && !connected_) outbox.restart();
  connected_ = connected;
}

// Without an answer the host is away, and is asked again at the next turn.
void Port::refresh_socket(Outbox& outbox) {
  if (connected_) return;
  auto socket = connect_();
  if (!socket) return;
  file_ = std::move(*socket);
  deframer_ = {};
  outbox.restart();
  connected_ = true;
}

void Port::lose_host() {
  connected_ = false;
  if (connect_) file_ = {};
}

Result<std::vector<std::string>> Port::receive() {
  std::array<char, 32'768> buffer{};
  if (!file_) return std::vector<std::string>{};
  const ssize_t got = ::read(file_.get(), buffer.data(), buffer.size());
  const int error = got < 0 ? errno : 0;
  if (got == 0 || (connect_ && has_ended(error))) {
    lose_host();
    return std::vector<std::string>{};
  }
  if (error != 0 && error != EAGAIN && error != EINTR) return fail_errno(error, "read the channel");
  std::vector<std::string> records;
  if (got <= 0) return records;
  const auto pushed =
      deframer_.push(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
  ::explicit_bzero(buffer.data(), static_cast<std::size_t>(got));  // may hold a secret
  TRY(pushed);
  while (auto record = deframer_.pop()) records.push_back(std::move(*record));
  return records;
}

Result<bool> Port::send(Outbox& outbox) {
  while (connected_ && !outbox.empty()) {
    const std::string_view bytes = outbox.next();
    const ssize_t written = connect_ ? ::send(file_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL)
                                     : ::write(file_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) return true;
    if (written < 0 && connect_ && has_ended(errno)) {
      lose_host();
      break;
    }
    if (written < 0) return fail_errno(errno, "write the channel");
    outbox.consume(static_cast<std::size_t>(written));
  }
  return !outbox.empty();
}

}  // namespace mvr::guest
