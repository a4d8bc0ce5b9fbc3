#include "sys/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.h"
#include "sys/files.h"

namespace mvr::sys {
namespace {

Result<Fd> create(const std::string& name) {
  Fd file(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return fail_errno(errno, "make a file in memory");
  return file;
}

// From now on nobody changes it, by whatever descriptor.
Result<void> seal(const Fd& file) {
  constexpr int kAll = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg): fcntl
  if (::fcntl(file.get(), F_ADD_SEALS, kAll) != 0)
    return fail_errno(errno, "seal a file in memory");
  return {};
}

}  // namespace

Result<Fd> make_memory_file(const std::string& name, std::string_view data) {
  TRY_ASSIGN(Fd file, create(name));
  while (!data.empty()) {
    const ssize_t count = ::write(file.get(), data.data(), data.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(errno, "write a file in memory");
    data.remove_prefix(static_cast<std::size_t>(count));
  }
  TRY(seal(file));
  return file;
}

Result<Fd> make_empty_memory_file(const std::string& name, Bytes size) {
  TRY_ASSIGN(Fd file, create(name));
  if (::ftruncate(file.get(), static_cast<off_t>(size.value)) != 0) {
    return fail_errno(errno, "make a file of " + format_bytes(size) + " in memory");
  }
  return file;
}

Result<Fd> copy_to_memory_file(const std::string& name, const std::string& path) {
  TRY_ASSIGN(const Fd source, open_read(path));
  TRY_ASSIGN(Fd copy, create(name));
  TRY(context(copy_sparse(source.get(), copy.get()), "read " + path));
  TRY(seal(copy));
  return copy;
}

}  // namespace mvr::sys
