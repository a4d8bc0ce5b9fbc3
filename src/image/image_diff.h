// What differs between two images: paths and, where there is dpkg, packages.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace mvr::image {

struct PathChange {
  enum class Kind { added, removed, changed };
  Kind kind = Kind::changed;
  std::string path;
  std::string what;  // of a changed one: "mode 0755 -> 0700, content"
};
struct PackageChange {
  std::string name;
  std::string before;  // version; empty: it is new
  std::string after;   // empty: it is gone
};
struct ImageDiff {
  std::vector<PathChange> paths;        // sorted
  std::vector<PackageChange> packages;  // sorted
};

// Both are files with an ext4 filesystem. Times of files do not count: a rebuild changes them all.
Result<ImageDiff> diff_images(const std::string& before, const std::string& after);

}  // namespace mvr::image
