// Tars for the tests, entry by entry.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <archive.h>
#include <archive_entry.h>

#include "fixture.h"
#include "image/ext4_image.h"
#include "image/tar_stream.h"

namespace mvr::image {

struct TarEntry {
  std::string path;
  unsigned kind = AE_IFREG;  // 0: a hard link
  std::string text;          // content, or the target of a link
  unsigned mode = 0644;
  std::int64_t uid = 0;
  std::int64_t gid = 0;
  std::int64_t mtime = 1'700'000'000;
  long nanoseconds = 0;
  std::vector<std::pair<std::string, std::string>> attributes;
  unsigned major = 0;
  unsigned minor = 0;
};

inline TarEntry tar_directory(const std::string& path, unsigned mode = 0755) {
  return {.path = path, .kind = AE_IFDIR, .text = "", .mode = mode, .attributes = {}};
}
inline TarEntry tar_file(const std::string& path, const std::string& text, unsigned mode = 0644) {
  return {.path = path, .kind = AE_IFREG, .text = text, .mode = mode, .attributes = {}};
}
inline TarEntry tar_symlink(const std::string& path, const std::string& target) {
  return {.path = path, .kind = AE_IFLNK, .text = target, .mode = 0777, .attributes = {}};
}
inline TarEntry tar_link(const std::string& path, const std::string& target) {
  return {.path = path, .kind = 0, .text = target, .attributes = {}};
}

inline void describe(archive_entry* to, const TarEntry& one) {
  ::archive_entry_copy_pathname(to, one.path.c_str());
  ::archive_entry_set_filetype(to, one.kind == 0 ? AE_IFREG : one.kind);
  ::archive_entry_set_perm(to, one.mode);
  ::archive_entry_set_uid(to, one.uid);
  ::archive_entry_set_gid(to, one.gid);
  ::archive_entry_set_mtime(to, one.mtime, one.nanoseconds);
  if (one.kind == 0) ::archive_entry_copy_hardlink(to, one.text.c_str());
  if (one.kind == AE_IFLNK) ::archive_entry_copy_symlink(to, one.text.c_str());
  if (one.kind == AE_IFCHR || one.kind == AE_IFBLK) {
    ::archive_entry_set_rdevmajor(to, one.major);
    ::archive_entry_set_rdevminor(to, one.minor);
  }
  for (const auto& [name, value] : one.attributes) {
    ::archive_entry_xattr_add_entry(to, name.c_str(), value.data(), value.size());
  }
  ::archive_entry_set_size(to, one.kind == AE_IFREG ? static_cast<la_int64_t>(one.text.size()) : 0);
}

// `filter`: ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP, ...
inline void make_tar(const std::string& path, const std::vector<TarEntry>& entries,
                     int filter = ARCHIVE_FILTER_NONE) {
  const Utf8Names names;
  archive* tar = ::archive_write_new();
  ::archive_write_set_format_pax(tar);
  if (filter != ARCHIVE_FILTER_NONE) {
    REQUIRE(::archive_write_add_filter(tar, filter) == ARCHIVE_OK);
  }
  REQUIRE(::archive_write_open_filename(tar, path.c_str()) == ARCHIVE_OK);
  for (const TarEntry& one : entries) {
    archive_entry* entry = ::archive_entry_new();
    describe(entry, one);
    INFO(one.path);
    REQUIRE(::archive_write_header(tar, entry) >= ARCHIVE_WARN);
    if (one.kind == AE_IFREG) ::archive_write_data(tar, one.text.data(), one.text.size());
    ::archive_entry_free(entry);
  }
  REQUIRE(::archive_write_close(tar) == ARCHIVE_OK);
  ::archive_write_free(tar);
}

// Writes layers that lie in files.
inline Result<Ext4Report> write_image(const std::vector<std::string>& tars,
                                      const std::string& output, const Ext4Options& options = {}) {
  std::vector<Fd> files;
  std::vector<TarLayer> layers;
  for (const std::string& tar : tars) {
    files.emplace_back(::open(tar.c_str(), O_RDONLY | O_CLOEXEC));
    TarLayer layer;
    layer.fd = files.back().get();
    layer.what = tar;
    layers.push_back(layer);
  }
  return write_ext4_image(layers, output, options);
}

}  // namespace mvr::image
