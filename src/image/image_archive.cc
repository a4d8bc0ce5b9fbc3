#include "image/image_archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include <archive.h>
#include <archive_entry.h>

#include "base/text.h"
#include "image/entry_store.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr const char* kManifestEntry = "mvrunner-image.json";
constexpr const char* kDigestEntry = "rootfs.ext4.sha256";
constexpr const char* kRootfsEntry = "rootfs.ext4";
constexpr std::size_t kBlock = 1U << 20U;
constexpr std::size_t kMaxManifest = 1U << 20U;
constexpr Bytes kMaxRootfs = gib(1024);

using Archive = std::unique_ptr<archive, int (*)(archive*)>;
using Entry = std::unique_ptr<archive_entry, void (*)(archive_entry*)>;

tl::unexpected<Error> archive_failure(archive* handle, const std::string& what) {
  const char* text = ::archive_error_string(handle);
  const bool is_full = ::archive_errno(handle) == ENOSPC;
  return fail(is_full ? Errc::full : Errc::invalid,
              what + ": " + (text == nullptr ? "unreadable" : printable(text, 400)));
}

struct Extent {
  off_t start = 0;
  off_t end = 0;
};

Result<std::vector<Extent>> extents_of(int fd, off_t size) {
  std::vector<Extent> found;
  for (off_t at = 0; at < size;) {
    const off_t start = ::lseek(fd, at, SEEK_DATA);
    if (start < 0 && errno == ENXIO) break;  // a hole up to the end
    if (start < 0) return fail_errno(errno, "look for data");
    const off_t end = ::lseek(fd, start, SEEK_HOLE);
    if (end < 0) return fail_errno(errno, "look for holes");
    found.push_back({start, end});
    at = end;
  }
  return found;
}

Result<void> write_bytes(archive* writer, const char* data, std::size_t size) {
  while (size > 0) {
    const la_ssize_t count = ::archive_write_data(writer, data, size);
    if (count <= 0) return archive_failure(writer, "write the archive");
    data += count;
    size -= static_cast<std::size_t>(count);
  }
  return {};
}

Entry make_entry(const char* name, off_t size) {
  Entry entry(::archive_entry_new(), &::archive_entry_free);
  ::archive_entry_set_pathname(entry.get(), name);
  ::archive_entry_set_filetype(entry.get(), AE_IFREG);
  ::archive_entry_set_perm(entry.get(), 0444);
  ::archive_entry_set_size(entry.get(), size);
  ::archive_entry_set_mtime(entry.get(), 0, 0);
  return entry;
}

Result<void> write_text(archive* writer, const char* name, const std::string& text) {
  const Entry entry = make_entry(name, static_cast<off_t>(text.size()));
  if (::archive_write_header(writer, entry.get()) != ARCHIVE_OK) {
    return archive_failure(writer, "write the archive");
  }
  return write_bytes(writer, text.data(), text.size());
}

// libarchive takes the whole length and stores only what lies in the extents, so the holes are
// handed over as zeros.
Result<void> write_range(archive* writer, int fd, Extent range, bool is_hole) {
  std::vector<char> buffer(kBlock);
  for (off_t at = range.start; at < range.end;) {
    auto count = static_cast<ssize_t>(std::min<off_t>(range.end - at, kBlock));
    if (!is_hole) count = ::pread(fd, buffer.data(), static_cast<std::size_t>(count), at);
    if (count < 0) return fail_errno(errno, "read the image");
    if (count == 0) return fail(Errc::io, "the image became shorter");
    TRY(write_bytes(writer, buffer.data(), static_cast<std::size_t>(count)));
    at += count;
  }
  return {};
}

Result<void> write_rootfs(archive* writer, const PinnedImage& image, const Bar& bar) {
  const int fd = image.lock.get();
  const auto size = static_cast<off_t>(image.manifest.size.value);
  TRY_ASSIGN(const auto extents, extents_of(fd, size));
  const Entry entry = make_entry(kRootfsEntry, size);
  for (const Extent& extent : extents) {
    ::archive_entry_sparse_add_entry(entry.get(), extent.start, extent.end - extent.start);
  }
  if (::archive_write_header(writer, entry.get()) != ARCHIVE_OK) {
    return archive_failure(writer, "write the archive");
  }
  off_t at = 0;
  Bytes done;
  for (const Extent& extent : extents) {
    TRY(write_range(writer, fd, {at, extent.start}, true));
    TRY(write_range(writer, fd, extent, false));
    at = extent.end;
    done += Bytes{static_cast<std::uint64_t>(extent.end - extent.start)};
    if (bar) bar(done, image.manifest.allocated);
  }
  return write_range(writer, fd, {at, size}, true);
}

