// A gate: how VMs that may not reach everything get out. They resolve names at a dnsmasq of the
// gate's own, which knows the names they may reach and refuses all others, so that no name carries
// anything out either. What it answers it puts into the firewall's sets of the gate; the VMs reach
// what is in these.
//
// The sets are two. Each is emptied every half an hour, in turn, and an answer is good for ten
// minutes: what was asked for is in one of them for a quarter of an hour at least.
//
// VMs whose profile says `learn` have a gate that lets all pass and tells what was asked for.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "core/config.h"
#include "core/names.h"

namespace mvr::daemon {

inline constexpr Duration kGateTurn{15 * 60'000};  // between the emptying of one set and the other
inline constexpr unsigned kGateAnswer = 600;       // seconds

// A VM as the firewall sees it.
struct Guest {
  core::Slot slot = 0;
  core::Egress egress;
};

struct Gate {
  std::string tag;    // part of its sets' names
  unsigned port = 0;  // of its resolver, on the VMs' side of the veth pair
  bool is_limited = true;
  std::vector<std::string> names;  // sorted; with what is below them
  [[nodiscard]] std::string taps() const { return "taps_" + tag; }
  [[nodiscard]] std::string reached(unsigned turn) const {
    return "reached_" + tag + (turn % 2 == 0 ? "_a" : "_b");
  }
  friend bool operator==(const Gate&, const Gate&) = default;
};

// Of the gate that VMs with this egress have; empty: they have none.
std::string gate_tag(const core::Config& config, const core::Egress& egress);
// Whether a new configuration changes the firewall (pure).
bool is_policy_changed(const core::Config& current, const core::Config& wanted);
// Those that profiles, trials and these VMs need, by tag, each with a port of its own.
std::vector<Gate> gates_of(const core::Config& config, const std::vector<Guest>& guests);

// dnsmasq's arguments for a gate (pure).
std::vector<std::string> gate_arguments(const core::Config& config, const Gate& gate);

// A query in dnsmasq's log: "query[A] example.com from 10.231.0.2". Empty: the line is another.
struct Query {
  std::string name;  // lower case, printable
  core::Ipv4 from;
};
std::optional<Query> query_of(std::string_view line);

// Whether the gate resolves this name.
bool passes(const Gate& gate, std::string_view name);

}  // namespace mvr::daemon
