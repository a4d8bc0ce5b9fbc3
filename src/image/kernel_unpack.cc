#include "image/kernel_unpack.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "base/fd.h"
#include "image/block_file.h"
#include "image/kernel_image.h"
#include "image/tar_stream.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr std::uint64_t kMostPacked = 256U << 20U;
constexpr std::uint64_t kMostUnpacked = 1U << 30U;
// Of the setup header, Documentation/arch/x86/boot.rst.
constexpr std::size_t kSetupSectors = 0x1f1;
constexpr std::size_t kMagic = 0x202;
constexpr std::size_t kVersion = 0x206;
constexpr std::size_t kPayloadOffset = 0x248;
constexpr std::size_t kPayloadLength = 0x24c;
constexpr std::size_t kHeaderEnd = 0x250;
constexpr std::uint16_t kHasPayload = 0x0208;
constexpr std::size_t kSector = 512;

template <typename T>
T number_at(std::string_view bytes, std::size_t offset) {
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

bool is_bzimage(std::string_view file) {
  return file.size() >= kHeaderEnd && file.substr(kMagic, 4) == "HdrS";
}

Result<std::string> read_whole(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return fail_errno(errno, path);
  if (static_cast<std::uint64_t>(info.st_size) > kMostPacked) {
    return fail(Errc::too_large, "more than 256MiB");
  }
  return sys::read_file(path, kMostPacked);
}

Result<std::string_view> payload_of(std::string_view file) {
  if (number_at<std::uint16_t>(file, kVersion) < kHasPayload) {
    return fail(Errc::unsupported, "it is older than Linux 2.6.26");
  }
  const auto sectors = static_cast<unsigned char>(file[kSetupSectors]);
  const std::size_t code = (std::size_t{sectors == 0 ? 4U : sectors} + 1) * kSector;
  const std::size_t offset = code + number_at<std::uint32_t>(file, kPayloadOffset);
  const std::size_t length = number_at<std::uint32_t>(file, kPayloadLength);
  if (offset > file.size() || length > file.size() - offset || length < 8) {
    return fail(Errc::invalid, "what it says of its payload is not true");
  }
  std::string_view payload = file.substr(offset, length);
  // The build appends the unpacked size where the format does not end with it itself.
  const bool is_gzip = payload.starts_with("\x1f\x8b");
  if (!is_gzip) payload.remove_suffix(4);
  return payload;
}

Result<void> unpack(std::string_view payload, int output) {
  const Archive reader(::archive_read_new(), ::archive_read_free);
  if (!reader) return fail(Errc::io, "libarchive: no memory");
  // Only what libarchive unpacks itself: its other filters start programs.
  ::archive_read_support_filter_gzip(reader.get());
  ::archive_read_support_filter_bzip2(reader.get());
  ::archive_read_support_filter_lzma(reader.get());
  ::archive_read_support_filter_xz(reader.get());
  ::archive_read_support_filter_zstd(reader.get());
  if (::archive_liblz4_version() != nullptr) ::archive_read_support_filter_lz4(reader.get());
  ::archive_read_support_format_raw(reader.get());
  archive_entry* entry = nullptr;
  if (::archive_read_open_memory(reader.get(), payload.data(), payload.size()) != ARCHIVE_OK ||
      ::archive_read_next_header(reader.get(), &entry) != ARCHIVE_OK) {
    return archive_failure(reader.get(), "its payload");
  }
  while (true) {
    const void* data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    const int code = ::archive_read_data_block(reader.get(), &data, &size, &offset);
    if (code == ARCHIVE_EOF) return {};
    if (code != ARCHIVE_OK) return archive_failure(reader.get(), "its payload");
    const auto at = static_cast<std::uint64_t>(offset);
    if (at + size > kMostUnpacked) return fail(Errc::too_large, "it unpacks to more than 1GiB");
    TRY(write_at(output, {static_cast<const char*>(data), size}, at));
  }
}

Result<void> write_vmlinux(std::string_view file, const std::string& output) {
  TRY_ASSIGN(const std::string_view payload, payload_of(file));
  const Fd out(::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!out) return fail_errno(errno, "create " + output);
  TRY(unpack(payload, out.get()));
  return check_kernel_image(output);
}

}  // namespace

Result<bool> unpack_bzimage(const std::string& path, const std::string& output) {
  TRY_ASSIGN(const std::string file, read_whole(path));
  if (!is_bzimage(file)) return false;
  auto written = write_vmlinux(file, output);
  if (written) return true;
  (void)sys::remove_file(output);
  return fail(written.error());
}

Result<std::string> uncompressed_kernel(const std::string& path) {
  std::string plain = path.substr(0, path.rfind('/') + 1) + "vmlinux";
  if (plain == path || sys::exists(plain)) return plain;
  const std::string draft = plain + ".new";
  TRY(sys::remove_file(draft));  // of a start that was cut off
  TRY_ASSIGN(const bool was_packed, unpack_bzimage(path, draft));
  if (!was_packed) return path;
  if (::chmod(draft.c_str(), 0444) != 0) return fail_errno(errno, "chmod " + draft);
  TRY(sys::rename_durably(draft, plain));
  return plain;
}

}  // namespace mvr::image
