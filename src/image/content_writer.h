// The data of one file after the other: to blocks of the image, holes kept.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/block_file.h"
#include "image/content_sums.h"
#include "image/file_tree.h"

namespace mvr::image {

// Of ext4 with blocks of 4 KiB, less one block.
constexpr std::uint64_t kMaxFileSize = (std::uint64_t{1} << 44U) - kBlockSize;

class ContentWriter {
 public:
  ContentWriter(BlockFile& blocks, ContentSums& sums) : blocks_(blocks), sums_(sums) {}

  // Pieces must not run backwards; what lies between them is a hole.
  Result<void> add(std::uint64_t offset, std::string_view data);
  // Where it lies what was added since the last one. Its sum, over the blocks that are not zero,
  // will be there under `index` unless it has none.
  Result<std::vector<Extent>> finish(std::uint32_t index);

 private:
  Result<void> flush();
  Result<void> put(std::uint32_t logical, std::string_view data);
  BlockFile& blocks_;
  ContentSums& sums_;
  std::vector<Extent> extents_;
  std::string window_;       // zeros beyond what was added
  std::uint64_t start_ = 0;  // of the window in the file; a block's boundary
  std::size_t used_ = 0;     // bytes of the window
};

}  // namespace mvr::image
