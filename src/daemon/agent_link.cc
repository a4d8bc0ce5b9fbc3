#include "daemon/agent_link.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "sys/unix_socket.h"

namespace mvr::daemon {
namespace {

constexpr Duration kRetry{20};
constexpr std::size_t kMaxOutgoing = 16 * channel::kMaxRecord;  // all streams at their windows
constexpr std::size_t kReadSize = 64 * 1024;

}  // namespace

AgentLink::AgentLink(sys::Loop& loop, std::string socket, Handlers handlers)
    : loop_(loop), path_(std::move(socket)), handlers_(std::move(handlers)) {}

AgentLink::~AgentLink() {
  // The queue may hold a JIT configuration.
  for (char& c : outgoing_) c = '\0';
}

void AgentLink::start() { connect(); }

Result<void> AgentLink::listen() {
  TRY_ASSIGN(listener_, sys::listen_unix(path_, 0600));
  await_agent();
  if (!listening_) return fail(Errc::io, "watch " + path_);
  return {};
}

void AgentLink::await_agent() {
  auto watch = loop_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { accept(); });
  if (watch) listening_ = std::move(*watch);
}

// Others wait in the backlog until this one has ended.
void AgentLink::accept() {
  auto accepted = sys::accept_unix(listener_);
  if (!accepted || !*accepted) return;
  listening_ = {};
  use(std::move(**accepted));
}

void AgentLink::retry_later() {
  watch_ = {};
  socket_ = {};
  deframer_ = {};
  if (closed_) return;
  retry_ = loop_.call_at(loop_.now() + kRetry, [this] {
    if (listener_) return await_agent();
    connect();
  });
}

void AgentLink::connect() {
  auto socket = sys::connect_unix(path_);
  if (!socket) return retry_later();
  use(std::move(*socket));
}

void AgentLink::use(Fd socket) {
  socket_ = std::move(socket);
  if (!sys::set_nonblocking(socket_, true)) return retry_later();
  auto watch =
      loop_.watch(socket_.get(), EPOLLIN, [this](std::uint32_t events) { on_ready(events); });
  if (!watch) return retry_later();
  watch_ = std::move(*watch);
  outgoing_.insert(0, channel::encode(channel::ToAgent{channel::Sync{}}));
  flush();
}

Result<void> AgentLink::send(const channel::ToAgent& message) {
  if (closed_) return fail(Errc::unavailable, "the channel to this VM is closed");
  std::string record = channel::encode(message);
  if (outgoing_.size() + record.size() > kMaxOutgoing) {
    return fail(Errc::busy, "the guest does not read its channel");
  }
  outgoing_ += record;
  if (socket_) flush();
  return {};
}

void AgentLink::flush() {
  while (!outgoing_.empty()) {
    const ssize_t sent = ::send(socket_.get(), outgoing_.data(), outgoing_.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) {
      (void)watch_.set_events(EPOLLIN | EPOLLOUT);  // fails only for a dead registration
      return;
    }
    if (sent < 0) return retry_later();
    outgoing_.erase(0, static_cast<std::size_t>(sent));
  }
  std::string().swap(outgoing_);  // it may have held a secret: its memory is not kept
  (void)watch_.set_events(EPOLLIN);
}

void AgentLink::on_ready(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0U) flush();
  if (socket_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0U) read_some();
}

void AgentLink::read_some() {
  std::array<char, kReadSize> buffer{};
  const ssize_t count = ::read(socket_.get(), buffer.data(), buffer.size());
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) return retry_later();
  auto pushed = deframer_.push(std::string_view(buffer.data(), static_cast<std::size_t>(count)));
  if (!pushed) return give_up(pushed.error().what);
  while (auto record = deframer_.pop()) {
    auto message = channel::decode_from_agent(*record);
    if (!message) return give_up(message.error().what);
    handlers_.message(*message);
    if (closed_ || !socket_) return;
  }
}

void AgentLink::give_up(const std::string& why) {
  closed_ = true;
  listening_ = {};
  watch_ = {};
  socket_ = {};
  retry_ = {};
  handlers_.broken(why);
}

}  // namespace mvr::daemon
