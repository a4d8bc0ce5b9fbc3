// Gives a tree's inodes their numbers, and the tree its digest: both follow from the sorted names
// alone, however the tree came about.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "image/block_file.h"
#include "image/content_sums.h"
#include "image/file_tree.h"
#include "sys/sha256.h"

namespace mvr::image {

struct TreeOrder {
  std::vector<NodeId> directories;
  std::vector<InodeId> inodes;                // by number; the root first
  std::vector<std::uint16_t> subdirectories;  // of each directory, capped at 65535
  std::uint32_t last_number = 0;
  FileTime newest;
  sys::Sha256::Sum digest{};
};
Result<TreeOrder> order_tree(FileTree& tree, ContentSums& sums);

}  // namespace mvr::image
