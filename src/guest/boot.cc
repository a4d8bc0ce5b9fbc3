#include "guest/boot.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <time.h>  // NOLINT(modernize-deprecated-headers): clock_gettime is POSIX's

#include "base/fd.h"
#include "guest/files.h"

namespace mvr::guest {
namespace {

Result<void> mount_one(const char* type, const char* target, unsigned long flags) {
  TRY(make_directory(target));
  if (::mount(type, target, type, flags, nullptr) == 0 || errno == EBUSY) return {};
  return fail_errno(errno, std::string("mount ") + target);
}

// The kernel opens /dev/console for us only when the initramfs has it.
void open_standard_descriptors() {
  for (int number = 0; number <= 2;) {
    number = ::open("/dev/console", O_RDWR);  // NOLINT(android-cloexec-open): meant to be kept
    if (number < 0) number = ::open("/dev/null", O_RDWR);  // NOLINT(android-cloexec-open)
    if (number < 0) return;
    if (number > 2) ::close(number);
  }
}

Result<void> load_module(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail_errno(errno, "open " + path);
  if (::syscall(SYS_finit_module, file.get(), "", 0) == 0) return {};
  // ENODEV: crc32c-intel and its kind refuse a CPU without their instruction.
  if (errno == EEXIST || errno == ENODEV) return {};
  return fail_errno(errno, "load the kernel module " + path);
}

}  // namespace

Result<void> mount_kernel_filesystems() {
  constexpr unsigned long kPlain = MS_NOSUID | MS_NOEXEC | MS_NODEV;
  TRY(mount_one("devtmpfs", "/dev", MS_NOSUID));
  open_standard_descriptors();
  TRY(mount_one("proc", "/proc", kPlain));
  TRY(mount_one("sysfs", "/sys", kPlain));
  return {};
}

Modules::Modules(std::string directory)
    : directory_(std::move(directory)), names_(list_directory(directory_)) {
  // A microVM without PCI saves a third of the modules.
  if (!list_directory("/sys/bus/pci/devices").empty()) return;
  const auto is_pci = [](const std::string& name) {
    return name.find("virtio_pci") != std::string::npos;
  };
  names_.erase(std::remove_if(names_.begin(), names_.end(), is_pci), names_.end());
}

bool Modules::load_next() {
  if (next_ == names_.size()) return false;
  const std::string path = directory_ + "/" + names_[next_++];
  auto loaded = load_module(path);
  if (!loaded && outcome_) outcome_ = std::move(loaded);
  ::unlink(path.c_str());  // gives its memory back
  return true;
}

std::string kernel_release() {
  utsname names{};
  return ::uname(&names) == 0 ? static_cast<const char*>(names.release) : "unknown";
}

std::uint64_t boot_milliseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
}

void restart_machine() {
  for (;;) {
    ::reboot(RB_AUTOBOOT);
    ::sleep(1);
  }
}

}  // namespace mvr::guest
