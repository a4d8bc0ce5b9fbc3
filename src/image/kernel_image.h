// Whether a file is a kernel that our VMMs can start. Private to the kernel store.
#pragma once

#include <string>

#include "base/result.h"

namespace mvr::image {

// An x86-64 vmlinux with a PVH entry, a bzImage, or an arm64 Image. Err invalid says what is
// missing. The file may be anything: what it says of itself is read within bounds.
Result<void> check_kernel_image(const std::string& path);

}  // namespace mvr::image
