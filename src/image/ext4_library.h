// libext2fs in our terms.
#pragma once

#include <memory>
#include <string>

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>

#include "base/result.h"

namespace mvr::image {

// The library's code as a Result; errors of the host's file keep their meaning.
Result<void> library_result(errcode_t code, const std::string& what);

struct FreeFilesystem {
  // Without writing anything.
  void operator()(ext2_filsys fs) const { ::ext2fs_free(fs); }
};
using Filesystem = std::unique_ptr<struct_ext2_filsys, FreeFilesystem>;

}  // namespace mvr::image
