// The sums of the contents of files, by the files' numbers. Memory would not hold them for every
// file: they lie in the image's own file far behind its blocks, which its final length cuts off.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mvr::image {

class ContentSums {
 public:
  static constexpr std::size_t kSum = 32;
  // `fd` stays the caller's.
  ContentSums(int fd, std::uint64_t offset) : fd_(fd), offset_(offset) {}

  // Each index is larger than all before it.
  Result<void> put(std::uint32_t index, std::string_view sum);
  // Raw, of an index that has one.
  Result<std::string> get(std::uint32_t index);

 private:
  Result<void> flush();

  int fd_;
  std::uint64_t offset_;
  std::string buffer_;  // the sums from first_ on: to be written, or read
  std::uint32_t first_ = 0;
  bool is_dirty_ = false;
};

}  // namespace mvr::image
