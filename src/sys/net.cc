#include "sys/net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/magic.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>

#include "base/assert.h"
#include "base/text.h"
#include "sys/files.h"
#include "sys/loop.h"
#include "sys/process.h"

namespace mvr::sys {
namespace {

constexpr const char* kOwnNetns = "/proc/thread-self/ns/net";
constexpr const char* kNetnsDirectory = "/run/netns";

Result<std::string> netns_path(const std::string& name) {
  const bool is_bad = name.empty() || name.front() == '.' || name.size() > 200 ||
                      name.find('/') != std::string::npos || name.find('\0') != std::string::npos;
  if (is_bad) return fail(Errc::invalid, "'" + printable(name, 64) + "' cannot name a namespace");
  return std::string(kNetnsDirectory) + "/" + name;
}

bool is_netns(const Fd& fd) {
  struct statfs status {};
  return ::fstatfs(fd.get(), &status) == 0 && status.f_type == NSFS_MAGIC;
}

// Returns to the namespace it was made in, or ends the program: everything after would happen
// in the wrong network.
class NetnsReturn {
 public:
  static Result<std::unique_ptr<NetnsReturn>> here() {
    TRY_ASSIGN(Fd fd, open_read(kOwnNetns));
    return std::unique_ptr<NetnsReturn>(new NetnsReturn(std::move(fd)));
  }
  NetnsReturn(const NetnsReturn&) = delete;
  NetnsReturn& operator=(const NetnsReturn&) = delete;
  ~NetnsReturn() { MVR_ASSERT(::setns(old_.get(), CLONE_NEWNET) == 0); }

 private:
  explicit NetnsReturn(Fd old) : old_(std::move(old)) {}
  Fd old_;
};

Result<Fd> control_socket() {
  Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "make a socket");
  return fd;
}

Result<ifreq> request_for(const std::string& name) {
  ifreq request{};
  if (name.empty() || name.size() >= sizeof request.ifr_name) {
    return fail(Errc::invalid, "'" + printable(name, 64) + "' cannot name an interface");
  }
  std::memcpy(&request.ifr_name[0], name.c_str(), name.size() + 1);
  return request;
}

Result<void> set_up(const std::string& name) {
  TRY_ASSIGN(const Fd control, control_socket());
  TRY_ASSIGN(ifreq request, request_for(name));
  if (::ioctl(control.get(), SIOCGIFFLAGS, &request) != 0) {
    return fail_errno(errno, "read the flags of " + name);
  }
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (::ioctl(control.get(), SIOCSIFFLAGS, &request) != 0) return fail_errno(errno, name + " up");
  return {};
}

Result<void> set_address(const std::string& name, const std::string& address, unsigned prefix) {
  sockaddr_in value{};
  value.sin_family = AF_INET;
  if (prefix > 32 || ::inet_pton(AF_INET, address.c_str(), &value.sin_addr) != 1) {
    return fail(Errc::invalid, printable(address, 64) + "/" + std::to_string(prefix) +
                                   " is not an IPv4 address and prefix length");
  }
  TRY_ASSIGN(const Fd control, control_socket());
  TRY_ASSIGN(ifreq request, request_for(name));
  std::memcpy(&request.ifr_addr, &value, sizeof value);
  if (::ioctl(control.get(), SIOCSIFADDR, &request) != 0) {
    return fail_errno(errno, "set the address of " + name);
  }
  value.sin_addr.s_addr = htonl(prefix == 0 ? 0U : ~0U << (32U - prefix));
  std::memcpy(&request.ifr_netmask, &value, sizeof value);
  if (::ioctl(control.get(), SIOCSIFNETMASK, &request) != 0) {
    return fail_errno(errno, "set the prefix length of " + name);
  }
  return {};
}

// A new namespace, kept alive by a mount on `path`; `lo` is up.
Result<void> make_netns(const std::string& path) {
  TRY(make_directories(kNetnsDirectory));
  // There may be a plain file already: a crash came between making and mounting.
  TRY(write_file(path, "", 0444));
  TRY_ASSIGN(const auto home, NetnsReturn::here());
  if (::unshare(CLONE_NEWNET) != 0) return fail_errno(errno, "make a network namespace");
  if (::mount(kOwnNetns, path.c_str(), "none", MS_BIND, nullptr) != 0) {
    return fail_errno(errno, "mount " + path);
  }
  return set_up("lo");
}

Result<Fd> open_existing(const std::string& path) {
  TRY_ASSIGN(Fd fd, open_read(path));
  if (!is_netns(fd)) return fail(Errc::not_found, path + " is no network namespace");
  return fd;
}

// Makes the tap or, without IFF_TUN_EXCL, attaches to it.
Result<Fd> open_tap(const std::string& name, int flags) {
  TRY_ASSIGN(ifreq request, request_for(name));
  Fd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "open /dev/net/tun");
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags);
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) return fail_errno(errno, "tap " + name);
  return fd;
}

