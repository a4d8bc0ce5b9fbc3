#include "image/block_file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/assert.h"
#include "base/text.h"
#include "base/units.h"

namespace mvr::image {
namespace {

constexpr std::size_t kPending = 256U << 10U;

Error write_error(int number) {
  Error error = os_error(number, "write the image");
  if (error.code == Errc::full) error.remedy = "free space on the disk the image is written to";
  return error;
}

}  // namespace

Result<void> write_at(int fd, std::string_view data, std::uint64_t offset) {
  while (!data.empty()) {
    const ssize_t count = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(write_error(errno));
    data.remove_prefix(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

BlockFile::BlockFile(int fd, std::uint32_t first, std::uint32_t limit)
    : fd_(fd), limit_(limit), end_(first) {
  pending_.reserve(kPending);
}

Error BlockFile::full() const {
  return {Errc::full,
          "the content does not fit into an image of " + format_bytes(Bytes{offset_of(limit_)}),
          "give the image more than that, or put less into it"};
}

Result<Run> BlockFile::take(std::uint32_t wanted) {
  MVR_ASSERT(wanted > 0);
  if (!free_.empty()) {
    const auto lowest = free_.begin();
    const Run run{lowest->first, std::min(lowest->second, wanted)};
    const std::uint32_t left = lowest->second - run.count;
    free_.erase(lowest);
    if (left > 0) free_.emplace(run.start + run.count, left);
    return run;
  }
  if (end_ >= limit_) return fail(full());
  const Run run{end_, std::min(wanted, limit_ - end_)};
  end_ += run.count;
  return run;
}

Result<Run> BlockFile::take_behind(std::uint32_t wanted) {
  if (end_ >= limit_ || limit_ - end_ < wanted) return fail(full());
  const Run run{end_, wanted};
  end_ += wanted;
  return run;
}

Result<void> BlockFile::give_back(Run run) {
  MVR_ASSERT(run.count > 0);
  TRY(flush());
  const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  // Without holes the old bytes stay and are overwritten by whoever takes the blocks. What nobody
  // takes is free space of the image.
  if (::fallocate(fd_, mode, static_cast<off_t>(offset_of(run.start)),
                  static_cast<off_t>(offset_of(run.count))) != 0 &&
      errno != EOPNOTSUPP) {
    return fail(write_error(errno));
  }
  auto after = free_.lower_bound(run.start);
  if (after != free_.end() && after->first == run.start + run.count) {
    run.count += after->second;
    after = free_.erase(after);
  }
  if (after != free_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == run.start) {
      run = {before->first, before->second + run.count};
      free_.erase(before);
    }
  }
  if (run.start + run.count == end_) {
    end_ = run.start;
  } else {
    free_.emplace(run.start, run.count);
  }
  return {};
}

Result<void> BlockFile::write(std::uint32_t block, std::string_view data) {
  MVR_ASSERT(data.size() == kBlockSize);
  if (block != pending_start_ + pending_.size() / kBlockSize || pending_.size() == kPending) {
    TRY(flush());
    pending_start_ = block;
  }
  pending_.append(data);
  return {};
}

Result<void> BlockFile::flush() {
  if (pending_.empty()) return {};
  auto written = write_at(fd_, pending_, offset_of(pending_start_));
  pending_.clear();
  return written;
}

Result<void> BlockFile::set_length(std::uint32_t blocks) {
  TRY(flush());
  if (::ftruncate(fd_, static_cast<off_t>(offset_of(blocks))) == 0) return {};
  return fail(write_error(errno));
}

}  // namespace mvr::image
