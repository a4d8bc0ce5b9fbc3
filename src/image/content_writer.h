// The data of one file after the other: to blocks of the image, holes kept.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/block_file.h"
#include "image/file_tree.h"
#include "sys/sha256.h"

namespace mvr::image {

// Of ext4 with blocks of 4 KiB, less one block.
constexpr std::uint64_t kMaxFileSize = (std::uint64_t{1} << 44U) - kBlockSize;

class ContentWriter {
 public:
  explicit ContentWriter(BlockFile& blocks) : blocks_(blocks) {}

  // Pieces must not run backwards; what lies between them is a hole.
  Result<void> add(std::uint64_t offset, std::string_view data);
  struct Content {
    std::vector<Extent> extents;
    std::string sum;  // raw SHA-256 over the blocks that are not zero and their places
  };
  // Of what was added since the last one.
  Result<Content> finish();

 private:
  Result<void> flush();
  Result<void> put(std::uint32_t logical, std::string_view data);
  BlockFile& blocks_;
  sys::Sha256 sha_;
  std::vector<Extent> extents_;
  std::string window_;       // zeros beyond what was added
  std::uint64_t start_ = 0;  // of the window in the file; a block's boundary
  std::size_t used_ = 0;     // bytes of the window
};

}  // namespace mvr::image
