#include "guest/vsock.h"

#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>

#include "channel/message.h"

namespace mvr::guest {

bool has_vsock() {
  const Fd device(::open("/dev/vsock", O_RDONLY | O_CLOEXEC));
  if (!device) return false;
  unsigned cid = VMADDR_CID_ANY;
  // Without a device the number is "any", or that of the loopback.
  return ::ioctl(device.get(), IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) == 0 &&
         cid > VMADDR_CID_HOST && cid != VMADDR_CID_ANY;
}

Result<Fd> connect_vsock() {
  Fd socket(::socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno(errno, "make a vsock");
  const timeval limit{.tv_sec = 0, .tv_usec = 500'000};
  // Best effort: without it the limit is two seconds.
  (void)::setsockopt(socket.get(), AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof limit);
  sockaddr_vm host{};
  host.svm_family = AF_VSOCK;
  host.svm_cid = VMADDR_CID_HOST;
  host.svm_port = channel::kVsockPort;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets interface
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&host), sizeof host) != 0) {
    return fail_errno(errno, "connect to the host");
  }
  if (::fcntl(socket.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno(errno, "vsock");
  return socket;
}

}  // namespace mvr::guest