Result<void> write_archive(const PinnedImage& image, int fd, bool compress, const Bar& bar) {
  const Archive writer(::archive_write_new(), &::archive_write_free);
  if (!writer) return fail(Errc::io, "libarchive: no memory");
  ::archive_write_set_format_pax(writer.get());
  if (compress) (void)::archive_write_add_filter_zstd(writer.get());  // else uncompressed
  if (::archive_write_open_fd(writer.get(), fd) != ARCHIVE_OK) {
    return archive_failure(writer.get(), "write the archive");
  }
  TRY(write_text(writer.get(), kManifestEntry, manifest_json(image.manifest)));
  // That of the manifest may be of the tree the filesystem was written from.
  const std::string digest = sys::sha256_file(image.path);
  if (digest.empty()) return fail(Errc::io, image.path + " cannot be read");
  TRY(write_text(writer.get(), kDigestEntry, digest + "\n"));
  TRY(write_rootfs(writer.get(), image, bar));
  if (::archive_write_close(writer.get()) != ARCHIVE_OK) {
    return archive_failure(writer.get(), "write the archive");
  }
  return {};
}

Result<void> write_file_of(const PinnedImage& image, const std::string& draft, bool compress,
                           const Bar& bar) {
  Fd fd(::open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!fd) return fail_errno(errno, "create " + draft);
  TRY(write_archive(image, fd.get(), compress, bar));
  if (::fsync(fd.get()) != 0) return fail_errno(errno, "fsync " + draft);
  return fd.close();
}

// ---- the way back
// --------------------------------------------------------------------------------

Result<Archive> open_archive(const std::string& file) {
  Archive reader(::archive_read_new(), &::archive_read_free);
  if (!reader) return fail(Errc::io, "libarchive: no memory");
  (void)::archive_read_support_format_tar(reader.get());
  (void)::archive_read_support_filter_all(reader.get());
  TRY(sys::open_read(file));  // its error is the better one
  if (::archive_read_open_filename(reader.get(), file.c_str(), kBlock) != ARCHIVE_OK) {
    return archive_failure(reader.get(), file);
  }
  return reader;
}

// The next entry; Err unless it is a plain file of this name and within the limit.
Result<std::uint64_t> next_file(archive* reader, const char* name, Bytes limit) {
  archive_entry* entry = nullptr;
  const int status = ::archive_read_next_header(reader, &entry);
  if (status == ARCHIVE_EOF) return fail(Errc::invalid, std::string("it has no ") + name);
  if (status != ARCHIVE_OK) return archive_failure(reader, "read the archive");
  const char* found = ::archive_entry_pathname(entry);
  const bool is_it = found != nullptr && std::string_view(found) == name &&
                     ::archive_entry_filetype(entry) == AE_IFREG &&
                     ::archive_entry_hardlink(entry) == nullptr;
  if (!is_it) return fail(Errc::invalid, std::string("its next entry is not the file ") + name);
  const auto size = static_cast<std::uint64_t>(::archive_entry_size(entry));
  if (size > limit.value) {
    return fail(Errc::too_large,
                std::string(name) + " in it is too long: " + format_bytes(Bytes{size}));
  }
  return size;
}

Result<std::string> read_text(archive* reader, const char* name) {
  TRY_ASSIGN(const std::uint64_t size, next_file(reader, name, Bytes{kMaxManifest}));
  std::string text(size, '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    const la_ssize_t count = ::archive_read_data(reader, text.data() + have, text.size() - have);
    if (count <= 0) return archive_failure(reader, "read the archive");
    have += static_cast<std::size_t>(count);
  }
  return text;
}

