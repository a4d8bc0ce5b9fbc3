// The first steps of process 1, inside the initramfs.
#pragma once

#include <string>

#include "base/result.h"

namespace mvr::guest {

// /proc, /sys, /dev, and standard input, output and error on the console.
Result<void> mount_kernel_filesystems();
// Loads /modules/* of the initramfs in the order of their names and removes the files. A module
// whose device is absent or that is built in is no error.
Result<void> load_modules();
std::string kernel_release();
// Since the machine started.
std::uint64_t boot_milliseconds();
// Ends the machine by a reset: the one way that every VMM understands.
[[noreturn]] void restart_machine();

}  // namespace mvr::guest
