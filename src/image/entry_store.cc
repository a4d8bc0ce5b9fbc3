#include "image/entry_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/text.h"
#include "image/store_files.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr const char* kManifest = "manifest.json";
constexpr std::size_t kMaxManifest = 1U << 20U;
}  // namespace

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
  TRY_ASSIGN(const std::string aside, set_aside(kind_.root, directory(name)));
  return sys::remove_tree(aside);
}

// Ends an entry that is no longer visible under a name. One that is in use stays, for a later
// sweep.
Result<void> EntryStore::discard(const std::string& entry) const {
  auto swept = sweep_old(entry, kind_.data_file);
  if (swept || swept.error().code != Errc::busy) return swept;
  if (!entry.starts_with(kind_.root + "/" + kOldPrefix)) TRY(set_aside(kind_.root, entry));
  return {};
}

void EntryStore::sweep_one(const std::string& name) const {
  const std::string path = directory(name);
  if (name.starts_with(kOldPrefix)) {
    (void)discard(path);  // the next sweep tries again
    return;
  }
  if (!name.starts_with(kWorkPrefix)) return;
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
  return open_work_directory(kind_.root);
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

Result<void> EntryStore::publish(const std::string& work, const Manifest& manifest) const {
  TRY(check_entry_name(manifest.name, kind_.noun));
  const std::string entry = work + "/entry";
  TRY(sys::make_directories(entry));
  TRY(rename_with(work + "/" + kind_.data_file, entry + "/" + kind_.data_file, RENAME_NOREPLACE));
  TRY(finish_entry(entry, kind_.data_file, manifest));
  TRY(swap_in(entry, manifest.name));
  TRY(sys::fsync_path(kind_.root));
  // Now `entry` is what had the name before, if anything had.
  return sys::exists(entry) ? discard(entry) : Result<void>{};
}

}  // namespace mvr::image
