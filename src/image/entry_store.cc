#include "image/entry_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/text.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr const char* kManifest = "manifest.json";
constexpr std::size_t kMaxManifest = 1U << 20U;
// How often a name may change hands under us before we give up.
constexpr int kAttempts = 8;

// Names of this process below a store, so that two builds never meet.
std::string private_name(const char* prefix) {
  static std::atomic<unsigned> counter{0};
  return prefix + std::to_string(::getpid()) + "-" + std::to_string(counter++);
}

bool starts_with(const std::string& text, std::string_view prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

bool is_same_file(int fd, const std::string& path) {
  struct stat open_file {};
  struct stat named {};
  return ::fstat(fd, &open_file) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

// Locks an existing file or directory. Err not_found: nothing there; Err busy: held by another, or
// replaced while we waited for it.
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

Result<void> check_entry_name(const std::string& name, const std::string& noun) {
  auto is_alnum = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  auto is_allowed = [&](char c) { return is_alnum(c) || c == '.' || c == '_' || c == '-'; };
  if (!name.empty() && name.size() <= 64 && is_alnum(name.front()) &&
      std::all_of(name.begin(), name.end(), is_allowed)) {
    return {};
  }
  return fail(Errc::invalid,
              noun + " name \"" + printable(name, 80) +
                  "\": use 1 to 64 of a-z 0-9 . _ -, beginning with a letter or digit");
}

std::string EntryStore::directory(const std::string& name) const { return kind_.root + "/" + name; }

std::string EntryStore::data_path(const std::string& name) const {
  return directory(name) + "/" + kind_.data_file;
}

Error EntryStore::missing(const std::string& name) const {
  return Error{Errc::not_found, kind_.noun + " \"" + name + "\" does not exist in " + kind_.root +
                                    ": " + kind_.remedy};
}

Result<Manifest> EntryStore::find(const std::string& name) const {
  TRY(check_entry_name(name, kind_.noun));
  const std::string path = directory(name) + "/" + kManifest;
  auto text = sys::read_file(path, kMaxManifest);
  // A replacement may remove the old entry in the middle of a look-up; the next one finds the new.
  for (int attempt = 1; !text && text.error().code == Errc::not_found; ++attempt) {
    if (attempt == kAttempts) return fail(missing(name));
    text = sys::read_file(path, kMaxManifest);
  }
  if (!text) return fail(std::move(text).error());
  auto manifest = parse_manifest(*text);
  if (!manifest) return fail(with_context(std::move(manifest).error(), path));
  if (manifest->name != name) {
    return fail(Errc::invalid, path + ": it is the manifest of \"" + manifest->name + "\"");
  }
  return manifest;
}

Result<std::vector<Manifest>> EntryStore::list() const {
  std::vector<Manifest> found;
  if (!sys::exists(kind_.root)) return found;
  TRY_ASSIGN(const std::vector<std::string> names, sys::list_directory(kind_.root));
  for (const std::string& name : names) {
    auto manifest = find(name);
    if (manifest) found.push_back(std::move(*manifest));
  }
  return found;
}

Result<Fd> EntryStore::pin(const std::string& name) const {
  TRY(check_entry_name(name, kind_.noun));
  bool is_there = false;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    auto lock = lock_existing(data_path(name), LOCK_SH);
    if (lock) return lock;
    const Errc code = lock.error().code;
    if (code != Errc::busy && code != Errc::not_found) return lock;
    // This very file is being removed or was replaced; the next look finds its successor.
    is_there = is_there || code == Errc::busy;
  }
  if (!is_there) return fail(missing(name));
  return fail(Errc::busy, kind_.noun + " \"" + name + "\" is being replaced or removed: try again");
}

Result<std::string> EntryStore::set_aside(const std::string& entry) const {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::string aside = kind_.root + "/" + private_name(".old-");
    auto moved = rename_with(entry, aside, RENAME_NOREPLACE);
    if (moved) return aside;
    if (moved.error().code != Errc::exists) return fail(std::move(moved).error());
  }
  return fail(Errc::exists, kind_.root + ": no free name for " + entry);
}

