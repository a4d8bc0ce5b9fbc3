#include "sys/open_below.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace mvr::sys {

Result<Fd> open_below(int parent, const char* name, const std::string& shown) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_NO_XDEV | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  Fd fd(static_cast<int>(::syscall(SYS_openat2, parent, name, &how, sizeof how)));
  if (fd) return fd;
  if (errno == EXDEV) return fail(Errc::busy, shown + " is a mount point: unmount it first");
  return fail_errno(errno, "open " + shown);
}

}  // namespace mvr::sys
