// What programs of the image look up about the kernel, which is not the image's.
#pragma once

#include <string>

#include "base/result.h"

namespace mvr::guest {

// In the initramfs: modules.builtin and its kind. modprobe(8) finds there that what it is asked
// for is built in; without them it fails, and with it what asks it, such as Docker-in-Docker.
inline constexpr const char* kKernelFiles = "/kernel-metadata";

// Moves the files of `source` to `target`, /lib/modules/<release>; an image that has a directory of
// that name has it for a reason.
Result<void> place_kernel_files(const std::string& source, const std::string& target);

}  // namespace mvr::guest
