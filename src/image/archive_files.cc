#include "image/archive_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>

#include "base/fd.h"
#include "base/text.h"
#include "image/path_walk.h"
#include "image/tar_stream.h"
#include "sys/files.h"
#include "sys/sha256.h"

namespace mvr::image {
namespace {

constexpr std::size_t kMaxJson = 4U << 20U;
constexpr std::size_t kMaxFiles = 20'000;

// "a/b" for "./a//b": names are compared, never followed.
Result<std::string> clean_name(std::string_view path) {
  TRY_ASSIGN(const PathParts parts, path_parts(path));
  std::string name;
  for (const std::string_view part : parts) {
    if (!name.empty()) name += '/';
    name += part;
  }
  return name;
}

Result<void> copy_out(TarStream& tar, const std::string& to) {
  const Fd file(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return fail_errno(errno, "create " + to);
  while (true) {
    TRY_ASSIGN(const TarStream::Piece piece, tar.piece());
    std::string_view data = piece.data;
    if (data.empty()) return {};
    auto at = static_cast<off_t>(piece.offset);
    while (!data.empty()) {
      const ssize_t count = ::pwrite(file.get(), data.data(), data.size(), at);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return fail_errno(errno, "unpack an archive to " + to);
      data.remove_prefix(static_cast<std::size_t>(count));
      at += count;
    }
  }
}

// docker save names a layer twice by a link beside it: "../<id>/layer.tar".
std::string link_target(const std::string& name, const std::string& target) {
  return (std::filesystem::path(name).parent_path() / target).lexically_normal().string();
}

using Names = std::map<std::string, std::string>;

struct Unpacked {
  Names files;  // name in the archive -> where it is now
  Names links;  // -> name it leads to
};

Result<void> take_entry(TarStream& tar, archive_entry* entry, const std::string& to,
                        Unpacked& unpacked) {
  const char* path = ::archive_entry_pathname(entry);
  TRY_ASSIGN(const std::string name, clean_name(path == nullptr ? "" : path));
  const char* hard = ::archive_entry_hardlink(entry);
  const char* soft = ::archive_entry_symlink(entry);
  if (hard != nullptr || soft != nullptr) {
    unpacked.links[name] = hard != nullptr ? std::string(hard) : link_target(name, soft);
  } else if (::archive_entry_filetype(entry) == AE_IFREG) {
    TRY(copy_out(tar, to));
    unpacked.files[name] = to;
  }
  return {};
}

// A link to a link leads nowhere.
Names with_links(Unpacked unpacked) {
  Names all = unpacked.files;
  for (const auto& [name, target] : unpacked.links) {
    if (const auto found = unpacked.files.find(target); found != unpacked.files.end()) {
      all.emplace(name, found->second);
    }
  }
  return all;
}

}  // namespace

std::string blob_name(const std::string& digest) {
  return "blobs/sha256/" + digest.substr(std::string_view("sha256:").size());
}

ArchiveFiles ArchiveFiles::of_directory(std::string directory) {
  ArchiveFiles files;
  files.what_ = directory;
  files.directory_ = std::move(directory);
  return files;
}

Result<ArchiveFiles> ArchiveFiles::unpack(const std::string& archive, const std::string& scratch) {
  const Utf8Names names;
  TRY_ASSIGN(const Fd file, sys::open_read(archive));
  std::atomic<std::uint64_t> read = 0;
  TarStream tar(file.get(), read);
  TRY(context(tar.open(false, false), archive));
  Unpacked unpacked;
  for (std::size_t count = 0;; ++count) {
    auto next = tar.next();
    if (!next) return fail(with_context(next.error(), archive));
    if (*next == nullptr) break;
    if (count >= kMaxFiles) return fail(Errc::too_large, archive + ": too many files");
    const std::string to = scratch + "/" + std::to_string(count);
    TRY(context(take_entry(tar, *next, to, unpacked), archive));
  }
  ArchiveFiles files;
  files.what_ = archive;
  files.files_ = with_links(std::move(unpacked));
  return files;
}

std::vector<std::string> ArchiveFiles::names() const {
  std::vector<std::string> all;
  all.reserve(files_.size());
  for (const auto& [name, path] : files_) all.push_back(name);
  return all;
}

bool ArchiveFiles::has(const std::string& name) const { return path_of(name).has_value(); }

Result<std::string> ArchiveFiles::path_of(const std::string& name) const {
  TRY_ASSIGN(const std::string clean, clean_name(name));
  if (directory_.empty()) {
    const auto found = files_.find(clean);
    if (found != files_.end()) return found->second;
  } else if (std::string path = directory_ + "/" + clean; sys::exists(path)) {
    return path;
  }
  return fail(Errc::not_found, what_ + " has no " + printable(clean, 200));
}

Result<std::string> ArchiveFiles::read(const std::string& name) const {
  TRY_ASSIGN(const std::string path, path_of(name));
  return sys::read_file(path, kMaxJson);
}

Result<std::string> ArchiveFiles::read_blob(const std::string& digest) const {
  TRY_ASSIGN(std::string text, read(blob_name(digest)));
  sys::Sha256 sha;
  sha.add(text);
  if ("sha256:" + sha.take_hex() == digest) return text;
  return fail(Errc::invalid, what_ + ": " + blob_name(digest) + " has another content");
}

}  // namespace mvr::image
