// Programs in guests that clients of the control socket talk to: `exec`, and the ssh server. Bytes
// go over the channel both ways; neither side can make the daemon grow, see channel::kStreamWindow.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "channel/message.h"
#include "core/records.h"
#include "sys/loop.h"

namespace mvr::daemon {

class GuestStreams {
 public:
  struct Hooks {
    std::function<Result<void>(core::Slot, const channel::ToAgent&)> send;
    // What the program writes to its standard error, and its end: no code when the VM has gone.
    std::function<void(std::uint64_t client, const std::string& data)> error_output;
    std::function<void(std::uint64_t client, std::optional<int> code)> ended;
  };
  GuestStreams(sys::Loop& loop, Hooks hooks) : loop_(loop), hooks_(std::move(hooks)) {}

  // Returns the client's end of a socket that is the program's input and output; when the client
  // closes it, the program is ended. `argv` empty: the ssh server. `client` names it in the hooks.
  Result<Fd> open(core::Slot slot, const std::string& user, const std::vector<std::string>& argv,
                  std::uint64_t client);
  void handle(core::Slot slot, const channel::StreamData& message);
  void handle(core::Slot slot, const channel::StreamAck& message);
  void handle(core::Slot slot, const channel::Close& message);
  // All streams of a VM end.
  void vm_gone(core::Slot slot);

 private:
  using Key = std::pair<core::Slot, std::uint32_t>;
  struct Stream {
    Fd socket;
    sys::Watch watch;
    std::uint64_t client = 0;
    std::string pending;  // for the client
    bool input_ended = false;
    std::size_t credit = channel::kStreamWindow;
    std::optional<int> exit_code;
  };
  void on_ready(Key key, std::uint32_t events);
  void read_some(Key key, Stream& stream);
  // True when the stream is still there.
  bool write_some(Key key, Stream& stream);
  static void tend(Stream& stream);
  void end(Key key, std::optional<int> code);
  void give_up(Key key);

  sys::Loop& loop_;
  Hooks hooks_;
  std::map<Key, Stream> streams_;
  std::uint32_t last_id_ = 0;
};

}  // namespace mvr::daemon
