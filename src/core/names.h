// Every name a VM owns on the host, as a pure function of its slot and the config.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "core/config.h"
#include "core/world.h"

namespace mvr::core {

// An IPv4 address as a host-order number; text by to_text().
struct Ipv4 {
  std::uint32_t value = 0;
  [[nodiscard]] std::string to_text() const;
  friend auto operator<=>(Ipv4, Ipv4) = default;
};
struct Subnet {
  Ipv4 base;
  std::uint32_t prefix = 0;
  friend bool operator==(const Subnet&, const Subnet&) = default;
};
Result<Subnet> parse_subnet(std::string_view cidr);  // host bits must be zero
Result<Ipv4> parse_ipv4(std::string_view text);

// How many slots the subnet holds: its /30s, less the last, which joins host and namespace.
std::uint32_t slots_in(Subnet subnet);

struct SlotNames {
  std::string directory;       // <state>/vms/<slot>
  std::string spec;            // .../spec.json
  std::string console;         // .../console.log
  std::string scratch;         // .../scratch.ext4
  std::string agent_socket;    // .../agent.sock
  std::string monitor_socket;  // .../monitor.sock
  std::string cgroup;          // relative to mvrunner's own cgroup: "vm-<slot>"
  std::string tap;             // "<instance>t<slot>", < 16 bytes
  Ipv4 guest;                  // base + 4n + 2, /30
  Ipv4 gateway;                // base + 4n + 1
  std::string mac;             // 02:6d:76:xx:xx:xx
  std::uint32_t uid = 0;       // and gid
};
SlotNames slot_names(const Config& config, Slot slot);

struct HostNames {
  std::string netns;       // "<instance>"
  std::string veth_host;   // "<instance>h0"
  std::string veth_guest;  // "<instance>g0", inside the namespace
  Ipv4 uplink_host;        // last /30 of the subnet
  Ipv4 uplink_guest;
  std::string nft_table;       // "<instance>" in both namespaces
  std::string cgroup;          // "<instance>"
  std::string vms_directory;   // <state>/vms
  std::string control_socket;  // <run>/control.sock
  std::string lock;            // <state>/lock
};
HostNames host_names(const Config& config);

// What the registry mirror has of its own.
struct MirrorNames {
  std::string directory;  // <state>/registry
  std::uint32_t uid = 0;  // and gid: above those of all VMs
};
MirrorNames mirror_names(const Config& config);

// "<profile>-<6 chars>" from the world's seed and launch number: unique over time.
std::string vm_name(std::string_view profile, std::uint64_t seed, std::uint64_t launch);
// "mv-<host id>-<8 hex>": fresh for each JIT attempt, at most 63 characters.
std::string runner_name(std::string_view host_id, std::uint64_t seed, std::uint64_t attempt);
// True for names made by runner_name() with this host id: what the ghost sweep may delete.
bool is_our_runner(std::string_view host_id, std::string_view name);

}  // namespace mvr::core
