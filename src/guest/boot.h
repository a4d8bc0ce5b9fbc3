// The first steps of process 1, inside the initramfs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace mvr::guest {

// /proc, /sys, /dev, and standard input, output and error on the console.
Result<void> mount_kernel_filesystems();

// In the initramfs: the modules of the boot, and those an engine of containers needs besides.
inline constexpr const char* kBootModules = "/modules";
inline constexpr const char* kEngineModules = "/modules-engine";

// The kernel modules of a directory, in the order of their names. A module whose
// device is absent or that is built in is no error.
class Modules {
 public:
  explicit Modules(std::string directory);
  // Loads one and removes its file; false when there is none left.
  bool load_next();
  // The first failure so far.
  [[nodiscard]] const Result<void>& outcome() const { return outcome_; }

 private:
  std::string directory_;
  std::vector<std::string> names_;
  std::size_t next_ = 0;
  Result<void> outcome_;
};

std::string kernel_release();
// Since the machine started.
std::uint64_t boot_milliseconds();
// Ends the machine by a reset: the one way that every VMM understands.
[[noreturn]] void restart_machine();

}  // namespace mvr::guest
