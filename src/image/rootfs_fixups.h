// The few changes every tree needs before VMs boot from it.
#pragma once

#include <string>

#include "base/result.h"

namespace mvr::image {

// In the tree (a throw-away copy of an image, never the image itself):
//   * /.dockerenv, /run/.containerenv and empty placeholders of the builder (/etc/hosts,
//     /etc/hostname, /etc/resolv.conf) go: a VM is not a container;
//   * a machine id becomes empty and SSH host keys go: every VM makes its own;
//   * /proc /sys /dev /run /tmp exist.
// Links in the tree are resolved inside it.
Result<void> fix_up_rootfs(const std::string& tree);

}  // namespace mvr::image
