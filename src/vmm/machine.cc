#include "vmm/machine.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "sys/files.h"
#include "sys/host.h"
#include "vmm/accel_cache.h"

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

Result<Fd> create_console(const std::string& path) {
  Fd file(
      ::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return fail_errno(errno, "create the console " + path);
  return file;
}

Result<void> check_huge_pages(const MachineSpec& spec, const std::string& free_pages) {
  if (spec.huge_pages != HugePages::reserved) return {};
  const std::uint64_t wanted = (spec.memory.value + mib(2).value - 1) / mib(2).value;
  TRY_ASSIGN(const std::string text,
             context(sys::read_file(free_pages, 64), "huge pages of this host"));
  const std::uint64_t free = parse_u64(text.substr(0, text.find('\n'))).value_or(0);
  if (free >= wanted) return {};
  return fail(Error{Errc::unavailable,
                    "the VM needs " + std::to_string(wanted) + " huge pages of 2MiB, " +
                        std::to_string(free) + " are free",
                    "raise vm.nr_hugepages"});
}

// Its pages are the pool's: a copy of them would have to be as well, and no VMM maps it privately.
Result<void> check_can_be_saved(const MachineSpec& spec) {
  if (spec.huge_pages != HugePages::reserved) return {};
  return fail(Errc::unsupported, "no saved states with memory of the pool of huge pages");
}

Result<std::string> host_key(const MachineSpec& spec) {
  // Long on a host of many CPUs, and the same as long as we run.
  static const std::string cpu =
      cpu_model(sys::read_file("/proc/cpuinfo", mib(16).value).value_or(std::string()));
  TRY_ASSIGN(const sys::HostFacts host, sys::host_facts());
  std::string text = host.kernel + " | " + cpu;
  for (const Drive& drive : spec.drives) {
    struct stat info {};
    if (::stat(drive.path.c_str(), &info) != 0) return fail_errno(errno, drive.path);
    text += " | " + drive.serial + " " + std::to_string(info.st_size);
  }
  return text;
}

std::uint64_t file_size_limit(const MachineSpec& spec) {
  std::uint64_t limit = spec.console_limit.value;
  // Its memory, where that is a file.
  if (spec.huge_pages == HugePages::reserved) limit = std::max(limit, spec.memory.value);
  // Or all of its state: memory, and what it takes to tell page from page and describe the devices.
  if (spec.may_be_saved) limit = spec.memory.value + spec.memory.value / 64 + mib(64).value;
  for (const Drive& drive : spec.drives) {
    struct stat info {};
    if (drive.read_only || ::stat(drive.path.c_str(), &info) != 0) continue;
    limit = std::max(limit, static_cast<std::uint64_t>(info.st_size));
  }
  return limit;
}

Result<bool> bound_console(const std::string& path, Bytes limit) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return fail_errno(errno, "console " + path);
  if (!S_ISREG(info.st_mode)) return fail(Errc::invalid, "console " + path + ": not a file");
  // A writer that does not append leaves a hole where the file was emptied before it.
  constexpr std::int64_t kBlock = 512;
  const std::int64_t used = std::min<std::int64_t>(info.st_size, info.st_blocks * kBlock);
  if (Bytes{static_cast<std::uint64_t>(used)} <= limit) return false;
  if (::truncate(path.c_str(), 0) != 0) return fail_errno(errno, "empty console " + path);
  return true;
}

}  // namespace mvr::vmm
