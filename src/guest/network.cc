#include "guest/network.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>

#include "base/fd.h"
#include "base/text.h"
#include "guest/files.h"

namespace mvr::guest {
namespace {

constexpr std::chrono::milliseconds kLookAgain{5};
constexpr std::chrono::milliseconds kInterface{3000};
constexpr const char* kName = "eth0";

using HardwareAddress = std::array<unsigned char, 6>;

Result<HardwareAddress> parse_mac(std::string_view text) {
  HardwareAddress address{};
  const auto parts = split(text, ':');
  bool is_good = parts.size() == address.size();
  for (std::size_t i = 0; is_good && i < parts.size(); ++i) {
    const auto [end, error] =
        std::from_chars(parts[i].data(), parts[i].data() + parts[i].size(), address.at(i), 16);
    is_good = error == std::errc() && end == parts[i].data() + parts[i].size();
  }
  if (is_good) return address;
  return fail(Errc::invalid, "no MAC address: \"" + printable(text, 40) + "\"");
}

sockaddr generic(in_addr address) {
  sockaddr_in specific{};
  specific.sin_family = AF_INET;
  specific.sin_addr = address;
  sockaddr result{};
  std::memcpy(&result, &specific, sizeof(result));
  return result;
}

ifreq request(const char* name) {
  ifreq result{};
  // The union and array are the kernel's interface. NOLINTNEXTLINE(cppcoreguidelines-pro-*)
  std::memcpy(result.ifr_name, name, std::strlen(name) + 1);
  return result;
}

// NOLINTBEGIN(cppcoreguidelines-pro-type-union-access): struct ifreq is a union
Result<void> bring_up(const Fd& socket, const char* name) {
  ifreq flags = request(name);
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &flags) != 0) {
    return fail_errno(errno, std::string("find the interface ") + name);
  }
  flags.ifr_flags = static_cast<short>(flags.ifr_flags | IFF_UP);
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &flags) == 0) return {};
  return fail_errno(errno, std::string("bring up ") + name);
}

Result<void> set_address(const Fd& socket, const NetworkWords& network) {
  ifreq address = request(kName);
  address.ifr_addr = generic(network.address);
  if (::ioctl(socket.get(), SIOCSIFADDR, &address) != 0) return fail_errno(errno, "set mvr.ip");
  ifreq mask = request(kName);
  mask.ifr_netmask = generic(in_addr{htonl(~std::uint32_t{0} << (32 - network.prefix))});
  if (::ioctl(socket.get(), SIOCSIFNETMASK, &mask) == 0) return {};
  return fail_errno(errno, "set the prefix of mvr.ip");
}

Result<void> set_hardware_address(const Fd& socket, const HardwareAddress& wanted) {
  ifreq device = request(kName);
  if (::ioctl(socket.get(), SIOCGIFHWADDR, &device) != 0) {
    return fail_errno(errno, std::string("find the interface ") + kName);
  }
  if (std::memcmp(device.ifr_hwaddr.sa_data, wanted.data(), wanted.size()) == 0) return {};
  device.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  std::memcpy(device.ifr_hwaddr.sa_data, wanted.data(), wanted.size());
  if (::ioctl(socket.get(), SIOCSIFHWADDR, &device) == 0) return {};
  return fail_errno(errno, std::string("set the MAC address of ") + kName);
}
// NOLINTEND(cppcoreguidelines-pro-type-union-access)

Result<void> set_default_route(const Fd& socket, in_addr gateway) {
  rtentry route{};
  route.rt_dst = generic(in_addr{INADDR_ANY});
  route.rt_genmask = generic(in_addr{INADDR_ANY});
  route.rt_gateway = generic(gateway);
  route.rt_flags = RTF_UP | RTF_GATEWAY;
  if (::ioctl(socket.get(), SIOCADDRT, &route) == 0) return {};
  return fail_errno(errno, "set the default route to mvr.gw");
}

Result<void> wait_for_interface() {
  const auto deadline = std::chrono::steady_clock::now() + kInterface;
  while (::if_nametoindex(kName) == 0) {
    if (std::chrono::steady_clock::now() >= deadline) {
      return fail(Errc::not_found,
                  "there is mvr.ip but no network device: does the kernel have "
                  "virtio_net?");
    }
    std::this_thread::sleep_for(kLookAgain);
  }
  return {};
}

}  // namespace

Result<void> set_up_network(const BootWords& words) {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno(errno, "open a socket");
  TRY(bring_up(socket, "lo"));
  if (!words.network) return {};
  TRY(wait_for_interface());
  // Absent when the kernel has no IPv6 at all.
  (void)write_file("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1");
  TRY(set_address(socket, *words.network));
  TRY(bring_up(socket, kName));
  if (words.network->gateway) TRY(set_default_route(socket, *words.network->gateway));
  if (words.network->dns.empty()) return {};
  return replace_file("/etc/resolv.conf", "nameserver " + words.network->dns + "\n");
}

Result<void> set_mac(std::string_view mac) {
  TRY_ASSIGN(const HardwareAddress wanted, parse_mac(mac));
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno(errno, "open a socket");
  TRY(wait_for_interface());
  return set_hardware_address(socket, wanted);
}

}  // namespace mvr::guest
