// The half of files.h that knows about holes: copy_sparse and sha256_file; sha256_text is beside
// it.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <memory>

#include "base/text.h"
#include "sys/files.h"
#include "sys/sha256.h"

namespace mvr::sys {
namespace {

constexpr std::size_t kBlock = 1U << 20U;

struct Extent {
  off_t start = 0;
  off_t end = 0;
};

// The next stretch of data at or after `from`; empty when only a hole is left. A filesystem
// without SEEK_DATA reports the whole file as data.
Result<std::optional<Extent>> next_extent(int fd, off_t from, off_t size) {
  if (from >= size) return std::nullopt;
  const off_t start = ::lseek(fd, from, SEEK_DATA);
  if (start < 0 && errno == ENXIO) return std::nullopt;
  if (start < 0 && errno == EINVAL) return Extent{from, size};
  if (start < 0) return fail_errno(errno, "find data");
  const off_t end = ::lseek(fd, start, SEEK_HOLE);
  if (end < 0) return fail_errno(errno, "find a hole");
  return Extent{start, std::min(end, size)};
}

Result<std::size_t> read_at(int fd, std::span<char> buffer, off_t at) {
  while (true) {
    const ssize_t count = ::pread(fd, buffer.data(), buffer.size(), at);
    if (count > 0) return static_cast<std::size_t>(count);
    if (count == 0) return fail(Errc::io, "the file became shorter while it was read");
    if (errno != EINTR) return fail_errno(errno, "read");
  }
}

Result<void> write_at(int fd, std::string_view data, off_t at) {
  while (!data.empty()) {
    const ssize_t count = ::pwrite(fd, data.data(), data.size(), at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(errno, "write");
    data.remove_prefix(static_cast<std::size_t>(count));
    at += count;
  }
  return {};
}

Result<void> copy_by_hand(int from, int to, Extent extent) {
  std::vector<char> buffer(kBlock);
  while (extent.start < extent.end) {
    const auto left = static_cast<std::size_t>(extent.end - extent.start);
    const std::span<char> part(buffer.data(), std::min(left, buffer.size()));
    TRY_ASSIGN(const std::size_t count, read_at(from, part, extent.start));
    TRY(write_at(to, std::string_view(buffer.data(), count), extent.start));
    extent.start += static_cast<off_t>(count);
  }
  return {};
}

Result<void> copy_extent(int from, int to, Extent extent) {
  while (extent.start < extent.end) {
    off_t in = extent.start;
    off_t out = extent.start;
    const auto left = static_cast<std::size_t>(extent.end - extent.start);
    const ssize_t count = ::copy_file_range(from, &in, to, &out, left, 0);
    // Between some filesystems it is refused, and a few answer 0 for what they cannot do.
    if (count <= 0) return copy_by_hand(from, to, extent);
    extent.start += count;
  }
  return {};
}

Result<void> copy_data(int from, int to, off_t size) {
  if (::ioctl(to, FICLONE, from) == 0) return {};
  if (::ftruncate(to, size) != 0) return fail_errno(errno, "set the length");
  for (off_t at = 0;;) {
    TRY_ASSIGN(const std::optional<Extent> extent, next_extent(from, at, size));
    if (!extent) return {};
    TRY(copy_extent(from, to, *extent));
    at = extent->end;
  }
}

Result<off_t> size_of(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return fail_errno(errno, "stat");
  if (!S_ISREG(status.st_mode)) return fail(Errc::invalid, "not a regular file");
  return status.st_size;
}

void add_zeros(Sha256& sha, off_t count) {
  static const std::string zeros(kBlock, '\0');
  for (; count > 0; count -= std::min(count, static_cast<off_t>(kBlock))) {
    sha.add(std::string_view(zeros).substr(0, static_cast<std::size_t>(count)));
  }
}

Result<void> hash_extent(int fd, Extent extent, Sha256& sha) {
  std::vector<char> buffer(kBlock);
  while (extent.start < extent.end) {
    const auto left = static_cast<std::size_t>(extent.end - extent.start);
    const std::span<char> part(buffer.data(), std::min(left, buffer.size()));
    TRY_ASSIGN(const std::size_t count, read_at(fd, part, extent.start));
    sha.add(std::string_view(buffer.data(), count));
    extent.start += static_cast<off_t>(count);
  }
  return {};
}

// Holes are hashed from memory: the result is that of the bytes, wherever they are allocated.
Result<std::string> hash_file(const std::string& path) {
  TRY_ASSIGN(const Fd fd, open_read(path));
  TRY_ASSIGN(const off_t size, size_of(fd.get()));
  Sha256 sha;
  off_t at = 0;
  while (true) {
    TRY_ASSIGN(const std::optional<Extent> extent, next_extent(fd.get(), at, size));
    if (!extent) break;
    add_zeros(sha, extent->start - at);
    TRY(hash_extent(fd.get(), *extent, sha));
    at = extent->end;
  }
  add_zeros(sha, size - at);
  return sha.take_hex();
}

}  // namespace

Result<void> copy_sparse(const std::string& from, const std::string& to, mode_t mode) {
  TRY_ASSIGN(const Fd source, open_read(from));
  auto size = size_of(source.get());
  if (!size) return fail(with_context(size.error(), "copy " + from));
  Fd target(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!target) return fail_errno(errno, "create " + to);
  auto copied = copy_data(source.get(), target.get(), *size);
  // The umask may have taken bits of the mode away.
  if (copied && ::fchmod(target.get(), mode) != 0) copied = fail_errno(errno, "set the mode");
  if (copied) copied = target.close();
  if (copied) return {};
  (void)::unlink(to.c_str());  // half a copy is worse than none; the first error is the one to tell
  return fail(with_context(copied.error(), "copy " + from + " to " + to));
}

Result<void> copy_sparse(int from, int to) {
  TRY_ASSIGN(const off_t size, size_of(from));
  return copy_data(from, to, size);
}

std::string sha256_file(const std::string& path) {
  auto digest = hash_file(path);
  return digest ? std::move(*digest) : std::string();
}

std::string sha256_text(std::string_view text) {
  Sha256 sha;
  sha.add(text);
  return sha.take_hex();
}

}  // namespace mvr::sys
