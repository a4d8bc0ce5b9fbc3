// The changing half of the image store. Every step that others can see is taken under the lock of
// the store, and is one rename.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <set>
#include <thread>
#include <utility>

#include "base/text.h"
#include "image/entry_store.h"
#include "image/image_files.h"
#include "image/store.h"
#include "image/store_files.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr std::size_t kMostFormer = 20;  // of a tag, in its history
constexpr Duration kLockLimit{30'000};
constexpr std::chrono::milliseconds kLockRetry{5};

// Changes take milliseconds: whoever holds the lock longer is stuck.
Result<Fd> lock_store(const ImageFiles& files) {
  TRY(sys::make_directories(files.root()));
  const auto end = std::chrono::steady_clock::now() + kLockLimit;
  while (true) {
    auto lock = sys::lock_file(files.root() + "/lock", true);
    if (lock || lock.error().code != Errc::busy) return lock;
    if (std::chrono::steady_clock::now() > end) {
      return fail(Errc::busy, files.root() + " has been locked by another process for " +
                                  format_duration(kLockLimit) + ": is one stopped?");
    }
    std::this_thread::sleep_for(kLockRetry);
  }
}

// Unlinks what has not reached its place.
class Draft {
 public:
  explicit Draft(const ImageFiles& files) : path_(files.root() + "/" + private_name(kNewPrefix)) {}
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  Draft(Draft&&) = delete;
  Draft& operator=(Draft&&) = delete;
  ~Draft() { (void)sys::remove_file(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Result<void> place_text(const ImageFiles& files, const std::string& path, const std::string& text,
                        mode_t mode) {
  const Draft draft(files);
  TRY(sys::write_file(draft.path(), text, mode));
  TRY(sys::fsync_path(draft.path()));
  return sys::rename_durably(draft.path(), path);
}

Result<void> place_link(const ImageFiles& files, const std::string& path, const std::string& id) {
  const Draft draft(files);
  const std::string directory = files.directory(id);
  const std::string target = ".." + directory.substr(directory.rfind('/'));
  if (::symlink(target.c_str(), draft.path().c_str()) != 0) {
    return fail_errno(errno, "link " + draft.path());
  }
  return sys::rename_durably(draft.path(), path);
}

Result<void> write_history(const ImageFiles& files, const std::string& name,
                           std::vector<std::string> ids) {
  TRY(sys::make_directories(files.root() + "/history"));
  if (ids.size() > kMostFormer) ids.resize(kMostFormer);
  return place_text(files, files.history(name), join(ids, "\n") + "\n", 0644);
}

// Best effort: leftovers cost space, and a build must not fail because of them.
void sweep(const ImageFiles& files) {
  const auto names = sys::list_directory(files.root());
  for (const std::string& name : names ? *names : std::vector<std::string>{}) {
    const std::string path = files.root() + "/" + name;
    if (name.starts_with(kOldPrefix)) (void)sweep_old(path, kRootfs);
    if (name.starts_with(kNewPrefix)) (void)sys::remove_file(path);
    if (name.starts_with(kWorkPrefix)) (void)sweep_work_directory(path);
  }
}

// Keys of images that are gone, histories of tags that are.
void sweep_links(const ImageFiles& files) {
  const auto each = [&files](const char* directory, const auto& is_stale) {
    const auto names = sys::list_directory(files.root() + "/" + directory);
    for (const std::string& name : names ? *names : std::vector<std::string>{}) {
      const std::string path = files.root() + "/" + directory + "/" + name;
      if (is_stale(path, name)) (void)sys::remove_file(path);
    }
  };
  each("keys", [](const std::string& path, const std::string&) { return !sys::exists(path); });
  each("history", [&files](const std::string&, const std::string& name) {
    return !ImageFiles::target(files.tag(name));
  });
}

// Locked for removal. Err busy: somebody uses it. An image without its data is damaged, and
// removing it is the remedy.
Result<Fd> lock_unused(const ImageFiles& files, const std::string& id, const std::string& name) {
  auto lock = lock_existing(files.rootfs(id), LOCK_EX);
  if (lock) return lock;
  if (lock.error().code == Errc::not_found) return Fd();
  if (lock.error().code != Errc::busy) return lock;
  return fail(Errc::busy,
              "image \"" + name + "\" is used by a running VM: remove it when its VMs have ended");
}

// The images that tags other than `except` have, and the latest `keep` that each had.
std::set<std::string> tagged_ids(const ImageFiles& files, const std::string& except,
                                 std::uint64_t keep) {
  std::set<std::string> found;
  for (const auto& [tag, id] : files.tags()) {
    if (tag == except) continue;
    found.insert(id);
    std::vector<std::string> former = files.former(tag);
    if (former.size() > keep) former.resize(keep);
    found.insert(former.begin(), former.end());
  }
  return found;
}

// When its manifest was last written: at its making, or when the same was made again.
bool is_younger(const ImageFiles& files, const std::string& id, Duration grace) {
  struct stat facts {};
  const bool is_known = ::stat(files.manifest(id).c_str(), &facts) == 0 ||
                        ::stat(files.directory(id).c_str(), &facts) == 0;
  if (!is_known) return false;
  const auto now = std::chrono::system_clock::now();
  return now - std::chrono::system_clock::from_time_t(facts.st_mtime) < grace;
}

bool has_data(const ImageFiles& files, const Manifest& manifest) {
  struct stat facts {};
  return ::stat(files.rootfs(manifest.id).c_str(), &facts) == 0 &&
         static_cast<std::uint64_t>(facts.st_size) == manifest.size.value;
}

Result<void> install(const ImageFiles& files, const std::string& entry, Manifest manifest) {
  const std::string place = files.directory(manifest.id);
  auto moved = rename_with(entry, place, RENAME_NOREPLACE);
  if (!moved && moved.error().code != Errc::exists) return moved;
  if (!moved && has_data(files, manifest)) {
    // The same content once more: the file stays, and with it those who use it.
    manifest.allocated = sys::allocated_size(files.rootfs(manifest.id));
    return place_text(files, files.manifest(manifest.id), manifest_json(manifest), 0444);
  }
  if (!moved) {
    TRY_ASSIGN(const std::string damaged, set_aside(files.root(), place));
    TRY(rename_with(entry, place, RENAME_NOREPLACE));
    (void)sweep_old(damaged, kRootfs);  // else later
  }
  return sys::fsync_path(files.root());
}

// Both leave the files where remove_tree() finds them; "" where the image stays.
Result<std::string> take_untagged(const ImageFiles& files, const std::string& id,
                                  const std::string& ref) {
  for (const auto& [tag, tagged] : files.tags()) {
    if (tagged != id) continue;
    return fail(Errc::busy, "image " + ref + " has the tag \"" + tag + "\": remove that");
  }
  TRY_ASSIGN(const Fd unused, lock_unused(files, id, ref));
  return set_aside(files.root(), files.directory(id));
}

Result<std::string> take_tag(const ImageFiles& files, const ImageFiles::Resolved& found,
                             const std::string& ref) {
  const bool goes = !tagged_ids(files, found.tag, kMostFormer).contains(found.id);
  Fd unused;
  if (goes) {
    TRY_ASSIGN(unused, lock_unused(files, found.id, ref));
  }
  TRY(sys::remove_file(files.tag(found.tag)));
  TRY(sys::remove_file(files.history(found.tag)));
  TRY(sys::fsync_path(files.root() + "/tags"));
  return goes ? set_aside(files.root(), files.directory(found.id)) : std::string();
}

}  // namespace

Result<WorkDirectory> ImageStore::make_work_directory() const {
  const ImageFiles files(root_);
  TRY_ASSIGN(const Fd lock, lock_store(files));
  sweep(files);
  return open_work_directory(root_);
}

Result<std::string> ImageStore::add(const std::string& work, Manifest manifest) const {
  const ImageFiles files(root_);
  manifest.id = image_id(manifest);
  const std::string entry = work + "/entry";
  TRY(sys::make_directories(entry));
  TRY(rename_with(work + "/" + kRootfs, entry + "/" + kRootfs, RENAME_NOREPLACE));
  TRY(finish_entry(entry, kRootfs, manifest));
  TRY_ASSIGN(const Fd lock, lock_store(files));
  TRY(install(files, entry, manifest));
  return manifest.id;
}

Result<void> ImageStore::tag(const std::string& ref, const std::string& name) const {
  const ImageFiles files(root_);
  TRY(check_entry_name(name, "image"));
  TRY_ASSIGN(const Fd lock, lock_store(files));
  TRY_ASSIGN(const ImageFiles::Resolved found, files.resolve(ref));
  TRY(files.read(found.id));
  TRY(sys::make_directories(root_ + "/tags"));
  const auto now = ImageFiles::target(files.tag(name));
  if (now == found.id) return {};
  // The history first: an entry in it that the tag has still is passed over.
  std::vector<std::string> former = files.former(name);
  std::erase(former, found.id);
  if (now) former.insert(former.begin(), *now);
  if (now) TRY(write_history(files, name, std::move(former)));
  return place_link(files, files.tag(name), found.id);
}

Result<Manifest> ImageStore::rollback(const std::string& name) const {
  const ImageFiles files(root_);
  TRY(check_entry_name(name, "image"));
  TRY_ASSIGN(const Fd lock, lock_store(files));
  if (!ImageFiles::target(files.tag(name))) return fail(files.missing(name));
  std::vector<std::string> former = files.former(name);
  if (former.empty()) {
    return fail(Errc::not_found, "image \"" + name + "\" has no former one in the store");
  }
  const std::string id = former.front();
  TRY_ASSIGN(Manifest manifest, files.read(id));
  TRY(place_link(files, files.tag(name), id));
  former.erase(former.begin());
  TRY(write_history(files, name, std::move(former)));
  manifest.name = name;
  return manifest;
}

Result<void> ImageStore::set_key(const std::string& key, const std::string& ref) const {
  const ImageFiles files(root_);
  TRY(check_key(key));
  TRY_ASSIGN(const Fd lock, lock_store(files));
  TRY_ASSIGN(const ImageFiles::Resolved found, files.resolve(ref));
  TRY(sys::make_directories(root_ + "/keys"));
  return place_link(files, files.key(key), found.id);
}

Result<void> ImageStore::remove(const std::string& ref) const {
  const ImageFiles files(root_);
  std::string aside;
  {
    TRY_ASSIGN(const Fd lock, lock_store(files));
    TRY_ASSIGN(const ImageFiles::Resolved found, files.resolve(ref));
    TRY_ASSIGN(aside, found.tag.empty() ? take_untagged(files, found.id, ref)
                                        : take_tag(files, found, ref));
    sweep_links(files);
  }
  return aside.empty() ? Result<void>{} : sys::remove_tree(aside);
}

Result<std::vector<Manifest>> ImageStore::prune(const PruneRules& rules) const {
  const ImageFiles files(root_);
  std::vector<Manifest> gone;
  std::vector<std::string> aside;
  {
    TRY_ASSIGN(const Fd lock, lock_store(files));
    if (!rules.only_look) sweep(files);
    const auto kept = tagged_ids(files, "", rules.keep);
    for (const std::string& id : files.ids()) {
      if (kept.contains(id) || is_younger(files, id, rules.grace)) continue;
      const auto unused = lock_unused(files, id, id);
      if (!unused) continue;
      auto manifest = files.read(id);
      Manifest one = manifest ? std::move(*manifest) : Manifest{};
      one.id = id;  // a damaged one does not say
      one.allocated = sys::allocated_size(files.rootfs(id));
      gone.push_back(std::move(one));
      if (rules.only_look) continue;
      TRY_ASSIGN(std::string path, set_aside(root_, files.directory(id)));
      aside.push_back(std::move(path));
    }
    if (!rules.only_look) sweep_links(files);
  }
  for (const std::string& path : aside) TRY(sys::remove_tree(path));
  return gone;
}

}  // namespace mvr::image
