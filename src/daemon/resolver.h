// The supervised dnsmasq that answers the guests' DNS. It runs on the host side of the veth pair,
// so that it reaches whatever resolver the host uses, a loopback one included, and follows changes
// of the host's resolv.conf by itself.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "core/config.h"
#include "sys/loop.h"
#include "sys/process.h"

namespace mvr::daemon {

// dnsmasq's arguments for this config (pure).
std::vector<std::string> resolver_arguments(const core::Config& config);

struct ResolverSpec {
  std::vector<std::string> arguments;
  int netns_fd = -1;  // where it runs, and whose sets it may fill; -1: here
  std::function<void(std::string_view)> line;  // of its standard error; none: it goes to ours
};

// Restarts dnsmasq when it ends, with back-off. It dies with the daemon.
class Resolver {
 public:
  static Result<std::unique_ptr<Resolver>> start(sys::Loop& loop, ResolverSpec spec);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

 private:
  Resolver(sys::Loop& loop, ResolverSpec spec) : loop_(loop), spec_(std::move(spec)) {}
  Result<void> spawn();
  void read_lines();
  void on_exit();
  void retry();

  sys::Loop& loop_;
  ResolverSpec spec_;
  Fd lines_;
  std::string partial_;
  std::string last_;  // line
  sys::Watch lines_watch_;
  sys::Process process_;
  sys::Watch watch_;
  sys::Timer retry_;
  std::uint32_t failures_ = 0;
};

}  // namespace mvr::daemon
