#include "image/content_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace mvr::image {
namespace {

constexpr std::size_t kChunk = ContentWork::kChunk;
constexpr std::uint32_t kMaxExtent = 32768;

bool is_zero(const char* block) {
  return *block == '\0' && std::memcmp(block, block + 1, kBlockSize - 1) == 0;
}

}  // namespace

Result<void> ContentWriter::add(std::uint64_t offset, std::string_view data) {
  if (offset < start_ + used_) return fail(Errc::invalid, "its data runs backwards");
  if (offset >= kMaxFileSize || data.size() > kMaxFileSize - offset) {
    return fail(Errc::too_large, "a file larger than 16TiB");
  }
  while (!data.empty()) {
    if (chunk_ == nullptr || offset >= start_ + kChunk) TRY(begin(offset));
    const std::size_t at = offset - start_;
    const std::size_t count = std::min(data.size(), kChunk - at);
    std::memset(chunk_ + used_, 0, at - used_);
    std::memcpy(chunk_ + at, data.data(), count);
    used_ = at + count;
    offset += count;
    data.remove_prefix(count);
  }
  return {};
}

Result<void> ContentWriter::begin(std::uint64_t offset) {
  TRY(flush());
  TRY_ASSIGN(chunk_, work_.room());
  start_ = offset / kChunk * kChunk;
  return {};
}

Result<void> ContentWriter::flush() {
  if (chunk_ == nullptr) return {};
  const auto blocks = static_cast<std::uint32_t>((used_ + kBlockSize - 1) / kBlockSize);
  std::memset(chunk_ + used_, 0, std::size_t{blocks} * kBlockSize - used_);
  const auto first = static_cast<std::uint32_t>(start_ / kBlockSize);
  const auto has_data = [&](std::uint32_t i) { return !is_zero(chunk_ + i * kBlockSize); };
  for (std::uint32_t i = 0; i < blocks;) {
    if (!has_data(i)) {
      ++i;
      continue;
    }
    std::uint32_t end = i + 1;
    while (end < blocks && has_data(end)) ++end;
    TRY(put(std::size_t{i} * kBlockSize, {first + i, end - i}));
    i = end;
  }
  work_.end_chunk(std::size_t{blocks} * kBlockSize);
  chunk_ = nullptr;
  start_ += used_;
  used_ = 0;
  return {};
}

Result<void> ContentWriter::put(std::size_t at, Run logical) {
  work_.digest(at, logical);
  while (logical.count > 0) {
    TRY_ASSIGN(const Run run, blocks_.take(std::min(logical.count, kMaxExtent)));
    Extent* last = extents_.empty() ? nullptr : &extents_.back();
    if (last != nullptr && last->logical + last->count == logical.start &&
        last->physical + last->count == run.start && last->count + run.count <= kMaxExtent) {
      last->count += run.count;
    } else {
      extents_.push_back({logical.start, run.start, run.count});
    }
    work_.write(at, run);
    at += std::size_t{run.count} * kBlockSize;
    logical = {logical.start + run.count, logical.count - run.count};
  }
  return {};
}

Result<std::vector<Extent>> ContentWriter::finish(std::uint32_t index) {
  TRY(flush());
  if (!extents_.empty()) work_.end_content(index);
  start_ = 0;
  return std::exchange(extents_, {});
}

}  // namespace mvr::image
