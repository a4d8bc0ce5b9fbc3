#include "core/names.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "base/text.h"

namespace mvr::core {
namespace {

constexpr std::uint32_t kAddressBits = 32;
constexpr std::uint32_t kLinkBits = 30;    // a VM and its gateway share a /30
constexpr std::size_t kMaxInterface = 15;  // IFNAMSIZ less the terminator
constexpr std::size_t kMaxHostPart = 51;   // leaves 63 - "mv-" - "-" - 8 digits
constexpr std::size_t kRunnerDigits = 8;
constexpr std::uint32_t kMaxSlots = 1000;  // what host.max_vms may be

std::string hex_digits(std::uint64_t value, std::size_t digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(digits, '0');
  for (auto at = text.rbegin(); at != text.rend(); ++at, value >>= 4U) *at = kDigits[value & 15U];
  return text;
}

std::string base32_digits(std::uint64_t value, std::size_t digits) {
  constexpr std::string_view kDigits = "abcdefghijklmnopqrstuvwxyz234567";
  std::string text(digits, 'a');
  for (auto at = text.rbegin(); at != text.rend(); ++at, value >>= 5U) *at = kDigits[value & 31U];
  return text;
}

// A permutation of the numbers below 2^bits chosen by the key: counting up gives names that
// look random and never repeat before the counter wraps.
std::uint64_t shuffled(std::uint64_t value, std::uint32_t bits, std::string_view label,
                       std::uint64_t seed) {
  const std::uint64_t mask = (std::uint64_t{1} << bits) - 1;
  std::uint64_t key = stable_hash(label, seed);
  value &= mask;
  for (std::uint64_t round = 0; round < 4; ++round) {
    key = stable_hash(label, key + round);
    value = (value ^ (key >> 20U)) & mask;  // xor, odd multiply and
    value = (value * (key | 1U)) & mask;    // xor-shift are each
    value ^= value >> (bits / 2);           // invertible
  }
  return value;
}

// Host ids that would push a runner name over GitHub's limit are cut, and told apart by a hash.
std::string runner_prefix(std::string_view host_id) {
  std::string prefix = "mv-";
  if (host_id.size() <= kMaxHostPart) return prefix.append(host_id).append("-");
  const std::size_t kept = kMaxHostPart - kRunnerDigits - 1;
  return prefix.append(host_id.substr(0, kept))
      .append("-")
      .append(hex_digits(stable_hash(host_id), kRunnerDigits))
      .append("-");
}

Subnet subnet_of(const Config& config) {
  const Result<Subnet> subnet = parse_subnet(config.network.subnet);
  MVR_ASSERT(subnet.has_value());
  return subnet.value();
}

}  // namespace

std::string Ipv4::to_text() const {
  std::string text;
  for (std::uint32_t shift = kAddressBits; shift > 0; shift -= 8) {
    if (!text.empty()) text += '.';
    text += std::to_string((value >> (shift - 8)) & 0xFFU);
  }
  return text;
}

Result<Ipv4> parse_ipv4(std::string_view text) {
  const std::vector<std::string_view> parts = split(text, '.');
  const std::string wrong = "\"" + printable(text, 64) + "\" is not an IPv4 address like 10.0.0.1";
  if (parts.size() != 4) return fail(Errc::invalid, wrong);
  Ipv4 address;
  for (const std::string_view part : parts) {
    const bool leading_zero = part.size() > 1 && part.front() == '0';
    const Result<std::uint64_t> octet = parse_u64(part);
    // Some programs read a leading zero as octal: refused rather than guessed.
    if (leading_zero || !octet || *octet > 255) return fail(Errc::invalid, wrong);
    address.value = (address.value << 8U) | static_cast<std::uint32_t>(*octet);
  }
  return address;
}

Result<Subnet> parse_subnet(std::string_view cidr) {
  const std::vector<std::string_view> parts = split(cidr, '/');
  const std::string quoted = "\"" + printable(cidr, 64) + "\"";
  if (parts.size() != 2) return fail(Errc::invalid, quoted + " is not a subnet like 10.90.0.0/16");
  TRY_ASSIGN(const Ipv4 base, parse_ipv4(parts[0]));
  const bool leading_zero = parts[1].size() > 1 && parts[1].front() == '0';
  const Result<std::uint64_t> prefix = parse_u64(parts[1]);
  if (leading_zero || !prefix || *prefix > kAddressBits) {
    return fail(Errc::invalid, quoted + ": the prefix length must be 0 to 32");
  }
  const auto bits = static_cast<std::uint32_t>(*prefix);
  const std::uint64_t host_mask = (std::uint64_t{1} << (kAddressBits - bits)) - 1;
  if ((base.value & host_mask) != 0) {
    const Ipv4 network{base.value & ~static_cast<std::uint32_t>(host_mask)};
    return fail(Errc::invalid, quoted + " has host bits set: write " + network.to_text() + "/" +
                                   std::to_string(bits));
  }
  return Subnet{.base = base, .prefix = bits};
}

std::uint32_t slots_in(Subnet subnet) {
  if (subnet.prefix >= kLinkBits) return 0;
  return (std::uint32_t{1} << (kLinkBits - subnet.prefix)) - 1;
}

SlotNames slot_names(const Config& config, Slot slot) {
  const Subnet subnet = subnet_of(config);
  MVR_ASSERT(slot < slots_in(subnet));
  const std::string number = std::to_string(slot);
  const std::string directory = config.state_dir + "/vms/" + number;
  const std::string tail = hex_digits(slot, 6);
  SlotNames names{
      .directory = directory,
      .spec = directory + "/spec.json",
      .console = directory + "/console.log",
      .scratch = directory + "/scratch.ext4",
      .agent_socket = directory + "/agent.sock",
      .monitor_socket = directory + "/monitor.sock",
      .cgroup = "vm-" + number,
      .tap = config.instance + "t" + number,
      .guest = Ipv4{subnet.base.value + 4 * slot + 2},
      .gateway = Ipv4{subnet.base.value + 4 * slot + 1},
      .mac = "02:6d:76:" + tail.substr(0, 2) + ":" + tail.substr(2, 2) + ":" + tail.substr(4, 2),
      .uid = config.vmm.uid_base + slot};
  MVR_ASSERT(names.tap.size() <= kMaxInterface);
  return names;
}

HostNames host_names(const Config& config) {
  const Subnet subnet = subnet_of(config);
  const std::uint32_t last = subnet.base.value + 4 * slots_in(subnet);
  return HostNames{.netns = config.instance,
                   .veth_host = config.instance + "h0",
                   .veth_guest = config.instance + "g0",
                   .uplink_host = Ipv4{last + 1},
                   .uplink_guest = Ipv4{last + 2},
                   .nft_table = config.instance,
                   .cgroup = config.instance,
                   .vms_directory = config.state_dir + "/vms",
                   .control_socket = config.run_dir + "/control.sock",
                   .lock = config.state_dir + "/lock"};
}

MirrorNames mirror_names(const Config& config) {
  return MirrorNames{.directory = config.state_dir + "/registry",
                     .uid = config.vmm.uid_base + kMaxSlots};
}

std::string vm_name(std::string_view profile, std::uint64_t seed, std::uint64_t launch) {
  return std::string(profile) + "-" + base32_digits(shuffled(launch, 30, "vm", seed), 6);
}

std::string runner_name(std::string_view host_id, std::uint64_t seed, std::uint64_t attempt) {
  const std::uint64_t number = shuffled(attempt, 32, "runner", seed);
  return runner_prefix(host_id) + hex_digits(number, kRunnerDigits);
}

bool is_our_runner(std::string_view host_id, std::string_view name) {
  const std::string prefix = runner_prefix(host_id);
  if (!name.starts_with(prefix) || name.size() != prefix.size() + kRunnerDigits) return false;
  return std::ranges::all_of(name.substr(prefix.size()), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
}

}  // namespace mvr::core
