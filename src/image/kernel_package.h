// A distribution's kernel package -> the files a guest boots. Private to the kernel store.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mvr::image {

// A work directory below the store with entry/{vmlinuz,modules/}; removed with the object.
class UnpackedKernel {
 public:
  explicit UnpackedKernel(std::string directory) : directory_(std::move(directory)) {}
  UnpackedKernel(UnpackedKernel&& other) noexcept
      : release(std::move(other.release)),
        source(std::move(other.source)),
        directory_(std::exchange(other.directory_, {})) {}
  UnpackedKernel& operator=(UnpackedKernel&&) = delete;
  UnpackedKernel(const UnpackedKernel&) = delete;
  UnpackedKernel& operator=(const UnpackedKernel&) = delete;
  ~UnpackedKernel();

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] std::string entry() const { return directory_ + "/entry"; }

  std::string release;  // "6.1.0-39-cloud-amd64"
  std::string source;   // names of the package files

 private:
  std::string directory_;
};

// Downloads (when `packages` is empty), unpacks, and indexes the modules. Err invalid: a file is
// not a package, or holds no kernel.
Result<UnpackedKernel> unpack_kernel(const std::string& root,
                                     const std::vector<std::string>& packages,
                                     const std::function<void(const std::string&)>& progress);

// The package names in the "Depends:" lines of `apt-cache depends` that carry a kernel or its
// modules (pure).
std::vector<std::string> kernel_dependencies(const std::string& apt_cache_output);

}  // namespace mvr::image
