// The few changes every tree needs before VMs boot from it.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "image/file_tree.h"

namespace mvr::image {

// In a tree, as one more layer above the others:
//   * /.dockerenv, /run/.containerenv and empty placeholders of the builder (/etc/hosts,
//     /etc/hostname, /etc/resolv.conf) go: a VM is not a container;
//   * a machine id becomes empty and SSH host keys go: every VM makes its own;
//   * /proc /sys /dev /run /tmp exist.
// Links in the tree are resolved inside it.
Result<void> fix_up_rootfs(FileTree& tree, std::uint16_t layer);

}  // namespace mvr::image
