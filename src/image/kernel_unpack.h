// The kernel proper in an x86-64 bzImage: Firecracker before 1.17 starts nothing else.
#pragma once

#include <string>

#include "base/result.h"

namespace mvr::image {

// Writes the vmlinux to `output`; false when `path` is no bzImage. Err invalid or unsupported says
// why what is in it cannot be used, with no output left behind. The file may be anything: it is
// read within bounds.
Result<bool> unpack_bzimage(const std::string& path, const std::string& output);

// The path of a stored kernel's vmlinux: made beside it at the first call, and removed with it; the
// kernel's own path where that is no bzImage. Err as above, and nothing is left behind.
Result<std::string> uncompressed_kernel(const std::string& path);

}  // namespace mvr::image
