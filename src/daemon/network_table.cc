// The nft scripts of network.h.
#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "daemon/network.h"

namespace mvr::daemon {
namespace {

// What no guest may reach: this host, private, shared, link-local (metadata), benchmark,
// multicast and reserved ranges (IANA special-purpose registry).
constexpr std::string_view kBlocked =
    "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, "
    "192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3";

// What a VM sends is counted where it comes in, what it receives where it goes out to it.
struct Way {
  std::string_view name;
  std::string_view hook;
  std::string_view interface;
};
constexpr std::array kWays{Way{"sent", "prerouting", "iifname"},
                           Way{"received", "postrouting", "oifname"}};
constexpr std::uint64_t kLeastBurst = std::uint64_t{256} << 10U;

std::string rate_table(const std::string& table) { return table + "_rates"; }

std::string element(const core::SlotNames& names) {
  return "\"" + names.tap + "\" . " + names.guest.to_text();
}

std::string replace_table(const std::string& name, const std::string& body) {
  return "add table inet " + name + "\ndelete table inet " + name + "\ntable inet " + name +
         " {\n" + body + "}\n";
}

// "a.b.c.d/n" or "a.b.c.d:port" of network.allow as an nft match.
std::string allow_rule(const std::string& entry, const std::string& taps, const std::string& veth) {
  const auto colon = entry.find(':');
  const std::string from = "    iifname \"" + taps + "\" oifname \"" + veth + "\" ip daddr ";
  if (colon == std::string::npos) return from + entry + " accept\n";
  return from + entry.substr(0, colon) + " tcp dport " + entry.substr(colon + 1) + " accept\n";
}

// VMs reach the mirror, nobody else but this host itself does, and its numbers are the daemon's.
std::string mirror_input(const core::HostNames& host) {
  const std::string to = " ip daddr " + host.uplink_host.to_text() + " tcp dport ";
  return "    iifname \"" + host.veth_host + "\"" + to + std::to_string(kMirrorPort) +
         " accept\n    iifname != \"lo\"" + to + "{ " + std::to_string(kMirrorPort) + ", " +
         std::to_string(kMirrorDebugPort) + " } drop\n";
}

std::string set_text(const std::string& name, const std::string& type,
                     const std::string& elements) {
  std::string text = "  set " + name + " {\n    type " + type + "\n";
  if (!elements.empty()) text += "    elements = { " + elements + " }\n";
  return text + "  }\n";
}

// Collects what differs between the tables' readers: rules of one instance's taps.
class GuestTable {
 public:
  GuestTable(const core::Config& config, const GuestPolicy& policy)
      : config_(config),
        policy_(policy),
        host_(core::host_names(config)),
        from_tap_("    iifname \"" + config.instance + "t*\" "),
        to_host_("oifname \"" + host_.veth_guest + "\" ") {}

  std::string text() {
    add_sets();
    add_antispoof();
    add_dns();
    add_forward();
    add_input();
    body_ += "  chain nat {\n    type nat hook postrouting priority srcnat; policy accept;\n    " +
             to_host_ + "masquerade\n  }\n";
    return replace_table(host_.nft_table, body_);
  }

 private:
  void add_sets() {
    std::string all;
    std::map<std::string, std::string> taps;
    for (const Guest& guest : policy_.guests) {
      const core::SlotNames names = core::slot_names(config_, guest.slot);
      all += (all.empty() ? "" : ", ") + element(names);
      std::string& of_gate = taps[gate_tag(config_, guest.egress)];
      of_gate += (of_gate.empty() ? "\"" : ", \"") + names.tap + "\"";
    }
    body_ += set_text("vms", "ifname . ipv4_addr", all);
    for (const Gate& gate : policy_.gates) {
      body_ += set_text(gate.taps(), "ifname", taps[gate.tag]);
      for (unsigned turn = 0; gate.is_limited && turn < 2; ++turn) {
        const auto kept = policy_.reached.find(gate.reached(turn));
        body_ += set_text(gate.reached(turn), "ipv4_addr",
                          kept == policy_.reached.end() ? "" : kept->second);
      }
    }
  }

  // Before routing and NAT: a frame from a tap carries the address of that tap, or nothing.
  void add_antispoof() {
    body_ += "  chain antispoof {\n    type filter hook prerouting priority raw; policy accept;\n" +
             from_tap_ + "meta nfproto != ipv4 drop\n" + from_tap_ +
             "iifname . ip saddr != @vms drop\n  }\n";
  }

  void add_dns() {
    body_ += "  chain dns {\n    type nat hook prerouting priority dstnat; policy accept;\n";
    for (const char* protocol : {"udp", "tcp"}) {
      const std::string question = std::string("fib daddr type local ") + protocol + " dport 53 ";
      for (const Gate& gate : policy_.gates) {
        body_ += "    iifname @" + gate.taps() + " " + question + "dnat ip to " +
                 host_.uplink_guest.to_text() + ":" + std::to_string(gate.port) + "\n";
      }
      body_ += from_tap_ + question + "dnat ip to " + host_.uplink_host.to_text() + ":" +
               std::to_string(kResolverPort) + "\n";
    }
    body_ += "  }\n";
  }

