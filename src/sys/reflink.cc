#include "sys/reflink.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"

namespace mvr::sys {

bool can_clone(const std::string& directory) {
  constexpr int kFlags = O_TMPFILE | O_RDWR | O_CLOEXEC;
  constexpr off_t kBlock = 4096;
  const Fd from(::open(directory.c_str(), kFlags, 0600));
  const Fd to(::open(directory.c_str(), kFlags, 0600));
  if (!from || !to || ::pwrite(from.get(), "x", 1, kBlock - 1) != 1) return false;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): the system's interface
  return ::ioctl(to.get(), FICLONE, from.get()) == 0;
}

}  // namespace mvr::sys
