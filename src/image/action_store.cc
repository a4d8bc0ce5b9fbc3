#include "image/action_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/text.h"
#include "image/action_archive.h"
#include "image/entry_store.h"
#include "image/ext4_image.h"
#include "image/store_files.h"
#include "image/tree_image.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr const char* kDrive = "actions.ext4";
constexpr const char* kCurrent = "/drives/.current";
constexpr std::size_t kMaxName = 65;  // and a line's end
constexpr std::size_t kNameDigits = 32;

EntryStore drives(const std::string& root) {
  return EntryStore({root + "/drives", kDrive, "drive of action archives",
                     "make it with 'mvrunner action update'"});
}

std::optional<Bytes> file_size(const std::string& path) {
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) return std::nullopt;
  return Bytes{static_cast<std::uint64_t>(facts.st_size)};
}

// When it was fetched must not make another drive of the same archives.
Result<void> set_no_time(const std::string& path) {
  constexpr std::array<timespec, 2> kNever{};
  if (::utimensat(AT_FDCWD, path.c_str(), kNever.data(), AT_SYMLINK_NOFOLLOW) == 0) return {};
  return fail_errno(errno, "set the time of " + path);
}

std::uint64_t number_of(const Manifest& manifest, const char* label) {
  const auto found = manifest.labels.find(label);
  return found == manifest.labels.end() ? 0 : parse_u64(found->second).value_or(0);
}

}  // namespace

std::string archive_name(const ActionRef& action) {
  std::string directory = action.repository;
  std::replace(directory.begin(), directory.end(), '/', '_');
  return directory + "/" + action.sha + ".tar.gz";
}

Result<std::string> ActionStore::current_name() const {
  TRY_ASSIGN(std::string name, sys::read_file(root_ + kCurrent, kMaxName));
  if (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

Result<std::optional<ActionDrive>> ActionStore::current() const {
  const auto name = current_name();
  const auto manifest = name ? drives(root_).find(*name) : Result<Manifest>(fail(name.error()));
  if (!manifest && manifest.error().code == Errc::not_found) return std::nullopt;
  if (!manifest) return fail(manifest.error());
  return ActionDrive{*name, number_of(*manifest, "archives"),
                     Bytes{number_of(*manifest, "archive-bytes")}};
}

Result<std::optional<PinnedActions>> ActionStore::pin_current() const {
  const EntryStore store = drives(root_);
  // Between the look and the lock another drive may have become current, and this one have gone.
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto name = current_name();
    if (!name && name.error().code == Errc::not_found) return std::nullopt;
    if (!name) return fail(name.error());
    auto lock = store.pin(*name);
    if (lock) return PinnedActions{store.data_path(*name), std::move(*lock)};
    const Errc code = lock.error().code;
    if (code != Errc::not_found && code != Errc::busy) return fail(std::move(lock).error());
  }
  return std::nullopt;
}

Result<Fd> ActionStore::lock() const {
  TRY(sys::make_directories(root_));
  auto lock = sys::lock_file(root_ + "/.lock", true);
  if (!lock && lock.error().code == Errc::busy) {
    return fail(Errc::busy, "another update of the action archives is under way");
  }
  return lock;
}

Result<WorkDirectory> ActionStore::make_work_directory() const {
  return drives(root_).make_work_directory();
}

std::optional<Bytes> ActionStore::size_of(const ActionRef& action) const {
  return file_size(archives() + "/" + archive_name(action));
}

Result<void> ActionStore::take(const ActionRef& action, const std::string& file) const {
  TRY(check_action_archive(file));
  if (::chmod(file.c_str(), 0444) != 0) return fail_errno(errno, "chmod " + file);
  TRY(sys::fsync_path(file));
  const std::string path = archives() + "/" + archive_name(action);
  TRY(sys::make_directories(path.substr(0, path.rfind('/'))));
  return sys::rename_durably(file, path);
}

Result<std::vector<ActionStore::Listed>> ActionStore::list_archives() const {
  std::vector<Listed> found;
  if (!sys::exists(archives())) return found;
  TRY_ASSIGN(const auto directories, sys::list_directory(archives()));
  for (const std::string& directory : directories) {
    TRY_ASSIGN(const auto files, sys::list_directory(archives() + "/" + directory));
    for (const std::string& file : files) {
      std::string path = directory + "/" + file;
      const auto size = file_size(archives() + "/" + path);
      if (size) found.push_back({std::move(path), *size});
    }
  }
  return found;
}

Result<void> ActionStore::keep_only(const std::vector<ActionRef>& actions) const {
  std::set<std::string> kept;
  for (const ActionRef& action : actions) kept.insert(archive_name(action));
  TRY_ASSIGN(const std::vector<Listed> all, list_archives());
  std::set<std::string> used;
  for (const Listed& each : all) {
    if (kept.contains(each.path)) {
      used.insert(each.path.substr(0, each.path.find('/')));
    } else {
      TRY(sys::remove_file(archives() + "/" + each.path));
    }
  }
  for (const Listed& each : all) {
    const std::string directory = each.path.substr(0, each.path.find('/'));
    if (!used.contains(directory)) TRY(sys::remove_tree(archives() + "/" + directory));
  }
  return {};
}

Result<bool> ActionStore::publish() const {
  TRY(sys::make_directories(archives()));
  TRY_ASSIGN(const std::vector<Listed> all, list_archives());
  std::string contents;
  for (const Listed& each : all) {
    contents += each.path + " " + std::to_string(each.size.value) + "\n";
  }
  const std::string name = sys::sha256_text(contents).substr(0, kNameDigits);
  // A record that cannot be read is replaced like another one.
  const auto before = current();
  const bool is_new = !before || !*before || (*before)->name != name;
  if (is_new) {
    if (!drives(root_).find(name)) TRY(write_drive(name, all));
    TRY(sys::write_file_atomic(root_ + kCurrent, name + "\n"));
  }
  remove_others(name);
  return is_new;
}

Result<void> ActionStore::write_drive(const std::string& name,
                                      const std::vector<Listed>& archives_here) const {
  const EntryStore store = drives(root_);
  TRY_ASSIGN(const WorkDirectory work, store.make_work_directory());
  const std::string drive = work.path() + "/" + kDrive;
  std::uint64_t size = 0;
  for (const Listed& each : archives_here) {
    const std::string path = archives() + "/" + each.path;
    TRY(set_no_time(path));
    TRY(set_no_time(path.substr(0, path.rfind('/'))));
    size += each.size.value;
  }
  TRY(set_no_time(archives()));
  Ext4Options options;
  options.label = "actions";
  options.rootfs = false;
  TRY_ASSIGN(const Ext4Report report, write_tree_image(archives(), drive, options));
  TRY(check_ext4(drive));
  Manifest manifest = describe_drive(report);
  manifest.name = name;
  manifest.builder = "mvrunner action update";
  manifest.labels = {{"archives", std::to_string(archives_here.size())},
                     {"archive-bytes", std::to_string(size)}};
  return store.publish(work.path(), manifest);
}

void ActionStore::remove_others(const std::string& name) const {
  const EntryStore store = drives(root_);
  const auto all = store.list();
  if (!all) return;
  for (const Manifest& each : *all) {
    if (each.name != name) (void)store.remove(each.name);  // what VMs have goes another time
  }
}

Result<void> ActionStore::clear() const {
  TRY(sys::remove_file(root_ + kCurrent));
  remove_others("");
  return sys::remove_tree(archives());
}

}  // namespace mvr::image
