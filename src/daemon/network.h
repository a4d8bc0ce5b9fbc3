// The network of all VMs: one namespace of ours, joined to the host by one veth pair; one nftables
// table there (policy) and one on the host (NAT out, nothing in). Each VM has one tap with a /30 of
// its own, so VMs share no link, and one set element that binds the tap to its address.
//
//   guest --tap-- [namespace: policy, NAT] --veth-- [host: NAT] -- the world
//
// Default policy: out to public addresses; DNS to the gateway (handed to our dnsmasq on the host
// side of the veth pair, where a loopback resolver of the host can be reached); with a registry
// mirror to its port there; nothing else to the host, nothing to other VMs, to private,
// link-local, metadata and multicast ranges; no IPv6.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "core/config.h"
#include "core/names.h"
#include "daemon/gate.h"
#include "sys/nft.h"

namespace mvr::daemon {

inline constexpr unsigned kResolverPort = 1053;
inline constexpr unsigned kMirrorPort = 5000;
inline constexpr unsigned kMirrorDebugPort = 5001;  // for the daemon only

struct GuestPolicy {
  std::vector<Guest> guests;
  std::vector<Gate> gates;  // of all profiles, and of these guests
  // What the gates' sets hold, by the set's name: "192.0.2.1, 192.0.2.7". It is taken over, so that
  // a new policy closes nothing that a VM has asked for.
  std::map<std::string, std::string> reached;
};

// The nft scripts, each replacing its whole table in one transaction (pure).
std::string render_guest_table(const core::Config& config, const GuestPolicy& policy);
std::string render_host_table(const core::Config& config);

// The table of rates stays as long as the namespace does: what it holds of a VM comes and goes with
// the VM, whatever becomes of the daemon. `policy`: the name of the table of the policy. The
// scripts may be applied again (pure).
std::string render_rate_table(const std::string& policy);
std::string add_rate(const std::string& policy, const std::string& tap, Bytes rate);
std::string drop_rate(const std::string& policy, const std::string& tap);
// The taps with a rate, by the text of the table.
std::set<std::string> limited_taps(std::string_view table);

// A VM's element of the set that binds its tap to its address.
std::string tap_element(const core::SlotNames& names);

class Network {
 public:
  // The named namespace alone, when it is missing.
  static Result<void> make_namespace(const core::Config& config);
  // Makes what is missing and replaces our two tables; `guests` are the VMs adopted at start.
  static Result<Network> up(const core::Config& config, const std::vector<Guest>& guests);

  // Replaces the policy for these VMs by that of `config`, at once; on Err the former stands.
  // Connections that are open go on.
  Result<void> set_policy(const core::Config& config, const std::vector<Guest>& guests);
  // The tap of a slot with its set elements; the tap goes with the returned descriptor, unless it
  // is given away (sys::give_tap). `rate`: bytes in a second, each way; 0: no limit.
  Result<Fd> attach(const core::SlotNames& names, const std::string& gate_tag, Bytes rate);
  // Those of the policy. They are to have their resolvers before a VM is attached.
  [[nodiscard]] const std::vector<Gate>& gates() const { return gates_; }
  // Empties the one or the other set of every gate.
  Result<void> forget_reached(unsigned turn);
  [[nodiscard]] const Fd& netns() const { return netns_; }
  // Removes the set element, and a tap that was given away; absent is ok.
  Result<void> detach(const core::SlotNames& names);
  // Removes namespace, veth pair and tables; what is absent is ok.
  static Result<void> down(const core::Config& config);

 private:
  std::map<std::string, std::string> reached(const std::vector<Gate>& gates);
  Result<void> apply(const core::Config& config, const std::vector<Guest>& guests);
  Result<void> take_rates();

  Fd netns_;
  sys::Nft nft_;  // in there
  std::string table_;
  std::vector<Gate> gates_;
  std::set<std::string> limited_;  // taps with a rate
};

}  // namespace mvr::daemon
