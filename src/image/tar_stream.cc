#include "image/tar_stream.h"

#include <unistd.h>

#include <cerrno>

#include "base/text.h"

namespace mvr::image {
namespace {

constexpr std::size_t kReadBlock = 256U << 10U;

}  // namespace

Utf8Names::Utf8Names() : locale_(::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
  if (locale_ != nullptr) before_ = ::uselocale(locale_);
}

Utf8Names::~Utf8Names() {
  if (locale_ == nullptr) return;
  ::uselocale(before_);
  ::freelocale(locale_);
}

tl::unexpected<Error> archive_failure(archive* handle, const std::string& what) {
  const char* text = ::archive_error_string(handle);
  return fail(Errc::invalid, what + ": " + (text == nullptr ? "unreadable" : printable(text, 400)));
}

la_ssize_t TarStream::pull(archive* handle, const void** data) {
  while (true) {
    const ssize_t got = ::read(fd_, buffer_.data(), buffer_.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      ::archive_set_error(handle, errno, "it cannot be read");
      return -1;
    }
    *data = buffer_.data();
    bytes_read_ += static_cast<std::uint64_t>(got);
    if (with_digest_) digest_.add({buffer_.data(), static_cast<std::size_t>(got)});
    return got;
  }
}

// The pieces of a "raw" archive follow each other without gaps.
la_ssize_t TarStream::unpack(archive* handle, const void** data) {
  std::size_t size = 0;
  la_int64_t offset = 0;
  *data = nullptr;
  const int code = ::archive_read_data_block(raw_.get(), data, &size, &offset);
  if (code == ARCHIVE_EOF) return 0;
  if (code != ARCHIVE_OK) {
    const char* text = ::archive_error_string(raw_.get());
    ::archive_set_error(handle, EIO, "%s", text == nullptr ? "it cannot be unpacked" : text);
    return -1;
  }
  if (with_diff_id_) diff_id_.add({static_cast<const char*>(*data), size});
  return static_cast<la_ssize_t>(size);
}

la_ssize_t TarStream::read_raw(archive* handle, void* self, const void** data) {
  return static_cast<TarStream*>(self)->pull(handle, data);
}

la_ssize_t TarStream::read_plain(archive* handle, void* self, const void** data) {
  return static_cast<TarStream*>(self)->unpack(handle, data);
}

Result<void> TarStream::open(bool with_digest, bool with_diff_id) {
  with_digest_ = with_digest;
  with_diff_id_ = with_diff_id;
  buffer_ = PageBuffer(kReadBlock);
  raw_.reset(::archive_read_new());
  tar_.reset(::archive_read_new());
  if (!raw_ || !tar_) return fail(Errc::io, "libarchive: no memory");
  // Only what libarchive unpacks itself: its other filters start programs.
  ::archive_read_support_filter_gzip(raw_.get());
  ::archive_read_support_filter_bzip2(raw_.get());
  ::archive_read_support_filter_xz(raw_.get());
  ::archive_read_support_filter_zstd(raw_.get());
  ::archive_read_support_format_raw(raw_.get());
  ::archive_read_support_format_empty(raw_.get());
  if (::archive_read_open(raw_.get(), this, nullptr, read_raw, nullptr) != ARCHIVE_OK) {
    return archive_failure(raw_.get(), "archive");
  }
  archive_entry* whole = nullptr;
  const int code = ::archive_read_next_header(raw_.get(), &whole);
  if (code == ARCHIVE_EOF) return fail(Errc::invalid, "archive: it is empty");
  if (code != ARCHIVE_OK) return archive_failure(raw_.get(), "archive");
  ::archive_read_support_format_tar(tar_.get());
  if (::archive_read_open(tar_.get(), this, nullptr, read_plain, nullptr) != ARCHIVE_OK) {
    return archive_failure(tar_.get(), "archive");
  }
  return {};
}

Result<archive_entry*> TarStream::next() {
  archive_entry* entry = nullptr;
  const int code = ::archive_read_next_header(tar_.get(), &entry);
  if (code == ARCHIVE_EOF) return nullptr;
  // A warning is about a text that is not UTF-8: it is kept as it is.
  if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return archive_failure(tar_.get(), "archive");
  return entry;
}

Result<TarStream::Piece> TarStream::piece() {
  const void* data = nullptr;
  std::size_t size = 0;
  la_int64_t offset = 0;
  while (true) {
    const int code = ::archive_read_data_block(tar_.get(), &data, &size, &offset);
    if (code == ARCHIVE_EOF) return Piece{};
    if (code != ARCHIVE_OK) return archive_failure(tar_.get(), "archive");
    if (size == 0) continue;
    if (offset < 0) return fail(Errc::invalid, "archive: data before the start of a file");
    return Piece{static_cast<std::uint64_t>(offset), {static_cast<const char*>(data), size}};
  }
}

Result<void> TarStream::drain() {
  const void* data = nullptr;
  while (true) {
    const la_ssize_t got = unpack(tar_.get(), &data);
    if (got < 0) return archive_failure(tar_.get(), "archive");
    if (got == 0) break;
  }
  // What follows the compressed data belongs to the digest, and a writer into a pipe must end.
  while (true) {
    const la_ssize_t got = pull(raw_.get(), &data);
    if (got < 0) return archive_failure(raw_.get(), "archive");
    if (got == 0) return {};
  }
}

}  // namespace mvr::image
