// The data of one file after the other: to blocks of the image, holes kept.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/block_file.h"
#include "image/content_work.h"
#include "image/file_tree.h"

namespace mvr::image {

// Of ext4 with blocks of 4 KiB, less one block.
constexpr std::uint64_t kMaxFileSize = (std::uint64_t{1} << 44U) - kBlockSize;

class ContentWriter {
 public:
  ContentWriter(BlockFile& blocks, ContentWork& work) : blocks_(blocks), work_(work) {}

  // Pieces must not run backwards; what lies between them is a hole.
  Result<void> add(std::uint64_t offset, std::string_view data);
  // Where it lies what was added since the last one. Its sum, over the blocks that are not zero,
  // will be there under `index` unless it has none.
  Result<std::vector<Extent>> finish(std::uint32_t index);

 private:
  Result<void> begin(std::uint64_t offset);
  Result<void> flush();
  Result<void> put(std::size_t at, Run logical);
  BlockFile& blocks_;
  ContentWork& work_;
  std::vector<Extent> extents_;
  char* chunk_ = nullptr;    // that is being put together, if any
  std::uint64_t start_ = 0;  // of the chunk in the file
  std::size_t used_ = 0;     // bytes of the chunk
};

}  // namespace mvr::image
