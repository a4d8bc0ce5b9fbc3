// Where everything that is not file data goes, decided before the filesystem is made: its size
// follows from it.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/result.h"
#include "image/block_file.h"
#include "image/ext4_directory.h"
#include "image/ext4_format.h"
#include "image/file_tree.h"
#include "image/tree_order.h"

namespace mvr::image {

constexpr std::uint32_t kInodesPerBlock = kBlockSize / 256;
constexpr std::uint32_t kBlocksPerGroup = 8 * kBlockSize;
constexpr std::uint32_t kRootExtents = 4;  // in the inode itself
// In a block of the extent tree: behind them 4 bytes are left for the checksum.
constexpr std::uint32_t kBlockExtents = 340;

struct Layout {
  std::uint32_t blocks = 0;
  std::uint32_t groups = 0;
  std::uint32_t inodes_per_group = 0;
  std::uint32_t journal_blocks = 0;
  std::vector<Run> bitmaps;  // of each group: its blocks' and its inodes'
  std::vector<Run> inode_tables;
  // The blocks that hold the extents of files with many of them.
  std::map<InodeId, std::vector<std::uint32_t>> extent_blocks;
};
// Gives directories and long links their extents, too.
Result<Layout> make_layout(FileTree& tree, BlockFile& file, const TreeOrder& order,
                           const HashSeed& seed, const FormatOptions& options);

}  // namespace mvr::image
