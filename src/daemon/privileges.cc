#include "daemon/privileges.h"

#include <linux/capability.h>

#include <array>
#include <cstdint>

#include "sys/capabilities.h"

namespace mvr::daemon {
namespace {

// Each with its reason. None of: modules, raw I/O, reboot, the clock, audit, security modules,
// resources of others, files by handle.
constexpr std::array kKept{
    CAP_SYS_ADMIN,     // enters the VMs' network namespace, mounts for the jailer
    CAP_NET_ADMIN,     // taps and nftables
    CAP_SETUID,        // VMs, dnsmasq and the registry mirror run as others
    CAP_SETGID,        //
    CAP_CHOWN,         // a VM's disk is its user's
    CAP_FOWNER,        // and is removed with it
    CAP_DAC_OVERRIDE,  //
    CAP_KILL,          // ends them
    CAP_SYS_PTRACE,    // recognises the VMMs it left, by their open files
    CAP_MKNOD,         // the jailer's device files
    CAP_SYS_CHROOT,    // the jailer's root, and that of a build
    CAP_SYSLOG,        // the kernel's log says which process it killed for lack of memory
    // For image builds, whose steps are root in a container:
    CAP_FSETID,
    CAP_SETFCAP,
    CAP_SETPCAP,
    CAP_NET_BIND_SERVICE,
    CAP_NET_RAW,
    CAP_AUDIT_WRITE,
    CAP_SYS_RESOURCE,
};

}  // namespace

Result<void> give_up_privileges() {
  std::uint64_t kept = 0;
  for (const int one : kKept) kept |= std::uint64_t{1} << static_cast<unsigned>(one);
  return sys::keep_only_capabilities(kept);
}

}  // namespace mvr::daemon
