// The last step of writing an image: numbers, directories, inodes and everything that makes an
// ext4 of the blocks that hold data already.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "image/block_file.h"
#include "image/content_sums.h"
#include "image/file_tree.h"

namespace mvr::image {

// Data begins behind the superblock and the largest table of groups; both are at the front only.
constexpr std::uint32_t kFirstDataBlock = 128;
constexpr std::uint32_t kMaxBlocks = (kFirstDataBlock - 1) * 64 * 32768;

struct FormatOptions {
  std::string path;  // of the file, as the library opens it
  std::string label;
  std::uint32_t blocks = 0;  // 0: what is needed
  bool journal = false;
};
struct Formatted {
  std::uint32_t blocks = 0;
  std::string digest;  // "sha256:<hex>" of the tree
};
Result<Formatted> format_ext4(FileTree& tree, BlockFile& file, ContentSums& sums,
                              const FormatOptions& options);

}  // namespace mvr::image
