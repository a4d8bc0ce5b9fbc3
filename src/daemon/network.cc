#include "daemon/network.h"

#include <algorithm>

#include "base/text.h"
#include "daemon/fail_point.h"
#include "sys/net.h"
#include "sys/process.h"

namespace mvr::daemon {
namespace {

constexpr unsigned kPrefix = 30;

// "elements = { 192.0.2.1, 192.0.2.7 }" of `nft list set`; what follows an address is dropped.
std::string listed_addresses(std::string_view listing) {
  const auto begin = listing.find("elements = {");
  if (begin == std::string_view::npos) return {};
  listing.remove_prefix(begin + std::string_view("elements = {").size());
  std::string all;
  for (const std::string_view item : split(listing.substr(0, listing.find('}')), ',')) {
    const auto first = item.find_first_not_of(" \t\n");
    if (first == std::string_view::npos) continue;
    const auto address =
        core::parse_ipv4(item.substr(first, item.find_last_not_of(" \t\n") + 1 - first));
    if (address) all += (all.empty() ? "" : ", ") + address->to_text();
  }
  return all;
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

Result<void> Network::make_namespace(const core::Config& config) {
  const std::string name = core::host_names(config).netns;
  return context(sys::open_netns(name).map([](const Fd&) {}), "network namespace " + name);
}

Result<Network> Network::up(const core::Config& config, const std::vector<Guest>& guests) {
  const core::HostNames names = core::host_names(config);
  Network network;
  network.table_ = names.nft_table;
  TRY_ASSIGN(network.netns_,
             context(sys::open_netns(names.netns), "network namespace " + names.netns));
  TRY_ASSIGN(network.nft_, sys::Nft::open(&network.netns_));
  fail_point("namespace made");
  TRY(set_sysctls(network.netns_));
  fail_point("sysctls set");
  // The policy stands before there is a way out.
  TRY(network.apply(config, guests));
  TRY(context(network.take_rates(), "rates of VMs"));
  fail_point("guest firewall set");
  TRY(context(sys::nft_apply(nullptr, render_host_table(config)), "host firewall"));
  fail_point("host firewall set");
  TRY(make_veth(names, network.netns_));
  fail_point("network up");
  return network;
}

// Of sets that are there: after a restart, and before a change.
std::map<std::string, std::string> Network::reached(const std::vector<Gate>& gates) {
  std::map<std::string, std::string> found;
  for (const Gate& gate : gates) {
    for (unsigned turn = 0; gate.is_limited && turn < 2; ++turn) {
      const std::string set = gate.reached(turn);
      const auto listing = nft_.list("list set inet " + table_ + " " + set);
      if (listing) found[set] = listed_addresses(*listing);
    }
  }
  return found;
}

Result<void> Network::apply(const core::Config& config, const std::vector<Guest>& guests) {
  GuestPolicy policy;
  policy.guests = guests;
  policy.gates = gates_of(config, guests);
  policy.reached = reached(policy.gates);
  TRY(context(nft_.apply(render_guest_table(config, policy)), "guest firewall"));
  gates_ = std::move(policy.gates);
  return {};
}

// The table, and the taps that a former daemon has put into it.
Result<void> Network::take_rates() {
  TRY(nft_.apply(render_rate_table(table_)));
  TRY_ASSIGN(const std::string text, nft_.list("list table inet " + table_ + "_rates"));
  limited_ = limited_taps(text);
  return {};
}

Result<void> Network::set_policy(const core::Config& config, const std::vector<Guest>& guests) {
  return apply(config, guests);
}

Result<void> Network::forget_reached(unsigned turn) {
  std::string script;
  for (const Gate& gate : gates_) {
    if (gate.is_limited) script += "flush set inet " + table_ + " " + gate.reached(turn) + "\n";
  }
  return script.empty() ? Result<void>() : nft_.apply(script);
}

Result<Fd> Network::attach(const core::SlotNames& names, const std::string& gate_tag, Bytes rate) {
  TRY_ASSIGN(Fd tap, sys::create_tap(netns_, names.tap, names.gateway.to_text(), kPrefix));
  fail_point("tap made");
  std::string script = "add element inet " + table_ + " vms { " + tap_element(names) + " }\n";
  if (!gate_tag.empty()) {
    const auto gate = std::find_if(gates_.begin(), gates_.end(),
                                   [&](const Gate& each) { return each.tag == gate_tag; });
    if (gate == gates_.end()) return fail(Errc::invalid, "no gate for what the VM may reach");
    script += "add element inet " + table_ + " " + gate->taps() + " { \"" + names.tap + "\" }\n";
  }
  if (rate.value > 0) script += add_rate(table_, names.tap, rate);
  TRY(context(nft_.apply(script), "bind " + names.tap + " to " + names.guest.to_text()));
  if (rate.value > 0) limited_.insert(names.tap);
  fail_point("tap bound");
  return tap;
}

Result<void> Network::detach(const core::SlotNames& names) {
  // Adding first makes the deletion of an absent element succeed, in the same transaction.
  std::string script;
  const auto drop = [&](const std::string& set, const std::string& element) {
    const std::string one = " element inet " + table_ + " " + set + " { " + element + " }\n";
    script += "add" + one + "delete" + one;
  };
  drop("vms", tap_element(names));
  for (const Gate& gate : gates_) drop(gate.taps(), "\"" + names.tap + "\"");
  const bool is_limited = limited_.contains(names.tap);
  if (is_limited) script += drop_rate(table_, names.tap);
  TRY(nft_.apply(script));
  limited_.erase(names.tap);
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
