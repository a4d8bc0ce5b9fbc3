#include "image/content_sums.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "image/block_file.h"

namespace mvr::image {
namespace {

constexpr std::size_t kBatch = 256U << 10U;
constexpr std::size_t kBatches = 3;  // one is filled, one digested, one waits
constexpr std::size_t kBuffered = 1024;

}  // namespace

ContentSums::ContentSums(int fd, std::uint64_t offset)
    : fd_(fd), offset_(offset), spare_(kBatches - 1) {}

ContentSums::~ContentSums() { stop(); }

void ContentSums::add(std::uint32_t place, std::string_view blocks) {
  MVR_ASSERT(blocks.size() % kBlockSize == 0);
  for (; !blocks.empty(); blocks.remove_prefix(kBlockSize), ++place) {
    if (filling_.bytes.size() >= kBatch) hand_over();
    const std::uint64_t wide = place;
    std::array<char, sizeof wide> bytes{};
    std::memcpy(bytes.data(), &wide, sizeof wide);
    filling_.bytes.append(bytes.data(), bytes.size());
    filling_.bytes.append(blocks.substr(0, kBlockSize));
  }
}

void ContentSums::end(std::uint32_t index) {
  filling_.ends.push_back({filling_.bytes.size(), index});
}

void ContentSums::hand_over() {
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !spare_.empty(); });
    full_.push_back(std::exchange(filling_, std::move(spare_.back())));
    spare_.pop_back();
  }
  changed_.notify_one();
}

void ContentSums::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return !full_.empty() || is_over_; });
    if (full_.empty()) return;
    Batch batch = std::move(full_.front());
    full_.erase(full_.begin());
    lock.unlock();
    Result<void> done = failure_ ? digest(batch) : Result<void>();
    batch.bytes.clear();
    batch.ends.clear();
    lock.lock();
    if (!done) failure_ = std::move(done);
    spare_.push_back(std::move(batch));
    changed_.notify_one();
  }
}

void ContentSums::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

Result<void> ContentSums::complete() {
  stop();
  TRY(failure_);
  const Batch last = std::exchange(filling_, {});
  spare_.clear();
  return digest(last);
}

Result<void> ContentSums::digest(const Batch& batch) {
  const std::string_view bytes = batch.bytes;
  std::size_t at = 0;
  for (const Batch::End& end : batch.ends) {
    sha_.add(bytes.substr(at, end.at - at));
    at = end.at;
    const auto sum = sha_.take();
    std::string raw(sum.begin(), sum.end());
    TRY(put(end.index, raw));
  }
  sha_.add(bytes.substr(at));
  return {};
}

Result<void> ContentSums::put(std::uint32_t index, std::string_view sum) {
  MVR_ASSERT(sum.size() == kSum);
  const std::size_t count = buffer_.size() / kSum;
  if (!is_dirty_ || index < first_ || index >= first_ + kBuffered) {
    TRY(flush());
    buffer_.clear();
    first_ = index;
    is_dirty_ = true;
  } else if (index > first_ + count) {
    buffer_.resize((index - first_) * kSum, '\0');
  }
  const std::size_t at = (index - first_) * kSum;
  if (at == buffer_.size()) {
    buffer_.append(sum);
  } else {
    buffer_.replace(at, kSum, sum);
  }
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
