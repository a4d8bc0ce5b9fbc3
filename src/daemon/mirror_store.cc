#include "daemon/mirror_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <tuple>

#include "sys/files.h"
#include "sys/loop.h"
#include "sys/open_below.h"

namespace mvr::daemon {
namespace {

constexpr unsigned kParts = 256;
constexpr Bytes kAround{
    16U << 10U};             // directories, the link that makes a blob part of a repository
constexpr int kDeepest = 8;  // "/"s in a repository's name, and a bound for a hostile tree
constexpr const char* kBlobs = "docker/registry/v2/blobs/sha256/";
constexpr const char* kRepositories = "docker/registry/v2/repositories";

bool is_hex(std::string_view text, std::size_t digits) {
  return text.size() == digits && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string part_name(unsigned part) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  return {kDigits[part / 16], kDigits[part % 16]};
}

Result<Fd> enter(const Fd& root, const std::string& below) {
  return sys::open_below(root.get(), below.c_str(), below);
}

// Names in a directory that `below` leads to; none when it is not there.
std::vector<std::string> names_in(const Fd& root, const std::string& below) {
  std::vector<std::string> names;
  auto directory = enter(root, below);
  if (!directory) return names;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(directory->get()), &::closedir);
  if (!stream) return names;
  (void)directory->release();  // the stream's now
  // NOLINTNEXTLINE(concurrency-mt-unsafe): of this stream, in one thread
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = static_cast<const char*>(entry->d_name);
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

// A directory with one file in it, as docker-registry keeps blobs and links.
bool remove_leaf(const Fd& root, const std::string& parent, const std::string& name,
                 const char* file) {
  const auto directory = enter(root, parent);
  if (!directory) return false;
  const auto leaf = enter(*directory, name);
  if (!leaf) return false;
  (void)::unlinkat(leaf->get(), file, 0);
  return ::unlinkat(directory->get(), name.c_str(), AT_REMOVEDIR) == 0;
}

// Paths of all repositories: the directories that hold "_layers" or "_manifests".
void find_repositories(const Fd& root, const std::string& below, int depth,
                       std::vector<std::string>& found) {
  const auto names = names_in(root, below);
  const bool is_one = std::ranges::any_of(names, [](const auto& name) { return name[0] == '_'; });
  if (is_one) found.push_back(below);
  if (depth == 0) return;
  for (const auto& name : names) {
    if (name[0] != '_') find_repositories(root, below + "/" + name, depth - 1, found);
  }
}

// What says that a repository has the blob. Were it left, every blob there ever was would leave
// some KiB behind.
void remove_links(const Fd& root, const std::string& repository, const std::string& digest) {
  remove_leaf(root, repository + "/_layers/sha256", digest, "link");
  if (!remove_leaf(root, repository + "/_manifests/revisions/sha256", digest, "link")) return;
  const std::string tags = repository + "/_manifests/tags";
  for (const auto& tag : names_in(root, tags)) {
    remove_leaf(root, tags + "/" + tag + "/index/sha256", digest, "link");
  }
}

}  // namespace

std::vector<CachedBlob> surplus_blobs(std::vector<CachedBlob> blobs, Bytes max) {
  std::uint64_t total = 0;
  for (const auto& blob : blobs) total += blob.size.value;
  std::vector<CachedBlob> surplus;
  if (total <= max.value) return surplus;
  std::ranges::sort(blobs, [](const CachedBlob& a, const CachedBlob& b) {
    return std::tie(a.used, a.digest) < std::tie(b.used, b.digest);
  });
  const std::uint64_t wanted = max.value / 10 * 9;
  for (const auto& blob : blobs) {
    if (total <= wanted) break;
    total -= blob.size.value;
    surplus.push_back(blob);
  }
  return surplus;
}

Result<std::optional<MirrorStore::Round>> MirrorStore::look(Duration limit) {
  const Instant end = sys::monotonic_now() + limit;
  while (next_ < kParts) {
    TRY(look_at(next_++));
    if (sys::monotonic_now() >= end) return std::nullopt;
  }
  next_ = 0;
  TRY_ASSIGN(const Round round, finish());
  seen_.clear();
  return round;
}

Result<void> MirrorStore::look_at(unsigned part) {
  TRY_ASSIGN(const Fd root, sys::open_read(directory_));
  if (part == 0) seen_.clear();
  const std::string below = kBlobs + part_name(part);
  const auto names = names_in(root, below);
  if (names.empty()) return {};
  TRY_ASSIGN(const Fd directory, enter(root, below));
  for (const auto& digest : names) {
    struct stat info {};
    const std::string data = digest + "/data";
    const bool is_blob =
        is_hex(digest, 64) &&
        ::fstatat(directory.get(), data.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(info.st_mode);
    if (!is_blob) continue;
    seen_.push_back({digest,
                     Bytes{static_cast<std::uint64_t>(info.st_blocks) * 512 + kAround.value},
                     std::max(info.st_atim.tv_sec, info.st_mtim.tv_sec)});
  }
  return {};
}

Result<MirrorStore::Round> MirrorStore::finish() {
  Round round;
  for (const auto& blob : seen_) round.size.value += blob.size.value;
  const auto surplus = surplus_blobs(seen_, max_);
  if (surplus.empty()) return round;
  TRY_ASSIGN(const Fd root, sys::open_read(directory_));
  std::vector<std::string> repositories;
  find_repositories(root, kRepositories, kDeepest, repositories);
  for (const auto& blob : surplus) {
    if (!remove_leaf(root, kBlobs + blob.digest.substr(0, 2), blob.digest, "data")) continue;
    for (const auto& repository : repositories) remove_links(root, repository, blob.digest);
    round.size.value -= blob.size.value;
    round.removed_size.value += blob.size.value;
    ++round.removed;
  }
  return round;
}

}  // namespace mvr::daemon
