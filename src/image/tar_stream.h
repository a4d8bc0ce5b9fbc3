// A tar, plain or compressed, from a descriptor; with the digests of what was read.
#pragma once

#include <atomic>
#include <clocale>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <archive.h>
#include <archive_entry.h>

#include "base/page_buffer.h"
#include "base/result.h"
#include "sys/sha256.h"

namespace mvr::image {

// libarchive converts names through the thread's locale; in "C" every name beyond ASCII fails.
class Utf8Names {
 public:
  Utf8Names();
  ~Utf8Names();
  Utf8Names(const Utf8Names&) = delete;
  Utf8Names& operator=(const Utf8Names&) = delete;
  Utf8Names(Utf8Names&&) = delete;
  Utf8Names& operator=(Utf8Names&&) = delete;

 private:
  locale_t locale_ = nullptr;
  locale_t before_ = nullptr;
};

using Archive = std::unique_ptr<archive, int (*)(archive*)>;

// Err invalid with libarchive's own words.
tl::unexpected<Error> archive_failure(archive* handle, const std::string& what);

class TarStream {
 public:
  // `fd` stays the caller's. `bytes_read` grows by what is read from it.
  TarStream(int fd, std::atomic<std::uint64_t>& bytes_read) : fd_(fd), bytes_read_(bytes_read) {}
  TarStream(const TarStream&) = delete;
  TarStream& operator=(const TarStream&) = delete;
  TarStream(TarStream&&) = delete;
  TarStream& operator=(TarStream&&) = delete;
  ~TarStream() = default;
  // Digests cost time: they are made only where asked for.
  Result<void> open(bool with_digest, bool with_diff_id);
  // Null at the end.
  Result<archive_entry*> next();
  // What the current entry holds; empty at its end. The bytes between two pieces are zeros.
  struct Piece {
    std::uint64_t offset = 0;
    std::string_view data;
  };
  Result<Piece> piece();
  // Reads what follows the last entry, too.
  Result<void> drain();
  // After drain(): "sha256:<hex>".
  std::string digest() { return "sha256:" + digest_.take_hex(); }
  std::string diff_id() { return "sha256:" + diff_id_.take_hex(); }

 private:
  static la_ssize_t read_raw(archive* handle, void* self, const void** data);
  static la_ssize_t read_plain(archive* handle, void* self, const void** data);
  la_ssize_t pull(archive* handle, const void** data);
  la_ssize_t unpack(archive* handle, const void** data);

  int fd_;
  bool with_digest_ = false;
  bool with_diff_id_ = false;
  std::atomic<std::uint64_t>& bytes_read_;
  PageBuffer buffer_;
  sys::Sha256 digest_;
  sys::Sha256 diff_id_;
  Archive raw_{nullptr, ::archive_read_free};
  Archive tar_{nullptr, ::archive_read_free};
};

}  // namespace mvr::image
