#include "guest/streams.h"

#include <fcntl.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX's
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "guest/command.h"
#include "guest/ready.h"

namespace mvr::guest {
namespace {

constexpr std::chrono::seconds kLateOutput{2};  // of children that outlive the program
constexpr std::size_t kReadSize = 32'768;

Result<void> set_nonblocking(const Fd& file) {
  if (::fcntl(file.get(), F_SETFL, O_NONBLOCK) == 0) return {};
  return fail_errno(errno, "set a stream to non-blocking");
}

}  // namespace

Result<void> Streams::start_on_socket(Stream& stream, const SpawnSpec& spec, const Fd& error) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail_errno(errno, "create a pair of sockets");
  }
  stream.out = Fd(ends[0]);
  const Fd theirs(ends[1]);
  TRY(set_nonblocking(stream.out));
  TRY_ASSIGN(stream.pid, spawn(spec, Stdio{theirs.get(), theirs.get(), error.get()}));
  return {};
}

Result<void> Streams::start_on_pipes(Stream& stream, const SpawnSpec& spec, const Fd& error) {
  TRY_ASSIGN(Pipe input, make_pipe());
  TRY_ASSIGN(Pipe output, make_pipe());
  TRY(set_nonblocking(input.write));
  TRY(set_nonblocking(output.read));
  TRY_ASSIGN(stream.pid, spawn(spec, Stdio{input.read.get(), output.write.get(), error.get()}));
  stream.in = std::move(input.write);
  stream.out = std::move(output.read);
  return {};
}

Result<void> Streams::start(Stream& stream, const SpawnSpec& spec) {
  TRY_ASSIGN(Pipe error, make_pipe());
  TRY(set_nonblocking(error.read));
  TRY(stream.one_socket ? start_on_socket(stream, spec, error.write)
                        : start_on_pipes(stream, spec, error.write));
  stream.err = std::move(error.read);
  return {};
}

Result<void> Streams::open(std::uint32_t id, const SpawnSpec& spec, bool one_socket) {
  if (streams_.contains(id)) return fail(Errc::exists, "a stream of this number is open");
  if (streams_.size() >= channel::kMaxStreams) {
    return fail(Errc::busy,
                "too many sessions in this VM: at most " + std::to_string(channel::kMaxStreams));
  }
  Stream stream;
  stream.one_socket = one_socket;
  if (auto started = start(stream, spec); !started) {
    send_(channel::StreamData{id, "mvrunner: " + started.error().what + "\n", true});
    send_(channel::Close{id, exit_code_of_failed_start(started.error())});
    return {};
  }
  streams_.emplace(id, std::move(stream));
  return {};
}

void Streams::end_input(Stream& stream) {
  if (stream.one_socket && stream.out) (void)::shutdown(stream.out.get(), SHUT_WR);
  stream.in = Fd();
}

void Streams::handle(channel::StreamData& message) {
  const auto found = streams_.find(message.stream);
  if (found == streams_.end()) return;
  Stream& stream = found->second;
  // More than was acknowledged: the host keeps no count, and is not believed any more.
  if (stream.pending.size() + message.data.size() > channel::kStreamWindow) {
    return handle(channel::Close{message.stream, 0});
  }
  stream.pending += message.data;
  stream.in_ends = stream.in_ends || message.data.empty();
  write_to(found->first, stream);
}

void Streams::handle(const channel::StreamAck& message) {
  const auto found = streams_.find(message.stream);
  if (found == streams_.end()) return;
  std::size_t& credit = found->second.credit;
  credit = std::min<std::size_t>(credit + message.bytes, channel::kStreamWindow);
}

void Streams::handle(const channel::Close& message) {
  const auto found = streams_.find(message.stream);
  if (found == streams_.end()) return;
  if (!found->second.exit_code) ::kill(-found->second.pid, SIGHUP);
  streams_.erase(found);
}

void Streams::close_all() {
  constexpr int kHangUp = 128 + SIGHUP;
  while (!streams_.empty()) {
    const std::uint32_t id = streams_.begin()->first;
    handle(channel::Close{id, 0});
    send_(channel::Close{id, kHangUp});
  }
}

