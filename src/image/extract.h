// Unpacking archives that come from outside.
#pragma once

#include <string>

#include "base/result.h"
#include "base/units.h"

namespace mvr::image {

enum class Trust {
  release,  // someone's download: plain files, directories and links only, all owned by root
  rootfs,   // a builder's export: owners, modes, extended attributes and device nodes are kept
};

struct ExtractLimits {
  std::uint64_t entries = 2'000'000;
  Bytes bytes = gib(256);
};

// Unpacks a tar (plain or compressed) into an existing, empty directory. Nothing is ever written
// outside of it: absolute paths, "..", and ways through symbolic links are Err invalid.
Result<void> extract_file(const std::string& archive, const std::string& directory, Trust trust,
                          ExtractLimits limits);
// The same from a descriptor that is read to its end.
Result<void> extract_stream(int fd, const std::string& directory, Trust trust,
                            ExtractLimits limits);

}  // namespace mvr::image
