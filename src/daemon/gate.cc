#include "daemon/gate.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <set>

#include "base/text.h"
#include "daemon/network.h"

namespace mvr::daemon {
namespace {

constexpr unsigned kFirstPort = 20'000;
constexpr unsigned kPorts = 10'000;
constexpr std::size_t kLongestName = 253;
constexpr const char* kLearn = "learn";

std::string hex_tag(const std::vector<std::string>& names) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::uint64_t value = stable_hash(join(names, " "));
  std::string tag;
  for (int i = 0; i < 8; ++i, value >>= 4U) tag += kDigits[value & 0xfU];
  return tag;
}

// Nearly always the same for the same gate, whatever others there are.
unsigned free_port(const std::string& tag, const std::set<unsigned>& taken) {
  auto port = static_cast<unsigned>(stable_hash(tag) % kPorts);
  while (taken.contains(kFirstPort + port)) port = (port + 1) % kPorts;
  return kFirstPort + port;
}

}  // namespace

std::string gate_tag(const core::Config& config, const core::Egress& egress) {
  if (egress.mode == core::EgressMode::learn) return kLearn;
  if (!core::is_limited(egress)) return {};
  return hex_tag(core::egress_names(egress, config.github.url));
}

std::vector<Gate> gates_of(const core::Config& config, const std::vector<Guest>& guests) {
  std::map<std::string, Gate> found;
  const auto add = [&](const core::Egress& egress) {
    Gate gate;
    gate.tag = gate_tag(config, egress);
    if (gate.tag.empty()) return;
    gate.is_limited = core::is_limited(egress);
    if (gate.is_limited) gate.names = core::egress_names(egress, config.github.url);
    found.emplace(gate.tag, std::move(gate));
  };
  for (const core::Profile& profile : config.profiles) add(profile.egress);
  for (const core::Profile& profile : config.trials) add(profile.egress);
  for (const Guest& guest : guests) add(guest.egress);
  std::vector<Gate> gates;
  std::set<unsigned> taken;
  for (auto& [tag, gate] : found) {
    gate.port = free_port(tag, taken);
    taken.insert(gate.port);
    gates.push_back(std::move(gate));
  }
  return gates;
}

bool is_policy_changed(const core::Config& current, const core::Config& wanted) {
  return current.network.allow != wanted.network.allow ||
         gates_of(current, {}) != gates_of(wanted, {});
}

std::vector<std::string> gate_arguments(const core::Config& config, const Gate& gate) {
  const core::HostNames host = core::host_names(config);
  const std::string upstream = host.uplink_host.to_text() + "#" + std::to_string(kResolverPort);
  std::vector<std::string> arguments{
      "dnsmasq",
      "--keep-in-foreground",
      "--conf-file=/dev/null",
      "--pid-file=",
      "--no-hosts",
      "--no-resolv",
      "--bind-interfaces",
      "--except-interface=lo",
      "--listen-address=" + host.uplink_guest.to_text(),
      "--port=" + std::to_string(gate.port),
      // Every question goes on, and its answer into the sets: the resolver behind has the cache.
      "--cache-size=0",
      "--max-ttl=" + std::to_string(kGateAnswer),
      "--log-queries",
      "--log-facility=-",
  };
  if (!gate.is_limited) {
    arguments.push_back("--server=" + upstream);
    return arguments;
  }
  const std::string set = "4#inet#" + host.nft_table + "#";
  const std::string sets = set + gate.reached(0) + "," + set + gate.reached(1);
  for (const std::string& name : gate.names) {
    arguments.push_back("--server=/" + name + "/" + upstream);
    arguments.push_back("--nftset=/" + name + "/" + sets);
  }
  return arguments;
}

std::optional<Query> query_of(std::string_view line) {
  constexpr std::string_view kFrom = " from ";
  // Also HTTPS and others: whoever asks for one asks for an address as well.
  for (const std::string_view kind : {"query[A] ", "query[AAAA] "}) {
    const auto at = line.find(kind);
    if (at == std::string_view::npos) continue;
    const std::string_view rest = line.substr(at + kind.size());
    const auto end = rest.rfind(kFrom);
    if (end == std::string_view::npos || end == 0 || end > kLongestName) return std::nullopt;
    const auto from = core::parse_ipv4(rest.substr(end + kFrom.size()));
    if (!from) return std::nullopt;
    return Query{printable(ascii_lower(std::string(rest.substr(0, end))), kLongestName), *from};
  }
  return std::nullopt;
}

bool passes(const Gate& gate, std::string_view name) {
  if (!gate.is_limited) return true;
  return std::any_of(gate.names.begin(), gate.names.end(),
                     [name](const std::string& each) { return core::is_covered_by(name, each); });
}

}  // namespace mvr::daemon
