// The agent's end of the channel: a virtio-serial port or, where the VM has vsock instead, a
// connection out to the host, made again whenever it has ended.
//
// Of a port the kernel shows an absent host as POLLHUP, a read of 0 bytes and, for bytes written in
// that moment, silent loss. So nothing is written while the host is away, and the agent's answer to
// `sync` repeats hello and state. SIGIO (to this process) tells that the host came or went.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "channel/message.h"
#include "guest/outbox.h"

namespace mvr::guest {

class Port {
 public:
  using Connect = std::function<Result<Fd>()>;

  static bool is_present();
  // Waits until the port named channel::kPortName or vsock is there.
  static Result<Port> open(std::chrono::milliseconds limit);
  // Over the sockets that `connect` makes.
  static Port over(Connect connect) { return Port(Fd(), std::move(connect)); }

  // -1: the host is away.
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
  Port(Fd file, Connect connect) : file_(std::move(file)), connect_(std::move(connect)) {}
  static Result<Port> open_serial(const std::string& path);
  void refresh_socket(Outbox& outbox);
  void lose_host();

  Fd file_;
  Connect connect_;  // none: a virtio-serial port
  bool connected_ = false;
  channel::Deframer deframer_;
};

}  // namespace mvr::guest
