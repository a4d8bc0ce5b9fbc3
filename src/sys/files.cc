#include "sys/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace mvr::sys {
namespace {

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<void> write_all(const Fd& fd, std::string_view data, const std::string& path) {
  while (!data.empty()) {
    const ssize_t count = ::write(fd.get(), data.data(), data.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(errno, "write " + path);
    data.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

// A file under a name of its own that is unlinked again unless it was renamed into place.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& target) : path_(target + ".tmp.XXXXXX") {}
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (fd_) (void)::unlink(path_.c_str());
  }

  Result<void> create(mode_t mode) {
    fd_ = Fd(::mkostemp(path_.data(), O_CLOEXEC));
    if (!fd_) return fail_errno(errno, "create " + path_);
    if (::fchmod(fd_.get(), mode) != 0) return fail_errno(errno, "set the mode of " + path_);
    return {};
  }
  Result<void> rename_to(const std::string& target) {
    if (::fsync(fd_.get()) != 0) return fail_errno(errno, "fsync " + path_);
    TRY(rename_durably(path_, target));
    return fd_.close();
  }
  Result<void> rename_quickly(const std::string& target) {
    if (::rename(path_.c_str(), target.c_str()) != 0)
      return fail_errno(errno, "rename to " + target);
    return fd_.close();
  }
  [[nodiscard]] const Fd& fd() const { return fd_; }

 private:
  std::string path_;
  Fd fd_;
};

}  // namespace

Result<Fd> open_read(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "open " + path);
  return fd;
}

Result<std::string> read_file(const std::string& path, std::size_t max) {
  TRY_ASSIGN(const Fd fd, open_read(path));
  std::string data;
  std::array<char, 16384> buffer{};
  while (true) {
    const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(errno, "read " + path);
    if (count == 0) return data;
    if (data.size() + static_cast<std::size_t>(count) > max) {
      return fail(Errc::too_large, path + " is longer than " + std::to_string(max) + " bytes");
    }
    data.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

Result<void> write_file_atomic(const std::string& path, std::string_view data, mode_t mode) {
  TemporaryFile file(path);
  TRY(file.create(mode));
  TRY(write_all(file.fd(), data, path));
  return file.rename_to(path);
}

Result<void> replace_file(const std::string& path, std::string_view data, mode_t mode) {
  TemporaryFile file(path);
  TRY(file.create(mode));
  TRY(write_all(file.fd(), data, path));
  return file.rename_quickly(path);
}

Result<void> write_file(const std::string& path, std::string_view data, mode_t mode) {
  const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC;
  Fd fd(::open(path.c_str(), flags, mode));
  if (!fd) return fail_errno(errno, "open " + path + " for writing");
  TRY(write_all(fd, data, path));
  return context(fd.close(), path);
}

Result<void> make_directories(const std::string& path, mode_t mode) {
  if (path.empty()) return fail(Errc::invalid, "make a directory: the path is empty");
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (::mkdir(part.c_str(), mode) != 0) {
      // EEXIST comes first for whatever is there, also on a read-only filesystem.
      struct stat status {};
      const int error = errno;
      if (::stat(part.c_str(), &status) != 0) return fail_errno(error, "mkdir " + part);
      if (!S_ISDIR(status.st_mode)) return fail_errno(ENOTDIR, "mkdir " + part);
    }
    if (end == std::string::npos) return {};
  }
}

Result<void> change_owner(const std::string& path, uid_t uid, gid_t gid) {
  if (::lchown(path.c_str(), uid, gid) != 0) return fail_errno(errno, "chown " + path);
  return {};
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Result<std::vector<std::string>> list_directory(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), &::closedir);
  if (!directory) return fail_errno(errno, "list " + path);
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    const std::string_view name(&entry->d_name[0]);
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return fail_errno(errno, "list " + path);
  std::sort(names.begin(), names.end());
  return names;
}

Result<void> remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(errno, "remove " + path);
  return {};
}

Result<void> rename_durably(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return fail_errno(errno, "rename " + from + " to " + to);
  }
  TRY(fsync_path(parent_of(to)));
  if (parent_of(from) != parent_of(to)) TRY(fsync_path(parent_of(from)));
  return {};
}

Result<void> fsync_path(const std::string& path) {
  TRY_ASSIGN(const Fd fd, open_read(path));
  if (::fsync(fd.get()) != 0) return fail_errno(errno, "fsync " + path);
  return {};
}

Result<Fd> lock_file(const std::string& path, bool exclusive) {
  constexpr mode_t kMode = 0600;
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kMode));
  if (!fd) return fail_errno(errno, "open the lock " + path);
  const int operation = (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB;
  if (::flock(fd.get(), operation) == 0) return fd;
  if (errno == EWOULDBLOCK) return fail(Errc::busy, path + " is locked by another process");
  return fail_errno(errno, "lock " + path);
}

Result<DiskSpace> disk_space(const std::string& path) {
  struct statvfs status {};
  if (::statvfs(path.c_str(), &status) != 0) return fail_errno(errno, "disk space of " + path);
  return DiskSpace{Bytes{status.f_blocks * status.f_frsize},
                   Bytes{status.f_bavail * status.f_frsize}};
}

Bytes allocated_size(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return Bytes{0};
  return Bytes{static_cast<std::uint64_t>(status.st_blocks) * 512};
}

}  // namespace mvr::sys
