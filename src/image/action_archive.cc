#include "image/action_archive.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>

#include "base/fd.h"
#include "base/text.h"
#include "image/tar_stream.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr std::uint64_t kMostEntries = 500'000;
constexpr std::uint64_t kMostUnpacked = std::uint64_t{4} << 30U;

Result<void> check_gzip(const Fd& file) {
  std::array<unsigned char, 2> magic{};
  const ssize_t got = ::pread(file.get(), magic.data(), magic.size(), 0);
  if (got < 0) return fail_errno(errno, "read");
  if (got == 2 && magic[0] == 0x1f && magic[1] == 0x8b) return {};
  return fail(Errc::invalid, "it is not compressed with gzip");
}

// The path without "./" in front; it must not lead elsewhere.
Result<std::string_view> path_inside(std::string_view path) {
  for (const std::string_view part : split(path, '/')) {
    if (part == "..") return fail(Errc::invalid, "it leads out of its directory by ..");
  }
  if (path.starts_with("/")) {
    return fail(Errc::invalid, "\"" + printable(path, 80) + "\" is no path inside it");
  }
  while (path.starts_with("./")) path.remove_prefix(2);
  return path == "." ? std::string_view() : path;
}

// Counts what an archive holds, entry by entry.
class Contents {
 public:
  Result<void> add(archive_entry* entry) {
    const char* name = ::archive_entry_pathname(entry);
    if (name == nullptr) return fail(Errc::invalid, "it has an entry without a name");
    TRY_ASSIGN(const std::string_view path, path_inside(name));
    if (path.empty()) return {};
    const std::string_view top = path.substr(0, path.find('/'));
    if (top_.empty()) top_ = top;
    if (top != top_) return fail(Errc::invalid, "it has more than one directory at its top");
    if (path == top && ::archive_entry_filetype(entry) != AE_IFDIR) {
      return fail(Errc::invalid, "what is at its top is no directory");
    }
    const la_int64_t size =
        ::archive_entry_size_is_set(entry) != 0 ? ::archive_entry_size(entry) : 0;
    unpacked_ += size > 0 ? static_cast<std::uint64_t>(size) : 0;
    if (++entries_ > kMostEntries || unpacked_ > kMostUnpacked) {
      return fail(Errc::too_large, "it would be too large unpacked");
    }
    return {};
  }
  [[nodiscard]] bool empty() const { return top_.empty(); }

 private:
  std::string top_;
  std::uint64_t entries_ = 0;
  std::uint64_t unpacked_ = 0;
};

Result<void> check(const Fd& file) {
  TRY(check_gzip(file));
  const Utf8Names names;
  std::atomic<std::uint64_t> read{0};
  TarStream tar(file.get(), read);
  TRY(tar.open(false, false));
  Contents contents;
  while (true) {
    TRY_ASSIGN(archive_entry* const entry, tar.next());
    if (entry == nullptr) break;
    TRY(contents.add(entry));
  }
  if (contents.empty()) return fail(Errc::invalid, "it is empty");
  return tar.drain();
}

}  // namespace

Result<void> check_action_archive(const std::string& path) {
  TRY_ASSIGN(const Fd file, sys::open_read(path));
  return context(check(file), "not an action's archive");
}

}  // namespace mvr::image
