// The agent's end of the channel: a virtio-serial port.
//
// The kernel shows an absent host as POLLHUP, a read of 0 bytes and, for bytes written in that
// moment, silent loss. So nothing is written while the host is away, and the agent's answer to
// `sync` repeats hello and state. SIGIO (to this process) tells that the host came or went.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "channel/message.h"
#include "guest/outbox.h"

namespace mvr::guest {

class Port {
 public:
  static bool is_present();
  // Waits until the port named channel::kPortName is there.
  static Result<Port> open(std::chrono::milliseconds limit);

  [[nodiscard]] int descriptor() const { return file_.get(); }
  [[nodiscard]] bool is_connected() const { return connected_; }
  // Looks whether the host is there now. A returning host gets a begun record from its start.
  void refresh(Outbox& outbox);
  // Takes what has arrived: whole records, at most what one read gives. Err: bytes that are no
  // records of ours were dropped; reading goes on.
  Result<std::vector<std::string>> receive();
  // Writes as much as the host takes now; true when something is left.
  Result<bool> send(Outbox& outbox);

 private:
  explicit Port(Fd file) : file_(std::move(file)) {}

  Fd file_;
  bool connected_ = false;
  channel::Deframer deframer_;
};

}  // namespace mvr::guest
