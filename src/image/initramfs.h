// The initramfs mvrunner makes: static agent + the modules this kernel needs.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "image/store.h"

namespace mvr::image {

// Writes a newc archive with /init (the agent), /modules/NN-<name>.ko in load order, what an engine
// of containers needs besides in /modules-engine/, and the directories the agent mounts on. For a
// kernel with all built in also /kernel-metadata/modules.*, which belong into
// /usr/lib/modules/<release>. Cached at <state>/initramfs/<digest of inputs>.cpio; returns that
// path.
Result<std::string> make_initramfs(const std::string& state_dir, const Kernel& kernel,
                                   const std::string& agent_binary);

// The load order for `wanted` modules from modules.dep text (pure): dependencies first, built-in
// and absent ones skipped.
std::vector<std::string> module_load_order(const std::string& modules_dep,
                                           const std::vector<std::string>& wanted);

}  // namespace mvr::image