  void add_forward() {
    const std::string resolver = host_.uplink_host.to_text();
    body_ +=
        "  chain forward {\n    type filter hook forward priority filter; policy drop;\n"
        "    ct state established,related accept\n";
    // The resolver that knows all names is not for VMs behind a gate.
    for (const Gate& gate : policy_.gates) {
      body_ += "    iifname @" + gate.taps() + " ip daddr " + resolver +
               " meta l4proto { tcp, udp } " + "th dport " + std::to_string(kResolverPort) +
               " drop\n";
    }
    for (const char* protocol : {"udp", "tcp"}) {
      body_ += from_tap_ + to_host_ + "ip daddr " + resolver + " " + protocol + " dport " +
               std::to_string(kResolverPort) + " accept\n";
    }
    if (config_.registry_mirror.enabled) {
      body_ += from_tap_ + to_host_ + "ip daddr " + resolver + " tcp dport " +
               std::to_string(kMirrorPort) + " accept\n";
    }
    for (const auto& entry : config_.network.allow) {
      body_ += allow_rule(entry, config_.instance + "t*", host_.veth_guest);
    }
    body_ += from_tap_ + "ip daddr { " + std::string(kBlocked) + " } drop\n";
    for (const Gate& gate : policy_.gates) {
      if (!gate.is_limited) continue;
      const std::string from = "    iifname @" + gate.taps() + " ";
      for (unsigned turn = 0; turn < 2; ++turn) {
        body_ += from + to_host_ + "ip daddr @" + gate.reached(turn) + " accept\n";
      }
      body_ += from + "drop\n";
    }
    body_ += from_tap_ + to_host_ + "accept\n  }\n";
  }

  void add_input() {
    body_ +=
        "  chain input {\n    type filter hook input priority filter; policy drop;\n"
        "    iifname \"lo\" accept\n    ct state established,related accept\n";
    for (const Gate& gate : policy_.gates) {
      body_ += "    iifname @" + gate.taps() + " ip daddr " + host_.uplink_guest.to_text() +
               " meta l4proto { tcp, udp } th dport " + std::to_string(gate.port) + " accept\n";
    }
    body_ += "  }\n";
  }

  const core::Config& config_;
  const GuestPolicy& policy_;
  core::HostNames host_;
  std::string from_tap_;
  std::string to_host_;
  std::string body_;
};

}  // namespace

std::string tap_element(const core::SlotNames& names) { return element(names); }

std::string render_guest_table(const core::Config& config, const GuestPolicy& policy) {
  return GuestTable(config, policy).text();
}

// Apart from the policy: that is replaced as a whole, and these rules are of one VM each.
std::string render_rate_table(const std::string& policy) {
  const std::string table = rate_table(policy);
  std::string script = "add table inet " + table + "\n";
  for (const auto& [way, hook, interface] : kWays) {
    const std::string chain = "inet " + table + " " + std::string(way);
    script += "add map " + chain + "_of { type ifname : verdict; }\nadd chain " + chain +
              " { type filter hook " + std::string(hook) + " priority raw; policy accept; }\n" +
              "flush chain " + chain + "\nadd rule " + chain + " " + std::string(interface) +
              " vmap @" + std::string(way) + "_of\n";
  }
  return script;
}

std::string add_rate(const std::string& policy, const std::string& tap, Bytes rate) {
  // What TCP sends in a burst, and a fifth of a second besides: with less it never gets to the
  // rate.
  const std::uint64_t burst = std::max<std::uint64_t>(rate.value / 5, kLeastBurst);
  std::string script;
  for (const auto& [way, hook, interface] : kWays) {
    const std::string table = "inet " + rate_table(policy) + " ";
    const std::string chain = std::string(way) + "_" + tap;
    script += "add chain " + table + chain + "\nflush chain " + table + chain + "\nadd rule " +
              table + chain + " limit rate over " + std::to_string(rate.value) +
              " bytes/second burst " + std::to_string(burst) + " bytes drop\nadd element " + table +
              std::string(way) + "_of { \"" + tap + "\" : goto " + chain + " }\n";
  }
  return script;
}

std::string drop_rate(const std::string& policy, const std::string& tap) {
  std::string script;
  for (const auto& [way, hook, interface] : kWays) {
    const std::string table = "inet " + rate_table(policy) + " ";
    const std::string chain = table + std::string(way) + "_" + tap;
    const std::string element = " element " + table + std::string(way) + "_of { \"" + tap + "\"";
    script += "add chain " + chain + "\nadd" + element + " : goto " + std::string(way) + "_" + tap +
              " }\ndelete" + element + " }\nflush chain " + chain + "\ndelete chain " + chain +
              "\n";
  }
  return script;
}

std::set<std::string> limited_taps(std::string_view table) {
  // Each has an element `"mvrt3" : goto sent_mvrt3`.
  const std::string goes = " : goto " + std::string(kWays[0].name) + "_";
  std::set<std::string> taps;
  for (auto at = table.find(goes); at != std::string_view::npos; at = table.find(goes, at + 1)) {
    const std::string_view rest = table.substr(at + goes.size());
    taps.emplace(rest.substr(0, rest.find_first_of(" ,\n}")));
  }
  return taps;
}

std::string render_host_table(const core::Config& config) {
  const core::HostNames host = core::host_names(config);
  const std::string from_veth = "    iifname \"" + host.veth_host + "\" ";
  const std::string port = std::to_string(kResolverPort);
  std::string body =
      "  chain input {\n    type filter hook input priority filter - 10; policy accept;\n" +
      from_veth + "ct state established,related accept\n";
  for (const char* protocol : {"udp", "tcp"}) {
    body += from_veth + "ip daddr " + host.uplink_host.to_text() + " " + protocol + " dport " +
            port + " accept\n";
  }
  if (config.registry_mirror.enabled) body += mirror_input(host);
  body += from_veth + "drop\n  }\n";
  body +=
      "  chain nat {\n    type nat hook postrouting priority srcnat; policy accept;\n    ip "
      "saddr " +
      host.uplink_guest.to_text() + " oifname != \"" + host.veth_host + "\" masquerade\n  }\n";
  return replace_table(host.nft_table, body);
}

}  // namespace mvr::daemon
