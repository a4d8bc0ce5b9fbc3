#include "sys/open_below.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace mvr::sys {

namespace {

Result<Fd> open_with(std::uint64_t flags, int parent, const char* name, const std::string& shown) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_NO_XDEV | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  Fd fd(static_cast<int>(::syscall(SYS_openat2, parent, name, &how, sizeof how)));
  if (fd) return fd;
  if (errno == EXDEV) return fail(Errc::busy, shown + " is a mount point: unmount it first");
  return fail_errno(errno, "open " + shown);
}

}  // namespace

Result<Fd> open_below(int parent, const char* name, const std::string& shown) {
  return open_with(O_RDONLY | O_DIRECTORY | O_NOFOLLOW, parent, name, shown);
}

Result<Fd> refer_below(int parent, const char* name, const std::string& shown) {
  // With O_NOFOLLOW a link at the end would itself be what is referred to.
  return open_with(O_PATH, parent, name, shown);
}

}  // namespace mvr::sys