Result<Fd> make_tap(const std::string& name) {
  auto tap = open_tap(name, IFF_TUN_EXCL);
  if (!tap && tap.error().code == Errc::busy) {
    return fail(Errc::exists, "interface " + name + " exists");
  }
  return tap;
}

Result<void> write_sysctl_here(const std::string& name, const std::string& value) {
  std::string path = name;
  // Either spelling; with a '/' the dots belong to the name of an interface.
  if (path.find('/') == std::string::npos) std::replace(path.begin(), path.end(), '.', '/');
  if (path.empty() || path.front() == '/' || path.find("..") != std::string::npos) {
    return fail(Errc::invalid, "'" + printable(name, 64) + "' is no sysctl name");
  }
  return context(write_file("/proc/sys/" + path, value), "sysctl " + name);
}

Errc code_of_ip(std::string_view text) {
  const auto has = [&](std::string_view part) { return text.find(part) != text.npos; };
  if (has("File exists")) return Errc::exists;
  if (has("Cannot find device") || has("does not exist") || has("No such")) return Errc::not_found;
  if (has("Operation not permitted")) return Errc::denied;
  if (has("resource busy")) return Errc::busy;
  return Errc::io;
}

}  // namespace

Result<void> in_netns(const Fd& netns, const std::function<Result<void>()>& action) {
  TRY_ASSIGN(const auto home, NetnsReturn::here());
  if (::setns(netns.get(), CLONE_NEWNET) != 0) {
    return fail_errno(errno, "enter the network namespace");
  }
  return action();
}

Result<Fd> open_netns(const std::string& name) {
  TRY_ASSIGN(const std::string path, netns_path(name));
  auto found = open_existing(path);
  if (found || found.error().code != Errc::not_found) return found;
  auto made = make_netns(path);
  if (!made) {
    (void)remove_netns(name);  // the first error is the one to tell
    return fail(with_context(made.error(), "network namespace " + name));
  }
  return open_existing(path);
}

Result<void> remove_netns(const std::string& name) {
  TRY_ASSIGN(const std::string path, netns_path(name));
  while (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
    // Once more: a namespace may have been mounted over another one.
  }
  if (errno != EINVAL && errno != ENOENT) return fail_errno(errno, "unmount " + path);
  return remove_file(path);
}

Result<Fd> create_tap(const Fd& netns, const std::string& name, const std::string& address,
                      unsigned prefix) {
  Fd tap;
  TRY(in_netns(netns, [&]() -> Result<void> {
    TRY_ASSIGN(tap, make_tap(name));
    TRY(set_address(name, address, prefix));
    return set_up(name);
  }));
  return tap;
}

Result<void> give_tap(Fd tap, uid_t uid) {
  if (::ioctl(tap.get(), TUNSETOWNER, static_cast<unsigned long>(uid)) != 0) {
    return fail_errno(errno, "give the tap to user " + std::to_string(uid));
  }
  if (::ioctl(tap.get(), TUNSETPERSIST, 1UL) != 0) return fail_errno(errno, "keep the tap");
  return tap.close();
}

Result<void> remove_tap(const Fd& netns, const std::string& name) {
  return in_netns(netns, [&]() -> Result<void> {
    if (!interface_exists(name)) return {};
    TRY_ASSIGN(Fd tap, open_tap(name, 0));
    if (::ioctl(tap.get(), TUNSETPERSIST, 0UL) != 0) {
      return fail_errno(errno, "remove the tap " + name);
    }
    return tap.close();
  });
}

Result<std::vector<std::string>> list_interfaces(const Fd& netns) {
  std::vector<std::string> names;
  TRY(in_netns(netns, [&]() -> Result<void> {
    struct if_nameindex* list = ::if_nameindex();
    if (list == nullptr) return fail_errno(errno, "list the interfaces");
    for (const struct if_nameindex* one = list; one->if_name != nullptr; ++one) {
      names.emplace_back(one->if_name);
    }
    ::if_freenameindex(list);
    return {};
  }));
  std::sort(names.begin(), names.end());
  return names;
}

bool interface_exists(const std::string& name) { return ::if_nametoindex(name.c_str()) != 0; }

Result<void> ip_batch(const Fd* netns, const std::string& commands) {
  RunOptions options;
  options.argv = {"ip", "-batch", "-"};
  options.input = commands;
  options.limit = Duration(10'000);
  if (netns != nullptr) options.netns_fd = netns->get();
  TRY_ASSIGN(const RunResult result, run(options));
  if (result.exit.ok()) return {};
  // "RTNETLINK answers: File exists" and then "Command failed -:2", the number of the line.
  std::vector<std::string> lines;
  for (const std::string_view line : split(result.err, '\n')) {
    if (!line.empty() && lines.size() < 4) lines.push_back(printable(line, 200));
  }
  return fail(code_of_ip(result.err), "ip -batch: " + join(lines, "; "));
}

Result<void> write_sysctl(const Fd* netns, const std::string& name, const std::string& value) {
  if (netns == nullptr) return write_sysctl_here(name, value);
  return in_netns(*netns, [&] { return write_sysctl_here(name, value); });
}

}  // namespace mvr::sys
