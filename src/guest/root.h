// From the initramfs into the image.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace mvr::guest {

inline constexpr const char* kToolsDirectory = "/opt/actions-runner";
inline constexpr const char* kActionArchives = "/opt/action-archives";

struct Root {
  bool mounted = false;  // false: there is no base drive (the accelerator probe)
  bool tools = false;    // an overlay of the tools drive is at kToolsDirectory
  Fd engine_modules;     // kEngineModules, where the initramfs has it; it has no path any more
  bool has_action_archives = false;  // the drive of them is at kActionArchives
  Result<void> action_archives{};    // Err: there is that drive, and it cannot be used
};

// To reach a directory that has no path any more.
std::string path_of(const Fd& directory);

// Finds the drives by serial or, where VMMs give none of our choice, by their place in `order`;
// mounts an overlay of base (below) and scratch (above), moves into it, and binds directories of
// the scratch over those that must not lie on an overlay.
Result<Root> enter_root(const std::vector<std::string>& order);

}  // namespace mvr::guest
