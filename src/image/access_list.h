// POSIX access lists as tar has them -> the extended attributes of the kernel.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include "base/result.h"
#include "image/file_tree.h"

namespace mvr::image {

// Adds "system.posix_acl_access" and "system.posix_acl_default" where the entry has more than its
// mode says. Err when a list names someone without a number.
Result<void> add_access_lists(archive_entry* entry, Attributes& attributes);

}  // namespace mvr::image
