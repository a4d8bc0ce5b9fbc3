// Kernel packages of Debian and Ubuntu, and kernels that were built: which ones, fetching them, and
// their parts as files.
// Private to the kernel store.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "image/progress.h"

namespace mvr::image {

// The package that always depends on the newest kernel for virtual machines, by the text of
// /etc/os-release and Debian's name of the architecture. Err unsupported elsewhere.
Result<std::string> newest_kernel_package(std::string_view os_release,
                                          const std::string& architecture);

// The packages that `apt-cache depends` lists as dependencies and whose name is `prefix` and a
// version ("linux-image-" -> "linux-image-6.1.0-39-cloud-amd64").
std::vector<std::string> kernel_dependencies(std::string_view apt_output, std::string_view prefix);

// Fetches the newest kernel's packages into `directory`; returns their paths.
Result<std::vector<std::string>> download_kernel(const std::string& directory,
                                                 const Progress& progress, const Bar& bar);
// The sum of the sizes that `apt-get --print-uris` prints: 'URL' NAME SIZE HASH.
Bytes download_size(std::string_view uris);

struct UnpackedKernel {
  std::string release;  // "6.1.0-39-cloud-amd64"
  std::string image;    // path of the vmlinuz
  std::string modules;  // directory with modules.dep made; empty: the packages hold none
};
// Unpacks the packages (absolute paths) into `directory`. Err invalid when they are no kernel's.
Result<UnpackedKernel> unpack_kernel(const std::vector<std::string>& packages,
                                     const std::string& directory, const Progress& progress);

// Copies a kernel that was built (kernel/build) into `directory`, its lists for modprobe indexed.
// Err invalid, with the place, when it is none that a VMM could boot.
Result<UnpackedKernel> copy_built_kernel(const std::string& built, const std::string& directory,
                                         const Progress& progress);

// "6.1.0-9-amd64" is older than "6.1.0-39-amd64": digits count as numbers, the rest as text.
bool is_older_release(std::string_view a, std::string_view b);
// [A-Za-z0-9][A-Za-z0-9.+_~-]{0,63}
bool is_release_name(std::string_view name);

}  // namespace mvr::image