Result<Manifest> read_manifest(archive* reader) {
  TRY_ASSIGN(const std::string text, read_text(reader, kManifestEntry));
  TRY_ASSIGN(Manifest manifest, context(parse_manifest(text), kManifestEntry));
  if (manifest.id != image_id(manifest)) {
    return fail(Errc::invalid, "its manifest has another id than its content makes");
  }
  if (manifest.architecture != host_architecture()) {
    return fail(Errc::unsupported, "the image is for " + printable(manifest.architecture, 40) +
                                       ", this host boots " + host_architecture());
  }
  return manifest;
}

Result<void> write_at(int fd, const char* data, std::size_t size, off_t at) {
  while (size > 0) {
    const ssize_t count = ::pwrite(fd, data, size, at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(errno, "write the image");
    data += count;
    at += count;
    size -= static_cast<std::size_t>(count);
  }
  return {};
}

bool is_zero(const char* data, std::size_t size) {
  return size > 0 && data[0] == 0 && std::equal(data, data + size - 1, data + 1);
}

Result<void> read_rootfs(archive* reader, const Manifest& manifest, const std::string& path,
                         const Bar& bar) {
  TRY_ASSIGN(const std::uint64_t size, next_file(reader, kRootfsEntry, kMaxRootfs));
  if (size != manifest.size.value) {
    return fail(Errc::invalid, "its filesystem is not of the size the manifest says");
  }
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!fd) return fail_errno(errno, "create " + path);
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return fail_errno(errno, path);
  Bytes done;
  while (true) {
    const void* data = nullptr;
    std::size_t count = 0;
    la_int64_t at = 0;
    const int status = ::archive_read_data_block(reader, &data, &count, &at);
    if (status == ARCHIVE_EOF) break;
    if (status != ARCHIVE_OK) return archive_failure(reader, "read the archive");
    const bool fits = at >= 0 && static_cast<std::uint64_t>(at) <= size &&
                      count <= size - static_cast<std::uint64_t>(at);
    if (!fits) return fail(Errc::invalid, "its filesystem is longer than it says");
    const char* bytes = static_cast<const char*>(data);
    if (!is_zero(bytes, count)) TRY(write_at(fd.get(), bytes, count, at));
    done += Bytes{count};
    if (bar) bar(done, manifest.allocated);
  }
  return fd.close();
}

Result<Manifest> take_in(archive* reader, const ImageStore& store, const Bar& bar) {
  TRY_ASSIGN(Manifest manifest, read_manifest(reader));
  TRY_ASSIGN(const std::string digest, read_text(reader, kDigestEntry));
  TRY_ASSIGN(const WorkDirectory work, store.make_work_directory());
  const std::string rootfs = work.path() + "/" + kRootfsEntry;
  TRY(read_rootfs(reader, manifest, rootfs, bar));
  if (sys::sha256_file(rootfs) + "\n" != digest) {
    return fail(Errc::invalid, "its filesystem has another digest than it says");
  }
  manifest.allocated = sys::allocated_size(rootfs);
  TRY_ASSIGN(manifest.id, store.add(work.path(), manifest));
  return manifest;
}

}  // namespace

Result<void> export_image(const ImageStore& store, const std::string& ref, const std::string& file,
                          const Bar& bar) {
  TRY_ASSIGN(const PinnedImage image, store.pin(ref));
  const bool compress = !file.ends_with(".tar");
  if (file == "-") return write_archive(image, STDOUT_FILENO, compress, bar);
  const std::string draft = file + ".new-" + std::to_string(::getpid());
  auto written = write_file_of(image, draft, compress, bar);
  if (written) written = sys::rename_durably(draft, file);
  if (!written) (void)sys::remove_file(draft);  // the first error is the one to tell
  return written;
}

Result<bool> is_exported_image(const std::string& file) {
  struct stat facts {};
  if (::stat(file.c_str(), &facts) != 0) return fail_errno(errno, file);
  if (!S_ISREG(facts.st_mode)) return false;
  const auto reader = open_archive(file);
  return reader && next_file(reader->get(), kManifestEntry, Bytes{kMaxManifest}).has_value();
}

Result<Manifest> import_exported(const ImageStore& store, const std::string& file, const Bar& bar) {
  TRY_ASSIGN(const Archive reader, open_archive(file));
  return context(take_in(reader.get(), store, bar), file);
}

}  // namespace mvr::image