Result<void> EntryStore::remove(const std::string& name) const {
  TRY(check_entry_name(name, kind_.noun));
  if (!sys::exists(directory(name))) return fail(missing(name));
  auto lock = lock_existing(data_path(name), LOCK_EX);
  // An entry without its data file is damaged, and removing it is the remedy.
  if (!lock && lock.error().code == Errc::busy) {
    return fail(Errc::busy, kind_.noun + " \"" + name +
                                "\" is used by a running VM: remove it when its VMs have ended");
  }
  if (!lock && lock.error().code != Errc::not_found) return fail(std::move(lock).error());
  // Gone in one step for everyone else; the files follow.
  TRY_ASSIGN(const std::string aside, set_aside(directory(name)));
  return sys::remove_tree(aside);
}

// Ends an entry that is no longer visible under a name. One that is in use stays, for a later
// sweep.
Result<void> EntryStore::discard(const std::string& entry) const {
  auto lock = lock_existing(entry + "/" + kind_.data_file, LOCK_EX);
  if (!lock && lock.error().code == Errc::busy) {
    if (!starts_with(entry, kind_.root + "/.old-")) TRY(set_aside(entry));
    return {};
  }
  return sys::remove_tree(entry);
}

void EntryStore::sweep_one(const std::string& name) const {
  const std::string path = directory(name);
  if (starts_with(name, ".old-")) {
    (void)discard(path);  // the next sweep tries again
    return;
  }
  if (!starts_with(name, ".work-")) return;
  auto lock = lock_existing(path, LOCK_EX);
  if (!lock) return;  // a live build
  // A crash between the exchange and the clean-up leaves the replaced entry here, perhaps in use.
  if (sys::exists(path + "/entry") && !discard(path + "/entry")) return;
  (void)sys::remove_tree(path);
}

// Best effort: leftovers cost space, and a build must not fail because of them.
void EntryStore::sweep() const {
  auto names = sys::list_directory(kind_.root);
  if (!names) return;
  for (const std::string& name : *names) sweep_one(name);
}

Result<WorkDirectory> EntryStore::make_work_directory() const {
  TRY(sys::make_directories(kind_.root));
  sweep();
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::string path = kind_.root + "/" + private_name(".work-");
    if (::mkdir(path.c_str(), 0700) != 0) {
      if (errno == EEXIST) continue;
      return fail_errno(errno, "create " + path);
    }
    // Another process may sweep it before the lock is ours; then the next name is tried.
    auto lock = lock_existing(path, LOCK_EX);
    if (lock) return WorkDirectory(std::move(path), std::move(*lock));
  }
  return fail(Errc::busy, kind_.root + ": no work directory could be made and locked");
}

Result<void> EntryStore::swap_in(const std::string& entry, const std::string& name) const {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    auto fresh = rename_with(entry, directory(name), RENAME_NOREPLACE);
    if (fresh || fresh.error().code != Errc::exists) return fresh;
    auto exchanged = rename_with(entry, directory(name), RENAME_EXCHANGE);
    if (exchanged) return exchanged;
    if (exchanged.error().code == Errc::invalid || exchanged.error().code == Errc::unsupported) {
      return fail(Errc::unsupported, kind_.root +
                                         ": this filesystem cannot exchange two directories; "
                                         "remove the old " +
                                         kind_.noun + " \"" + name + "\" first");
    }
    if (exchanged.error().code != Errc::not_found) return exchanged;
  }
  return fail(Errc::busy, kind_.noun + " \"" + name + "\" keeps changing: try again");
}

Result<void> EntryStore::prepare(const std::string& entry, const Manifest& manifest) const {
  const std::string data = entry + "/" + kind_.data_file;
  const std::string description = entry + "/" + kManifest;
  if (::chmod(data.c_str(), 0444) != 0) return fail_errno(errno, "chmod " + data);
  TRY(sys::write_file(description, manifest_json(manifest), 0444));
  TRY(sys::fsync_path(data));
  TRY(sys::fsync_path(description));
  return sys::fsync_path(entry);
}

Result<void> EntryStore::publish(const std::string& work, const Manifest& manifest) const {
  TRY(check_entry_name(manifest.name, kind_.noun));
  const std::string entry = work + "/entry";
  TRY(sys::make_directories(entry));
  TRY(rename_with(work + "/" + kind_.data_file, entry + "/" + kind_.data_file, RENAME_NOREPLACE));
  TRY(prepare(entry, manifest));
  TRY(swap_in(entry, manifest.name));
  TRY(sys::fsync_path(kind_.root));
  // Now `entry` is what had the name before, if anything had.
  return sys::exists(entry) ? discard(entry) : Result<void>{};
}

}  // namespace mvr::image
