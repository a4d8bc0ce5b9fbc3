#include "daemon/guest_streams.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "sys/unix_socket.h"

namespace mvr::daemon {
namespace {

constexpr std::size_t kReadSize = 32 * 1024;

}  // namespace

Result<Fd> GuestStreams::open(core::Slot slot, const std::string& user,
                              const std::vector<std::string>& argv, std::uint64_t client) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail_errno(errno, "create a pair of sockets");
  }
  Stream stream;
  stream.socket = Fd(ends[0]);
  Fd theirs(ends[1]);
  stream.client = client;
  TRY(sys::set_nonblocking(stream.socket, true));
  const Key key{slot, ++last_id_};
  TRY_ASSIGN(stream.watch,
             loop_.watch(stream.socket.get(), EPOLLIN,
                         [this, key](std::uint32_t events) { on_ready(key, events); }));
  TRY(hooks_.send(slot, channel::Open{key.second, user, argv}));
  streams_.emplace(key, std::move(stream));
  return theirs;
}

void GuestStreams::on_ready(Key key, std::uint32_t events) {
  const auto found = streams_.find(key);
  if (found == streams_.end()) return;
  Stream& stream = found->second;
  if ((events & EPOLLOUT) != 0U && !write_some(key, stream)) return;
  if ((events & EPOLLIN) != 0U && stream.credit > 0 && !stream.input_ended) {
    return read_some(key, stream);
  }
  // Both directions are closed: the client has gone, maybe with something left to read.
  if ((events & (EPOLLHUP | EPOLLERR)) != 0U) give_up(key);
}

void GuestStreams::read_some(Key key, Stream& stream) {
  std::array<char, kReadSize> buffer{};
  const ssize_t count =
      ::read(stream.socket.get(), buffer.data(), std::min(buffer.size(), stream.credit));
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count < 0) return give_up(key);
  const auto size = static_cast<std::size_t>(count);
  stream.credit -= size;
  stream.input_ended = count == 0;
  const channel::StreamData data{key.second, std::string(buffer.data(), size), false};
  if (!hooks_.send(key.first, data)) return give_up(key);
  tend(stream);
}

bool GuestStreams::write_some(Key key, Stream& stream) {
  std::size_t written = 0;
  while (!stream.pending.empty()) {
    const ssize_t count =
        ::send(stream.socket.get(), stream.pending.data(), stream.pending.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    if (count < 0) {
      give_up(key);
      return false;
    }
    stream.pending.erase(0, static_cast<std::size_t>(count));
    written += static_cast<std::size_t>(count);
  }
  if (written > 0) {
    // A channel that cannot take this is down, and the VM with it.
    (void)hooks_.send(key.first,
                      channel::StreamAck{key.second, static_cast<std::uint32_t>(written)});
  }
  if (stream.pending.empty() && stream.exit_code) {
    end(key, stream.exit_code);
    return false;
  }
  tend(stream);
  return true;
}

void GuestStreams::tend(Stream& stream) {
  std::uint32_t events = 0;
  if (stream.credit > 0 && !stream.input_ended) events |= EPOLLIN;
  if (!stream.pending.empty()) events |= EPOLLOUT;
  (void)stream.watch.set_events(events);  // fails only for a dead registration
}

void GuestStreams::handle(core::Slot slot, const channel::StreamData& message) {
  const Key key{slot, message.stream};
  const auto found = streams_.find(key);
  if (found == streams_.end()) return;
  Stream& stream = found->second;
  if (message.error) {
    hooks_.error_output(stream.client, message.data);
    if (message.data.empty()) return;
    (void)hooks_.send(
        slot, channel::StreamAck{message.stream, static_cast<std::uint32_t>(message.data.size())});
    return;
  }
  // More than was acknowledged: not an agent of ours.
  if (stream.pending.size() + message.data.size() > channel::kStreamWindow) return give_up(key);
  stream.pending += message.data;
  (void)write_some(key, stream);
}

void GuestStreams::handle(core::Slot slot, const channel::StreamAck& message) {
  const Key key{slot, message.stream};
  const auto found = streams_.find(key);
  if (found == streams_.end()) return;
  Stream& stream = found->second;
  stream.credit = std::min<std::size_t>(stream.credit + message.bytes, channel::kStreamWindow);
  tend(stream);
}

void GuestStreams::handle(core::Slot slot, const channel::Close& message) {
  const Key key{slot, message.stream};
  const auto found = streams_.find(key);
  if (found == streams_.end()) return;
  found->second.exit_code = message.exit_code;
  (void)write_some(key, found->second);
}

void GuestStreams::end(Key key, std::optional<int> code) {
  const auto found = streams_.find(key);
  const std::uint64_t client = found->second.client;
  streams_.erase(found);
  hooks_.ended(client, code);
}

// The program is ended, too.
void GuestStreams::give_up(Key key) {
  (void)hooks_.send(key.first, channel::Close{key.second, 0});
  end(key, std::nullopt);
}

void GuestStreams::vm_gone(core::Slot slot) {
  std::vector<Key> keys;
  for (const auto& [key, stream] : streams_) {
    if (key.first == slot) keys.push_back(key);
  }
  for (const Key& key : keys) end(key, std::nullopt);
}

}  // namespace mvr::daemon