void Streams::reaped(pid_t pid, int wait_status, Time now) {
  for (auto& [id, stream] : streams_) {
    if (stream.pid != pid || stream.exit_code) continue;
    stream.exit_code = exit_code(wait_status);
    stream.give_up_at = now + kLateOutput;
  }
}

void Streams::add_to(std::vector<pollfd>& entries) const {
  for (const auto& [id, stream] : streams_) {
    const short reads = stream.credit > 0 ? POLLIN : 0;
    const short writes = stream.pending.empty() ? 0 : POLLOUT;
    const int both = stream.one_socket ? stream.out.get() : -1;
    if (both >= 0) entries.push_back({both, static_cast<short>(reads | writes), 0});
    if (!stream.one_socket && stream.out && reads != 0) {
      entries.push_back({stream.out.get(), reads, 0});
    }
    if (stream.err && reads != 0) entries.push_back({stream.err.get(), reads, 0});
    if (stream.in && writes != 0) entries.push_back({stream.in.get(), writes, 0});
  }
}

void Streams::read_from(std::uint32_t id, Stream& stream, Fd& from, bool error) {
  std::array<char, kReadSize> buffer{};
  const std::size_t most = std::min(buffer.size(), stream.credit);
  if (!from || most == 0) return;
  const ssize_t got = ::read(from.get(), buffer.data(), most);
  if (got > 0) {
    const auto count = static_cast<std::size_t>(got);
    stream.credit -= count;
    return send_(channel::StreamData{id, std::string(buffer.data(), count), error});
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  from = Fd();
  if (!error) send_(channel::StreamData{id, "", false});
}

void Streams::write_to(std::uint32_t id, Stream& stream) {
  const Fd& to = stream.one_socket ? stream.out : stream.in;
  std::size_t written = 0;
  while (to && !stream.pending.empty()) {
    const ssize_t count = ::write(to.get(), stream.pending.data(), stream.pending.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) break;
    // Nobody reads any more: what is left counts as taken, so that the host's end drains.
    const std::size_t taken = count < 0 ? stream.pending.size() : static_cast<std::size_t>(count);
    stream.pending.erase(0, taken);
    written += taken;
  }
  if (!to) {
    written += stream.pending.size();
    stream.pending.clear();
  }
  if (written > 0) send_(channel::StreamAck{id, static_cast<std::uint32_t>(written)});
  if (stream.pending.empty() && stream.in_ends) end_input(stream);
}

void Streams::serve(const std::vector<pollfd>& entries) {
  constexpr short kReadable = POLLIN | POLLHUP | POLLERR;
  for (auto& [id, stream] : streams_) {
    if (is_ready(entries, stream.out.get(), kReadable)) read_from(id, stream, stream.out, false);
    if (is_ready(entries, stream.err.get(), kReadable)) read_from(id, stream, stream.err, true);
    const int to = stream.one_socket ? stream.out.get() : stream.in.get();
    if (is_ready(entries, to, POLLOUT | POLLERR)) write_to(id, stream);
  }
}

bool Streams::finish(std::uint32_t id, const Stream& stream) {
  if (!stream.exit_code || stream.out || stream.err) return false;
  send_(channel::Close{id, *stream.exit_code});
  return true;
}

void Streams::expire(Time now) {
  for (auto& [id, stream] : streams_) {
    // While the host takes it slowly, there may be more to come.
    if (!stream.give_up_at || *stream.give_up_at > now || stream.credit == 0) continue;
    stream.out = Fd();
    stream.err = Fd();
  }
  std::erase_if(streams_, [this](const auto& each) { return finish(each.first, each.second); });
}

std::optional<Streams::Time> Streams::next_due() const {
  std::optional<Time> first;
  for (const auto& [id, stream] : streams_) {
    const auto& due = stream.give_up_at;
    if (due && stream.credit > 0 && (!first || *due < *first)) first = due;
  }
  return first;
}

}  // namespace mvr::guest
