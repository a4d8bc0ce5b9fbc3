// The reading half of the image store.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <utility>

#include "base/text.h"
#include "image/entry_store.h"
#include "image/image_files.h"
#include "image/store.h"
#include "image/store_files.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr std::size_t kMaxManifest = 1U << 20U;
constexpr std::size_t kMaxHistory = 1U << 16U;
constexpr std::size_t kHexDigits = 64;
constexpr std::size_t kLeastDigits = 4;
constexpr std::string_view kIdPrefix = "sha256:";
constexpr std::string_view kDirectoryPrefix = "sha256-";

bool is_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// "sha256-<hex>" -> "sha256:<hex>"; nothing for any other name.
std::optional<std::string> id_of(std::string_view directory) {
  if (!directory.starts_with(kDirectoryPrefix)) return std::nullopt;
  const std::string_view digits = directory.substr(kDirectoryPrefix.size());
  if (digits.size() != kHexDigits || !is_hex(digits)) return std::nullopt;
  return std::string(kIdPrefix) + std::string(digits);
}

bool is_pinned(const std::string& rootfs) {
  const auto lock = lock_existing(rootfs, LOCK_EX);
  return !lock && lock.error().code == Errc::busy;
}

}  // namespace

Result<void> check_key(const std::string& key) {
  const auto is_allowed = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == ':' || c == '.' || c == '_' ||
           c == '-';
  };
  const bool is_good = !key.empty() && key.size() <= 128 && key.front() != '.' &&
                       std::ranges::all_of(key, is_allowed);
  if (is_good) return {};
  return fail(Errc::invalid,
              "build key \"" + printable(key, 80) + "\": use 1 to 128 of a-z 0-9 :._-");
}

std::string ImageFiles::directory(const std::string& id) const {
  return root_ + "/" + std::string(kDirectoryPrefix) + id.substr(kIdPrefix.size());
}

std::string ImageFiles::rootfs(const std::string& id) const {
  return directory(id) + "/" + kRootfs;
}

std::string ImageFiles::manifest(const std::string& id) const {
  return directory(id) + "/manifest.json";
}

Error ImageFiles::missing(const std::string& ref) const {
  return Error{Errc::not_found, "image \"" + ref + "\" does not exist in " + root_ +
                                    ": build it with 'mvrunner image build -t NAME CONTEXT'"};
}

std::optional<std::string> ImageFiles::target(const std::string& link) {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t length = ::readlink(link.c_str(), buffer.data(), buffer.size());
  if (length <= 0) return std::nullopt;
  std::string_view text(buffer.data(), static_cast<std::size_t>(length));
  if (!text.starts_with("../")) return std::nullopt;
  return id_of(text.substr(3));
}

Result<ImageFiles::Resolved> ImageFiles::resolve(const std::string& ref) const {
  if (ref.starts_with(kIdPrefix)) return resolve_id(ref.substr(kIdPrefix.size()));
  TRY(check_entry_name(ref, "image"));
  if (auto id = target(tag(ref))) return Resolved{std::move(*id), ref};
  const bool may_be_id = ref.size() >= kLeastDigits && is_hex(ref);
  if (may_be_id) return resolve_id(ref);
  return fail(missing(ref));
}

Result<ImageFiles::Resolved> ImageFiles::resolve_id(const std::string& digits) const {
  if (digits.size() < kLeastDigits || digits.size() > kHexDigits || !is_hex(digits)) {
    return fail(Errc::invalid, "image id \"" + printable(digits, 80) +
                                   "\": write 4 to 64 of its hexadecimal digits");
  }
  std::vector<std::string> found;
  for (std::string& id : ids()) {
    if (id.compare(kIdPrefix.size(), digits.size(), digits) == 0) found.push_back(std::move(id));
  }
  if (found.empty()) return fail(missing(digits));
  if (found.size() == 1) return Resolved{std::move(found.front()), ""};
  return fail(Errc::invalid, "image id \"" + digits + "\" is the beginning of " +
                                 std::to_string(found.size()) + " ids: write more of it");
}

Result<Manifest> ImageFiles::read(const std::string& id) const {
  const std::string path = manifest(id);
  TRY_ASSIGN(const std::string text, sys::read_file(path, kMaxManifest));
  auto manifest = parse_manifest(text);
  if (!manifest) return fail(with_context(std::move(manifest).error(), path));
  if (manifest->id != id || image_id(*manifest) != id) {
    return fail(Errc::invalid, path + ": it is not the manifest of this image");
  }
  return manifest;
}

