#include "image/content_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace mvr::image {
namespace {

constexpr std::size_t kWindow = 256U << 10U;

constexpr std::uint32_t kMaxExtent = 32768;

bool is_zero(std::string_view block) {
  return block[0] == '\0' && std::memcmp(block.data(), block.data() + 1, block.size() - 1) == 0;
}

std::string_view block_at(const std::string& window, std::size_t index) {
  return std::string_view(window).substr(index * kBlockSize, kBlockSize);
}

}  // namespace

Result<void> ContentWriter::add(std::uint64_t offset, std::string_view data) {
  if (window_.empty()) window_.resize(kWindow);
  if (offset < start_ + used_) return fail(Errc::invalid, "its data runs backwards");
  if (offset >= kMaxFileSize || data.size() > kMaxFileSize - offset) {
    return fail(Errc::too_large, "a file larger than 16TiB");
  }
  while (!data.empty()) {
    if (offset >= start_ + kWindow) {
      TRY(flush());
      start_ = offset / kBlockSize * kBlockSize;
    }
    const std::size_t at = offset - start_;
    const std::size_t count = std::min(data.size(), kWindow - at);
    std::memcpy(window_.data() + at, data.data(), count);
    used_ = at + count;
    offset += count;
    data.remove_prefix(count);
  }
  return {};
}

Result<void> ContentWriter::flush() {
  const std::size_t blocks = (used_ + kBlockSize - 1) / kBlockSize;
  const auto first = static_cast<std::uint32_t>(start_ / kBlockSize);
  for (std::size_t i = 0; i < blocks;) {
    if (is_zero(block_at(window_, i))) {
      ++i;
      continue;
    }
    std::size_t end = i;
    while (end < blocks && !is_zero(block_at(window_, end))) ++end;
    TRY(put(first + static_cast<std::uint32_t>(i),
            std::string_view(window_).substr(i * kBlockSize, (end - i) * kBlockSize)));
    i = end;
  }
  std::memset(window_.data(), 0, blocks * kBlockSize);
  start_ += blocks * kBlockSize;
  used_ = 0;
  return {};
}

Result<void> ContentWriter::put(std::uint32_t logical, std::string_view data) {
  sums_.add(logical, data);
  while (!data.empty()) {
    const auto wanted = static_cast<std::uint32_t>(data.size() / kBlockSize);
    TRY_ASSIGN(const Run run, blocks_.take(std::min(wanted, kMaxExtent)));
    Extent* last = extents_.empty() ? nullptr : &extents_.back();
    if (last != nullptr && last->logical + last->count == logical &&
        last->physical + last->count == run.start && last->count + run.count <= kMaxExtent) {
      last->count += run.count;
    } else {
      extents_.push_back({logical, run.start, run.count});
    }
    const std::size_t bytes = std::size_t{run.count} * kBlockSize;
    TRY(blocks_.write(run.start, data.substr(0, bytes)));
    data.remove_prefix(bytes);
    logical += run.count;
  }
  return {};
}

Result<std::vector<Extent>> ContentWriter::finish(std::uint32_t index) {
  TRY(flush());
  if (!extents_.empty()) sums_.end(index);
  start_ = 0;
  return std::exchange(extents_, {});
}

}  // namespace mvr::image
