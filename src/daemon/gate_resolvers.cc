#include "daemon/gate_resolvers.h"

#include <algorithm>
#include <utility>

#include "daemon/journal.h"

namespace mvr::daemon {

GateResolvers::GateResolvers(sys::Loop& loop, Network& network, Asked asked)
    : loop_(loop), network_(network), asked_(std::move(asked)) {
  timer_ = loop_.call_at(loop_.now() + kGateTurn, [this] { turn(); });
}

Result<void> GateResolvers::follow(const core::Config& config) {
  const std::vector<Gate>& gates = network_.gates();
  // A gate of the same name is the same; its port may be another.
  std::erase_if(ones_, [&](const auto& one) {
    return std::find(gates.begin(), gates.end(), one.second.gate) == gates.end();
  });
  for (const Gate& gate : gates) {
    if (ones_.contains(gate.tag)) continue;
    ResolverSpec spec;
    spec.arguments = gate_arguments(config, gate);
    spec.netns_fd = network_.netns().get();
    spec.line = [this, gate](std::string_view line) {
      if (const auto query = query_of(line)) asked_(gate, *query);
    };
    TRY_ASSIGN(auto resolver, context(Resolver::start(loop_, std::move(spec)),
                                      "dnsmasq of a gate (Debian package dnsmasq-base)"));
    ones_.emplace(gate.tag, One{gate, std::move(resolver)});
  }
  return {};
}

void GateResolvers::turn() {
  timer_ = loop_.call_at(loop_.now() + kGateTurn, [this] { turn(); });
  if (auto forgotten = network_.forget_reached(turn_++); !forgotten) {
    log(Level::warn, "gate_not_turned", with_error({}, forgotten.error()));
  }
}

}  // namespace mvr::daemon
