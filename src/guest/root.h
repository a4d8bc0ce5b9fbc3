// From the initramfs into the image.
#pragma once

#include <string>

#include "base/result.h"

namespace mvr::guest {

inline constexpr const char* kToolsDirectory = "/opt/actions-runner";

struct Root {
  bool mounted = false;  // false: there is no base drive (the accelerator probe)
  bool tools = false;    // an overlay of the tools drive is at kToolsDirectory
};

// Finds the drives by serial, mounts an overlay of base (below) and scratch (above), moves into
// it, and binds directories of the scratch over those that must not lie on an overlay.
Result<Root> enter_root();

}  // namespace mvr::guest
