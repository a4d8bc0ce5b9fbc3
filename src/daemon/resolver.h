// The supervised dnsmasq that answers the guests' DNS. It runs on the host side of the veth pair,
// so that it reaches whatever resolver the host uses, a loopback one included, and follows changes
// of the host's resolv.conf by itself.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/config.h"
#include "sys/loop.h"
#include "sys/process.h"

namespace mvr::daemon {

// dnsmasq's arguments for this config (pure).
std::vector<std::string> resolver_arguments(const core::Config& config);

// Restarts dnsmasq when it ends, with back-off. It dies with the daemon.
class Resolver {
 public:
  static Result<std::unique_ptr<Resolver>> start(sys::Loop& loop, const core::Config& config);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

 private:
  explicit Resolver(sys::Loop& loop) : loop_(loop) {}
  Result<void> spawn();
  void on_exit();
  void retry();

  sys::Loop& loop_;
  std::vector<std::string> arguments_;
  sys::Process process_;
  sys::Watch watch_;
  sys::Timer retry_;
  std::uint32_t failures_ = 0;
};

}  // namespace mvr::daemon
