// The resolvers of all gates: one dnsmasq each, in the VMs' namespace.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "core/config.h"
#include "daemon/gate.h"
#include "daemon/network.h"
#include "daemon/resolver.h"
#include "sys/loop.h"

namespace mvr::daemon {

class GateResolvers {
 public:
  using Asked = std::function<void(const Gate& gate, const Query& query)>;
  // `asked`: of every query, whether or not the gate passes it.
  GateResolvers(sys::Loop& loop, Network& network, Asked asked);
  // Starts those that the network's gates lack, and ends those of gates that are gone.
  Result<void> follow(const core::Config& config);

 private:
  struct One {
    Gate gate;
    std::unique_ptr<Resolver> resolver;
  };
  void turn();

  sys::Loop& loop_;
  Network& network_;
  Asked asked_;
  std::map<std::string, One> ones_;  // by the gate's tag
  sys::Timer timer_;
  unsigned turn_ = 0;
};

}  // namespace mvr::daemon