std::vector<std::string> ImageFiles::ids() const {
  std::vector<std::string> found;
  const auto names = sys::list_directory(root_);
  for (const std::string& name : names ? *names : std::vector<std::string>{}) {
    if (auto id = id_of(name)) found.push_back(std::move(*id));
  }
  return found;
}

std::vector<std::pair<std::string, std::string>> ImageFiles::tags() const {
  std::vector<std::pair<std::string, std::string>> found;
  const auto names = sys::list_directory(root_ + "/tags");
  for (const std::string& name : names ? *names : std::vector<std::string>{}) {
    if (auto id = target(tag(name))) found.emplace_back(name, std::move(*id));
  }
  return found;
}

std::vector<std::string> ImageFiles::former(const std::string& name) const {
  std::vector<std::string> found;
  const auto text = sys::read_file(history(name), kMaxHistory);
  if (!text) return found;
  const auto now = target(tag(name));
  for (const std::string_view line : split(*text, '\n')) {
    const bool is_id = line.starts_with(kIdPrefix) &&
                       line.size() == kIdPrefix.size() + kHexDigits &&
                       is_hex(line.substr(kIdPrefix.size()));
    std::string id(line);
    if (!is_id || id == now || std::ranges::find(found, id) != found.end()) continue;
    if (sys::exists(rootfs(id))) found.push_back(std::move(id));
  }
  return found;
}

Result<Manifest> ImageStore::find(const std::string& ref) const {
  const ImageFiles files(root_);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    TRY_ASSIGN(const ImageFiles::Resolved found, files.resolve(ref));
    auto manifest = files.read(found.id);
    if (manifest && !found.tag.empty()) manifest->name = found.tag;
    // The tag may have moved and its former image gone in the middle of a look-up.
    if (manifest || manifest.error().code != Errc::not_found) return manifest;
  }
  return fail(files.missing(ref));
}

Result<PinnedImage> ImageStore::pin(const std::string& ref) const {
  const ImageFiles files(root_);
  bool is_there = false;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    TRY_ASSIGN(const ImageFiles::Resolved found, files.resolve(ref));
    PinnedImage pinned;
    pinned.path = files.rootfs(found.id);
    auto lock = lock_existing(pinned.path, LOCK_SH);
    if (lock) {
      pinned.lock = std::move(*lock);
      TRY_ASSIGN(pinned.manifest, files.read(found.id));
      if (!found.tag.empty()) pinned.manifest.name = found.tag;
      return pinned;
    }
    const Errc code = lock.error().code;
    if (code != Errc::busy && code != Errc::not_found) return fail(std::move(lock).error());
    is_there = is_there || code == Errc::busy;  // it is being removed: the tag may have moved
  }
  if (!is_there) return fail(files.missing(ref));
  return fail(Errc::busy, "image \"" + ref + "\" is being removed: try again");
}

Result<std::optional<Manifest>> ImageStore::by_key(const std::string& key) const {
  TRY(check_key(key));
  const ImageFiles files(root_);
  const auto id = ImageFiles::target(files.key(key));
  if (!id || !sys::exists(files.rootfs(*id))) return std::optional<Manifest>{};
  auto manifest = files.read(*id);
  // One that cannot be read is no use to the build that asks: it makes it anew.
  if (!manifest) return std::optional<Manifest>{};
  return std::optional<Manifest>(std::move(*manifest));
}

Result<std::vector<StoredImage>> ImageStore::list() const {
  const ImageFiles files(root_);
  const auto tags = files.tags();
  std::vector<StoredImage> all;
  for (const std::string& id : files.ids()) {
    auto manifest = files.read(id);
    if (!manifest) continue;
    StoredImage image{std::move(*manifest), {}, is_pinned(files.rootfs(id))};
    for (const auto& [tag, target] : tags) {
      if (target == id) image.tags.push_back(tag);
    }
    if (!image.tags.empty()) image.manifest.name = image.tags.front();
    all.push_back(std::move(image));
  }
  const auto order = [](const StoredImage& a, const StoredImage& b) {
    if (a.tags.empty() != b.tags.empty()) return b.tags.empty();
    if (!a.tags.empty()) return a.tags.front() < b.tags.front();
    return a.manifest.created > b.manifest.created;
  };
  std::ranges::stable_sort(all, order);
  return all;
}

Result<std::vector<std::string>> ImageStore::former(const std::string& name) const {
  TRY(check_entry_name(name, "image"));
  return ImageFiles(root_).former(name);
}

}  // namespace mvr::image
