#include "image/store_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "sys/files.h"

namespace mvr::image {
namespace {

bool is_same_file(int fd, const std::string& path) {
  struct stat open_file {};
  struct stat named {};
  return ::fstat(fd, &open_file) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

}  // namespace

WorkDirectory::WorkDirectory(WorkDirectory&& other) noexcept
    : path_(std::exchange(other.path_, {})), lock_(std::move(other.lock_)) {}

WorkDirectory& WorkDirectory::operator=(WorkDirectory&& other) noexcept {
  if (this != &other) {
    remove();
    path_ = std::exchange(other.path_, {});
    lock_ = std::move(other.lock_);
  }
  return *this;
}

WorkDirectory::~WorkDirectory() { remove(); }

void WorkDirectory::remove() {
  // What cannot be removed now is swept by the next build: the lock ends here.
  if (!path_.empty()) (void)sys::remove_tree(path_);
  path_.clear();
  lock_ = Fd();
}

std::string private_name(const char* prefix) {
  static std::atomic<unsigned> counter{0};
  return prefix + std::to_string(::getpid()) + "-" + std::to_string(counter++);
}

Result<Fd> lock_existing(const std::string& path, int operation) {
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return fail_errno(errno, path);
  if (::flock(file.get(), operation | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return fail(Errc::busy, path + " is in use");
    return fail_errno(errno, "lock " + path);
  }
  if (!is_same_file(file.get(), path)) return fail(Errc::busy, path + " was replaced");
  return file;
}

Result<void> rename_with(const std::string& from, const std::string& to, unsigned flags) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags) == 0) return {};
  return fail_errno(errno, "rename " + from + " to " + to);
}

Result<std::string> set_aside(const std::string& root, const std::string& path) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::string aside = root + "/" + private_name(kOldPrefix);
    auto moved = rename_with(path, aside, RENAME_NOREPLACE);
    if (moved) return aside;
    if (moved.error().code != Errc::exists) return fail(std::move(moved).error());
  }
  return fail(Errc::exists, root + ": no free name for " + path);
}

Result<WorkDirectory> open_work_directory(const std::string& root) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::string path = root + "/" + private_name(kWorkPrefix);
    if (::mkdir(path.c_str(), 0700) != 0) {
      if (errno == EEXIST) continue;
      return fail_errno(errno, "create " + path);
    }
    // Another process may sweep it before the lock is ours; then the next name is tried.
    auto lock = lock_existing(path, LOCK_EX);
    if (lock) return WorkDirectory(std::move(path), std::move(*lock));
  }
  return fail(Errc::busy, root + ": no work directory could be made and locked");
}

Result<void> sweep_work_directory(const std::string& path) {
  TRY_ASSIGN(const Fd lock, lock_existing(path, LOCK_EX));
  return sys::remove_tree(path);
}

Result<void> sweep_old(const std::string& path, const std::string& data_file) {
  const auto lock = lock_existing(path + "/" + data_file, LOCK_EX);
  if (!lock && lock.error().code == Errc::busy) return fail(lock.error());
  return sys::remove_tree(path);
}

Result<void> finish_entry(const std::string& entry, const std::string& data_file,
                          const Manifest& manifest) {
  const std::string data = entry + "/" + data_file;
  const std::string description = entry + "/manifest.json";
  if (::chmod(data.c_str(), 0444) != 0) return fail_errno(errno, "chmod " + data);
  TRY(sys::write_file(description, manifest_json(manifest), 0444));
  TRY(sys::fsync_path(data));
  TRY(sys::fsync_path(description));
  return sys::fsync_path(entry);
}

}  // namespace mvr::image
