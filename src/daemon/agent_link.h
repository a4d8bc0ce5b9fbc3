// The host end of one VM's channel: connects (again and again, until the VMM's socket is there) or
// takes the agent's connections, frames, decodes strictly, bounds both directions. What the guest
// says arrives as messages.
#pragma once

#include <functional>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "channel/message.h"
#include "sys/loop.h"

namespace mvr::daemon {

class AgentLink {
 public:
  struct Handlers {
    std::function<void(const channel::FromAgent&)> message;
    // The guest broke the protocol or the outgoing queue is full; the link is closed for good.
    std::function<void(const std::string& why)> broken;
  };

  AgentLink(sys::Loop& loop, std::string socket, Handlers handlers);
  ~AgentLink();
  AgentLink(const AgentLink&) = delete;
  AgentLink& operator=(const AgentLink&) = delete;

  // Starts connecting. `sync` is sent at each connection, so the agent repeats hello and state.
  void start();
  // Instead: the agent connects to us, again whenever its connection has ended. One at a time.
  // Nobody else may listen at the socket; a file that a dead listener left is replaced.
  Result<void> listen();
  // Queues a message; sent as soon as the guest reads. Err busy when the guest does not read.
  Result<void> send(const channel::ToAgent& message);

 private:
  void connect();
  void accept();
  void await_agent();
  void use(Fd socket);
  void retry_later();
  void on_ready(std::uint32_t events);
  void read_some();
  void flush();
  void give_up(const std::string& why);

  sys::Loop& loop_;
  std::string path_;
  Handlers handlers_;
  Fd listener_;  // where the agent connects to us
  sys::Watch listening_;
  Fd socket_;
  sys::Watch watch_;
  sys::Timer retry_;
  channel::Deframer deframer_;
  std::string outgoing_;
  bool closed_ = false;
};

}  // namespace mvr::daemon
