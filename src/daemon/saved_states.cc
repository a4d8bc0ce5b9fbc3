#include "daemon/saved_states.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "sys/files.h"
#include "sys/memory_file.h"
#include "vmm/machine.h"

namespace mvr::daemon {
namespace {

using nlohmann::json;

constexpr int kVersion = 2;
constexpr const char* kAbout = "/about.json";
constexpr std::string_view kDraft = "draft-";
constexpr std::size_t kMaxAbout = 16U << 10U;
// What has failed once fails again as a rule, and each time a VM waits for it.
constexpr Duration kPause{600'000};

struct File {
  std::string name;
  std::int64_t size = 0;
};

// All but about.json.
Result<std::vector<File>> files_in(const std::string& directory) {
  TRY_ASSIGN(const std::vector<std::string> names, sys::list_directory(directory));
  std::vector<File> files;
  for (const std::string& name : names) {
    struct stat info {};
    if ("/" + name == kAbout) continue;
    if (::lstat((directory + "/" + name).c_str(), &info) != 0 || !S_ISREG(info.st_mode)) {
      return fail(Errc::invalid, directory + "/" + name + " is no file");
    }
    files.push_back({name, info.st_size});
  }
  return files;
}

json sizes_of(const std::vector<File>& files) {
  json sizes = json::object();
  for (const File& file : files) sizes[file.name] = file.size;
  return sizes;
}

Bytes size_on_disk(const std::string& directory) {
  Bytes size{};
  const auto names = sys::list_directory(directory);
  for (const auto& name : names ? *names : std::vector<std::string>{}) {
    size.value += sys::allocated_size(directory + "/" + name).value;
  }
  return size;
}

}  // namespace

std::string saved_state_key(std::string_view kind) {
  constexpr std::size_t kLength = 32;
  return sys::sha256_text(kind).substr(0, kLength);
}

SavedStates::SavedStates(std::string directory, std::string boot_id, Bytes most_held)
    : directory_(std::move(directory)), boot_id_(std::move(boot_id)), most_held_(most_held) {}

std::string SavedStates::path_of(const std::string& key) const { return directory_ + "/" + key; }

std::string SavedStates::draft_of(const std::string& key) const {
  return directory_ + "/" + std::string(kDraft) + key;
}

Result<void> SavedStates::sweep() {
  if (!sys::exists(directory_)) return {};
  TRY_ASSIGN(const std::vector<std::string> names, sys::list_directory(directory_));
  for (const std::string& name : names) {
    if (!name.starts_with(kDraft) && is_whole(path_of(name))) continue;
    TRY(sys::remove_tree(path_of(name)));
  }
  return {};
}

Result<void> SavedStates::clear() {
  held_.clear();
  return sys::remove_tree(directory_);
}

// Not by its contents: only root can change those, and reading them takes longer than a restore.
bool SavedStates::is_whole(const std::string& directory) const {
  const auto text = sys::read_file(directory + kAbout, kMaxAbout);
  const json about = text ? json::parse(*text, nullptr, false) : json();
  if (!about.is_object() || about.value("version", json()) != kVersion) return false;
  if (about.value("boot_id", json()) != boot_id_) return false;
  const auto files = files_in(directory);
  return files && !files->empty() && about.value("files", json()) == sizes_of(*files);
}

std::optional<std::string> SavedStates::find(const std::string& key) const {
  std::string path = path_of(key);
  if (!is_whole(path)) return std::nullopt;
  // Only the order in which states go depends on it.
  (void)::utimensat(AT_FDCWD, (path + kAbout).c_str(), nullptr, 0);
  return path;
}

Result<int> SavedStates::memory(const std::string& key) {
  if (const auto held = held_.find(key); held != held_.end()) {
    held->second.turn = ++turn_;
    return held->second.memory.get();
  }
  const std::string path = path_of(key) + std::string(vmm::kSavedMemory);
  TRY_ASSIGN(Fd memory, sys::copy_to_memory_file("mvrunner-saved", path));
  const int number = memory.get();
  held_[key] = Held{std::move(memory), sys::allocated_size(path), ++turn_};
  release_others(key);
  return number;
}

// Those used longest ago first. VMs that began with it have theirs all the same.
void SavedStates::release_others(const std::string& key) {
  const auto total = [this] {
    std::uint64_t sum = 0;
    for (const auto& [name, held] : held_) sum += held.size.value;
    return Bytes{sum};
  };
  while (total() > most_held_ && held_.size() > 1) {
    auto oldest = held_.end();
    for (auto each = held_.begin(); each != held_.end(); ++each) {
      if (each->first == key) continue;
      if (oldest == held_.end() || each->second.turn < oldest->second.turn) oldest = each;
    }
    held_.erase(oldest);
  }
}

bool SavedStates::is_wanted(const std::string& key, Instant now) const {
  const auto paused = not_before_.find(key);
  if (paused != not_before_.end() && now < paused->second) return false;
  return !writing_.contains(key) && !is_whole(path_of(key));
}

Result<std::string> SavedStates::begin(const std::string& key) {
  if (writing_.contains(key)) return fail(Errc::busy, "another VM is being saved for " + key);
  TRY(sys::make_directories(directory_, 0700));
  const std::string draft = draft_of(key);
  TRY(sys::remove_tree(draft));
  TRY(sys::make_directories(draft, 0700));
  writing_.insert(key);
  return draft;
}

Result<Bytes> SavedStates::publish(const std::string& key, Bytes most) {
  const std::string draft = draft_of(key);
  const std::string path = path_of(key);
  TRY_ASSIGN(const std::vector<File> files, files_in(draft));
  const Bytes size = size_on_disk(draft);
  if (size > most) {
    return fail(Error{Errc::too_large, "the state takes " + format_bytes(size),
                      "raise saved_states.max_size, which is " + format_bytes(most)});
  }
  const json about{{"version", kVersion}, {"boot_id", boot_id_}, {"files", sizes_of(files)}};
  TRY(sys::write_file(draft + kAbout, about.dump(1) + "\n", 0600));
  TRY(remove(key));
  if (::rename(draft.c_str(), path.c_str()) != 0) return fail_errno(errno, "rename " + draft);
  writing_.erase(key);
  TRY(prune(most));
  return size;
}

void SavedStates::abandon(const std::string& key) {
  if (writing_.erase(key) == 0) return;
  (void)sys::remove_tree(draft_of(key));  // else at the next start
}

Result<void> SavedStates::drop(const std::string& key) { return remove(key); }

Result<void> SavedStates::remove(const std::string& key) {
  held_.erase(key);
  return sys::remove_tree(path_of(key));
}

void SavedStates::pause(const std::string& key, Instant now) { not_before_[key] = now + kPause; }

Result<void> SavedStates::prune(Bytes most) {
  struct Entry {
    timespec used{};
    Bytes size;
    std::string key;
  };
  TRY_ASSIGN(const std::vector<std::string> names, sys::list_directory(directory_));
  std::vector<Entry> entries;
  std::uint64_t total = 0;
  for (const std::string& name : names) {
    struct stat info {};
    const std::string path = path_of(name);
    if (name.starts_with(kDraft) || ::stat((path + kAbout).c_str(), &info) != 0) continue;
    entries.push_back(Entry{info.st_mtim, size_on_disk(path), name});
    total += entries.back().size.value;
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.used.tv_sec, a.used.tv_nsec) < std::pair(b.used.tv_sec, b.used.tv_nsec);
  });
  for (const Entry& entry : entries) {
    if (total <= most.value) break;
    TRY(remove(entry.key));
    total -= entry.size.value;
  }
  return {};
}

}  // namespace mvr::daemon
