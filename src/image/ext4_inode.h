// One inode as it lies in the table, and the blocks that hold its extents.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "image/block_file.h"
#include "image/ext4_library.h"
#include "image/file_tree.h"

namespace mvr::image {

struct InodeFacts {
  const Inode& inode;
  const Extra* extra = nullptr;
  std::uint32_t links = 0;
  bool is_indexed = false;            // a directory with an index
  std::vector<Extent> extents;        // by place in the file
  std::vector<std::uint32_t> blocks;  // for extents that do not fit into the inode
};
// Writes the blocks of extents; the inode without its attributes.
Result<ext2_inode_large> encode_inode(ext2_filsys fs, BlockFile& file, const InodeFacts& facts);

}  // namespace mvr::image
