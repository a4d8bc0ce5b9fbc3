#include "image/extract.h"

#include <sys/stat.h>

#include <climits>
#include <clocale>
#include <cstdlib>
#include <memory>

#include <archive.h>
#include <archive_entry.h>

#include "base/text.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr std::size_t kReadBlock = 256U << 10U;

using Reader = std::unique_ptr<archive, int (*)(archive*)>;

// libarchive converts names through the thread's locale; in "C" every name beyond ASCII fails.
class Utf8Names {
 public:
  Utf8Names() : locale_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    if (locale_ != nullptr) before_ = ::uselocale(locale_);
  }
  Utf8Names(const Utf8Names&) = delete;
  Utf8Names& operator=(const Utf8Names&) = delete;
  Utf8Names(Utf8Names&&) = delete;
  Utf8Names& operator=(Utf8Names&&) = delete;
  ~Utf8Names() {
    if (locale_ == nullptr) return;
    ::uselocale(before_);
    ::freelocale(locale_);
  }

 private:
  locale_t locale_ = nullptr;
  locale_t before_ = nullptr;
};

tl::unexpected<Error> archive_failure(archive* handle, const std::string& what) {
  const char* text = ::archive_error_string(handle);
  return fail(Errc::invalid, what + ": " + (text == nullptr ? "unreadable" : printable(text, 400)));
}

// A path inside the archive, relative and without a way out.
Result<std::string> inner_path(const char* name) {
  if (name == nullptr) return fail(Errc::invalid, "an entry without a readable name");
  const std::string_view path(name);
  const auto refused = [&](const char* why) {
    return fail(Errc::invalid, "entry \"" + printable(path, 200) + "\": " + why);
  };
  if (path.empty() || path.size() > PATH_MAX) return refused("no usable path");
  if (path.front() == '/') return refused("an absolute path");
  std::string clean;
  for (const std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return refused("a path with \"..\"");
    clean += "/";
    clean += part;
  }
  return clean;
}

class Extractor {
 public:
  Extractor(std::string root, Trust trust, ExtractLimits limits)
      : root_(std::move(root)), trust_(trust), limits_(limits) {}

  Result<void> extract_all(archive* reader) {
    if (!writer_) return fail(Errc::io, "libarchive: no memory");
    int flags = ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_SECURE_NODOTDOT |
                ARCHIVE_EXTRACT_SECURE_SYMLINKS;
    if (trust_ == Trust::rootfs) {
      flags |= ARCHIVE_EXTRACT_OWNER | ARCHIVE_EXTRACT_XATTR | ARCHIVE_EXTRACT_ACL;
    }
    ::archive_write_disk_set_options(writer_.get(), flags);
    archive_entry* entry = nullptr;
    while (true) {
      const int code = ::archive_read_next_header(reader, &entry);
      if (code == ARCHIVE_EOF) break;
      if (code != ARCHIVE_OK) return archive_failure(reader, "archive");
      TRY(extract_one(reader, entry));
    }
    // Directory times and modes are set last.
    if (::archive_write_close(writer_.get()) != ARCHIVE_OK) {
      return archive_failure(writer_.get(), "unpack");
    }
    return {};
  }

 private:
  Result<void> extract_one(archive* reader, archive_entry* entry) {
    if (++entries_ > limits_.entries) return fail(Errc::too_large, "archive: too many entries");
    TRY_ASSIGN(const std::string inner, inner_path(::archive_entry_pathname(entry)));
    if (inner.empty()) return {};  // "./" itself: the directory exists
    TRY(check_kind(entry, inner));
    ::archive_entry_copy_pathname(entry, (root_ + inner).c_str());
    if (::archive_entry_hardlink(entry) != nullptr) {
      TRY_ASSIGN(const std::string target, inner_path(::archive_entry_hardlink(entry)));
      ::archive_entry_copy_hardlink(entry, (root_ + target).c_str());
    }
    if (::archive_write_header(writer_.get(), entry) != ARCHIVE_OK) {
      return archive_failure(writer_.get(), "unpack " + printable(inner, 200));
    }
    TRY(copy_data(reader, inner));
    if (::archive_write_finish_entry(writer_.get()) != ARCHIVE_OK) {
      return archive_failure(writer_.get(), "unpack " + printable(inner, 200));
    }
    return {};
  }

  Result<void> check_kind(archive_entry* entry, const std::string& inner) const {
    if (trust_ == Trust::rootfs) return {};
    const mode_t kind = ::archive_entry_filetype(entry);
    const bool plain = kind == AE_IFREG || kind == AE_IFDIR || kind == AE_IFLNK ||
                       ::archive_entry_hardlink(entry) != nullptr;
    if (!plain) {
      return fail(Errc::invalid, "entry \"" + printable(inner, 200) + "\": a special file");
    }
    ::archive_entry_set_perm(entry, ::archive_entry_perm(entry) & 0777U);
    return {};
  }

  Result<void> copy_data(archive* reader, const std::string& inner) {
    const void* data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    while (true) {
      const int code = ::archive_read_data_block(reader, &data, &size, &offset);
      if (code == ARCHIVE_EOF) return {};
      if (code != ARCHIVE_OK) return archive_failure(reader, "archive");
      written_ += Bytes{size};
      if (written_ > limits_.bytes) return fail(Errc::too_large, "archive: too much data");
      if (::archive_write_data_block(writer_.get(), data, size, offset) != ARCHIVE_OK) {
        return archive_failure(writer_.get(), "unpack " + printable(inner, 200));
      }
    }
  }

  std::string root_;
  Trust trust_;
  ExtractLimits limits_;
  Reader writer_{::archive_write_disk_new(), ::archive_write_free};
  std::uint64_t entries_ = 0;
  Bytes written_;
};

Result<Reader> new_reader() {
  Reader reader(::archive_read_new(), ::archive_read_free);
  if (!reader) return fail(Errc::io, "libarchive: no memory");
  ::archive_read_support_format_tar(reader.get());
  ::archive_read_support_filter_all(reader.get());
  return reader;
}

Result<void> extract(archive* reader, const std::string& directory, Trust trust,
                     ExtractLimits limits) {
  // The safe-link check of libarchive covers the whole path, the part above `directory` too.
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(directory.c_str(), nullptr),
                                                    std::free);
  if (!real) return fail_errno(errno, directory);
  return Extractor(real.get(), trust, limits).extract_all(reader);
}

}  // namespace

Result<void> extract_file(const std::string& archive, const std::string& directory, Trust trust,
                          ExtractLimits limits) {
  const Utf8Names names;
  TRY_ASSIGN(const Reader reader, new_reader());
  if (::archive_read_open_filename(reader.get(), archive.c_str(), kReadBlock) != ARCHIVE_OK) {
    return archive_failure(reader.get(), archive);
  }
  return context(extract(reader.get(), directory, trust, limits), archive);
}

Result<void> extract_stream(int fd, const std::string& directory, Trust trust,
                            ExtractLimits limits) {
  const Utf8Names names;
  TRY_ASSIGN(const Reader reader, new_reader());
  if (::archive_read_open_fd(reader.get(), fd, kReadBlock) != ARCHIVE_OK) {
    return archive_failure(reader.get(), "export");
  }
  return extract(reader.get(), directory, trust, limits);
}

}  // namespace mvr::image
