#include "vmm/machine.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace mvr::vmm {

std::string_view accel_name(Accel accel) {
  switch (accel) {
    case Accel::kvm:
      return "kvm";
    case Accel::tcg:
      return "tcg";
  }
  return "?";
}

Result<bool> bound_console(const std::string& path, Bytes limit) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return fail_errno(errno, "console " + path);
  if (!S_ISREG(info.st_mode)) return fail(Errc::invalid, "console " + path + ": not a file");
  if (Bytes{static_cast<std::uint64_t>(info.st_size)} <= limit) return false;
  // The VMM appends: its next byte goes to the new end.
  if (::truncate(path.c_str(), 0) != 0) return fail_errno(errno, "empty console " + path);
  return true;
}

}  // namespace mvr::vmm
