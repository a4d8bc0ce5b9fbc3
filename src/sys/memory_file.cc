#include "sys/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace mvr::sys {

Result<Fd> make_memory_file(const std::string& name, std::string_view data) {
  Fd file(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return fail_errno(errno, "make a file in memory");
  while (!data.empty()) {
    const ssize_t count = ::write(file.get(), data.data(), data.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(errno, "write a file in memory");
    data.remove_prefix(static_cast<std::size_t>(count));
  }
  constexpr int kAll = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): fcntl
  if (::fcntl(file.get(), F_ADD_SEALS, kAll) != 0)
    return fail_errno(errno, "seal a file in memory");
  return file;
}

}  // namespace mvr::sys
