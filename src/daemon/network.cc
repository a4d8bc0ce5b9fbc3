#include "daemon/network.h"

#include <algorithm>

#include "daemon/fail_point.h"
#include "sys/net.h"
#include "sys/nft.h"
#include "sys/process.h"

namespace mvr::daemon {
namespace {

constexpr unsigned kPrefix = 30;

// What no guest may reach: this host, private, shared, link-local (metadata), benchmark,
// multicast and reserved ranges (IANA special-purpose registry).
constexpr std::string_view kBlocked =
    "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, "
    "192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3";

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

// A kernel without IPv6 has nothing to switch off.
Result<void> disable_ipv6(const Fd* netns, const std::string& interface) {
  auto written = sys::write_sysctl(netns, "net/ipv6/conf/" + interface + "/disable_ipv6", "1");
  if (!written && written.error().code == Errc::not_found) return {};
  return written;
}

// Every step holds when it was done before: a start that was cut off is completed by the next.
Result<void> make_veth(const core::HostNames& names, const Fd& netns) {
  if (!sys::interface_exists(names.veth_host)) {
    TRY(context(sys::ip_batch(nullptr, "link add " + names.veth_host + " type veth peer name " +
                                           names.veth_guest + " netns " + names.netns + "\n"),
                "make the veth pair " + names.veth_host));
  }
  fail_point("veth made");
  TRY(disable_ipv6(nullptr, names.veth_host));
  TRY(sys::ip_batch(nullptr, "addr replace " + names.uplink_host.to_text() + "/30 dev " +
                                 names.veth_host + "\nlink set " + names.veth_host + " up\n"));
  fail_point("veth up on the host");
  return sys::ip_batch(&netns, "addr replace " + names.uplink_guest.to_text() + "/30 dev " +
                                   names.veth_guest + "\nlink set " + names.veth_guest +
                                   " up\nroute replace default via " + names.uplink_host.to_text() +
                                   "\n");
}

Result<void> set_sysctls(const Fd& netns) {
  TRY(sys::write_sysctl(&netns, "net/ipv4/ip_forward", "1"));
  TRY(sys::write_sysctl(&netns, "net/ipv4/conf/all/rp_filter", "1"));
  TRY(disable_ipv6(&netns, "all"));
  TRY(disable_ipv6(&netns, "default"));
  return sys::write_sysctl(nullptr, "net/ipv4/ip_forward", "1");
}

}  // namespace

std::string render_guest_table(const core::Config& config, const std::vector<core::Slot>& slots) {
  const core::HostNames host = core::host_names(config);
  const std::string taps = config.instance + "t*";
  const std::string from_tap = "    iifname \"" + taps + "\" ";
  const std::string resolver = host.uplink_host.to_text();
  std::string elements;
  for (const core::Slot slot : slots) {
    elements += (elements.empty() ? "" : ", ") + element(core::slot_names(config, slot));
  }
  std::string body = "  set vms {\n    type ifname . ipv4_addr\n";
  if (!elements.empty()) body += "    elements = { " + elements + " }\n";
  body += "  }\n";
  // Before routing and NAT: a frame from a tap carries the address of that tap, or nothing.
  body += "  chain antispoof {\n    type filter hook prerouting priority raw; policy accept;\n" +
          from_tap + "meta nfproto != ipv4 drop\n" + from_tap +
          "iifname . ip saddr != @vms drop\n  }\n";
  body += "  chain dns {\n    type nat hook prerouting priority dstnat; policy accept;\n";
  for (const char* protocol : {"udp", "tcp"}) {
    body += from_tap + "fib daddr type local " + protocol + " dport 53 dnat ip to " + resolver +
            ":" + std::to_string(kResolverPort) + "\n";
  }
  body += "  }\n  chain forward {\n    type filter hook forward priority filter; policy drop;\n";
  body += "    ct state established,related accept\n";
  for (const char* protocol : {"udp", "tcp"}) {
    body += from_tap + "oifname \"" + host.veth_guest + "\" ip daddr " + resolver + " " + protocol +
            " dport " + std::to_string(kResolverPort) + " accept\n";
  }
  if (config.registry_mirror.enabled) {
    body += from_tap + "oifname \"" + host.veth_guest + "\" ip daddr " + resolver + " tcp dport " +
            std::to_string(kMirrorPort) + " accept\n";
  }
  for (const auto& entry : config.network.allow) body += allow_rule(entry, taps, host.veth_guest);
  body += from_tap + "ip daddr { " + std::string(kBlocked) + " } drop\n";
  body += from_tap + "oifname \"" + host.veth_guest + "\" accept\n  }\n";
  body +=
      "  chain input {\n    type filter hook input priority filter; policy drop;\n"
      "    iifname \"lo\" accept\n    ct state established,related accept\n  }\n";
  body +=
      "  chain nat {\n    type nat hook postrouting priority srcnat; policy accept;\n"
      "    oifname \"" +
      host.veth_guest + "\" masquerade\n  }\n";
  return replace_table(host.nft_table, body);
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

Result<void> Network::make_namespace(const core::Config& config) {
  const std::string name = core::host_names(config).netns;
  return context(sys::open_netns(name).map([](const Fd&) {}), "network namespace " + name);
}

Result<Network> Network::up(const core::Config& config, const std::vector<core::Slot>& slots) {
  const core::HostNames names = core::host_names(config);
  Network network;
  network.table_ = names.nft_table;
  TRY_ASSIGN(network.netns_,
             context(sys::open_netns(names.netns), "network namespace " + names.netns));
  fail_point("namespace made");
  TRY(set_sysctls(network.netns_));
  fail_point("sysctls set");
  // The policy stands before there is a way out.
  TRY(context(sys::nft_apply(&network.netns_, render_guest_table(config, slots)),
              "guest firewall"));
  fail_point("guest firewall set");
  TRY(context(sys::nft_apply(nullptr, render_host_table(config)), "host firewall"));
  fail_point("host firewall set");
  TRY(make_veth(names, network.netns_));
  fail_point("network up");
  return network;
}

Result<void> Network::set_policy(const core::Config& config, const std::vector<core::Slot>& slots) {
  return context(sys::nft_apply(&netns_, render_guest_table(config, slots)), "guest firewall");
}

Result<Fd> Network::attach(const core::SlotNames& names) {
  TRY_ASSIGN(Fd tap, sys::create_tap(netns_, names.tap, names.gateway.to_text(), kPrefix));
  fail_point("tap made");
  TRY(context(
      sys::nft_apply(&netns_, "add element inet " + table_ + " vms { " + element(names) + " }\n"),
      "bind " + names.tap + " to " + names.guest.to_text()));
  fail_point("tap bound");
  return tap;
}

Result<void> Network::detach(const core::SlotNames& names) {
  // Adding first makes the deletion of an absent element succeed, in the same transaction.
  const std::string one = " element inet " + table_ + " vms { " + element(names) + " }\n";
  TRY(sys::nft_apply(&netns_, "add" + one + "delete" + one));
  fail_point("tap unbound");
  return context(sys::remove_tap(netns_, names.tap), "remove " + names.tap);
}

Result<void> Network::down(const core::Config& config) {
  const core::HostNames names = core::host_names(config);
  if (sys::interface_exists(names.veth_host)) {
    TRY(sys::ip_batch(nullptr, "link del " + names.veth_host + "\n"));
  }
  fail_point("veth removed");
  TRY(sys::nft_apply(nullptr, "add table inet " + names.nft_table + "\ndelete table inet " +
                                  names.nft_table + "\n"));
  fail_point("host firewall removed");
  TRY(sys::remove_netns(names.netns));
  fail_point("namespace removed");
  return {};
}

}  // namespace mvr::daemon
