// Programs somebody at the host talks to: `exec`, and one `sshd -i` per connection. Their input and
// output go over the channel, so that they work whatever the job made of the guest's network.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "channel/message.h"
#include "guest/process.h"

namespace mvr::guest {

class Streams {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Send = std::function<void(const channel::FromAgent&)>;
  explicit Streams(Send send) : send_(std::move(send)) {}

  // `one_socket`: input and output are one socket, as sshd wants them. Err exists or busy; a
  // program that cannot be started is told as its exit, with the reason on its standard error.
  Result<void> open(std::uint32_t id, const SpawnSpec& spec, bool one_socket);
  // What comes for a stream that is not open any more is dropped: it crossed the news.
  void handle(channel::StreamData& message);
  void handle(const channel::StreamAck& message);
  void handle(const channel::Close& message);
  // The host has lost sight of all of them.
  void close_all();

  void reaped(pid_t pid, int wait_status, Time now);
  void add_to(std::vector<pollfd>& entries) const;
  // After poll(): reads and writes what is ready.
  void serve(const std::vector<pollfd>& entries);
  // Ends what has exited and holds its output open.
  void expire(Time now);
  [[nodiscard]] std::optional<Time> next_due() const;

 private:
  struct Stream {
    pid_t pid = -1;
    Fd in;  // of a socket, the same as out
    Fd out;
    Fd err;
    bool one_socket = false;
    std::string pending;  // for `in`
    bool in_ends = false;
    std::size_t credit = channel::kStreamWindow;  // what may still be sent
    std::optional<int> exit_code;
    std::optional<Time> give_up_at;
  };
  Result<void> start(Stream& stream, const SpawnSpec& spec);
  static Result<void> start_on_socket(Stream& stream, const SpawnSpec& spec, const Fd& error);
  static Result<void> start_on_pipes(Stream& stream, const SpawnSpec& spec, const Fd& error);
  void read_from(std::uint32_t id, Stream& stream, Fd& from, bool error);
  void write_to(std::uint32_t id, Stream& stream);
  static void end_input(Stream& stream);
  // Tells the host of the exit once all output has gone; true when the stream is over.
  bool finish(std::uint32_t id, const Stream& stream);

  Send send_;
  std::map<std::uint32_t, Stream> streams_;
};

}  // namespace mvr::guest
