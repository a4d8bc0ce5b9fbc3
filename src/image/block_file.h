// The blocks of an image that is being written: which are free, and the metadata that goes into
// them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mvr::image {

constexpr std::uint32_t kBlockSize = 4096;

// Where a block lies in the image's file.
inline std::uint64_t offset_of(std::uint32_t block) { return std::uint64_t{block} * kBlockSize; }

// All of it, to a place of the image's file.
Result<void> write_at(int fd, std::string_view data, std::uint64_t offset);

struct Run {
  std::uint32_t start = 0;
  std::uint32_t count = 0;
};

// Blocks are handed out from the lowest free one on, so that the same calls give the same places.
// Neighbouring writes become one.
class BlockFile {
 public:
  // Blocks from `first` up to but without `limit` may be taken. `fd` stays the caller's.
  BlockFile(int fd, std::uint32_t first, std::uint32_t limit);

  // Up to `wanted` in one piece. Err full at the limit.
  Result<Run> take(std::uint32_t wanted);
  // All of `wanted` in one piece, behind everything taken so far.
  Result<Run> take_behind(std::uint32_t wanted);
  // They read as zeros again and may be taken again.
  Result<void> give_back(Run run);
  // One block; it reaches the file at flush().
  Result<void> write(std::uint32_t block, std::string_view data);
  Result<void> flush();
  // Cuts off what lies behind, or lets the file end with a hole.
  Result<void> set_length(std::uint32_t blocks);
  // The first block behind all that are taken.
  [[nodiscard]] std::uint32_t end() const { return end_; }

 private:
  [[nodiscard]] Error full() const;
  int fd_;
  std::uint32_t limit_;
  std::uint32_t end_;
  std::map<std::uint32_t, std::uint32_t> free_;  // start -> count, below end_, never touching
  std::string pending_;
  std::uint32_t pending_start_ = 0;
};

}  // namespace mvr::image
