#include "image/content_sums.h"

#include <unistd.h>

#include <cerrno>

#include "base/assert.h"
#include "image/block_file.h"

namespace mvr::image {
namespace {

constexpr std::size_t kBuffered = 1024;

}  // namespace

Result<void> ContentSums::put(std::uint32_t index, std::string_view sum) {
  MVR_ASSERT(sum.size() == kSum);
  if (!is_dirty_ || index >= first_ + kBuffered) {
    TRY(flush());
    buffer_.clear();
    first_ = index;
    is_dirty_ = true;
  }
  MVR_ASSERT(index >= first_ + buffer_.size() / kSum);
  buffer_.resize((index - first_) * kSum, '\0');
  buffer_.append(sum);
  return {};
}

Result<void> ContentSums::flush() {
  if (!is_dirty_) return {};
  is_dirty_ = false;
  return write_at(fd_, buffer_, offset_ + std::uint64_t{first_} * kSum);
}

Result<std::string> ContentSums::get(std::uint32_t index) {
  TRY(flush());
  if (index < first_ || index >= first_ + buffer_.size() / kSum) {
    buffer_.resize(kBuffered * kSum);
    first_ = index;
    const ssize_t got = ::pread(fd_, buffer_.data(), buffer_.size(),
                                static_cast<off_t>(offset_ + std::uint64_t{index} * kSum));
    if (got < static_cast<ssize_t>(kSum)) {
      return fail_errno(got < 0 ? errno : EIO, "read the image back");
    }
    buffer_.resize(static_cast<std::size_t>(got) / kSum * kSum);
  }
  return buffer_.substr((index - first_) * kSum, kSum);
}

}  // namespace mvr::image
