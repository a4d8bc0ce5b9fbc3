#include "image/kernel_unpack.h"

#include <cstring>

#include <archive.h>
#include <archive_entry.h>

#include "fixture.h"
#include "vmlinux.h"

namespace mvr::image {
namespace {

constexpr std::size_t kCode = 2 * 512;  // behind the boot sector and one of setup
constexpr std::uint32_t kOffset = 64;

std::string packed(const std::string& content, const char* filter) {
  std::string bytes(content.size() + 65536, '\0');
  std::size_t used = 0;
  archive* writer = ::archive_write_new();
  REQUIRE(::archive_write_add_filter_by_name(writer, filter) == ARCHIVE_OK);
  REQUIRE(::archive_write_set_format_raw(writer) == ARCHIVE_OK);
  REQUIRE(::archive_write_set_bytes_in_last_block(writer, 1) == ARCHIVE_OK);
  REQUIRE(::archive_write_open_memory(writer, bytes.data(), bytes.size(), &used) == ARCHIVE_OK);
  archive_entry* entry = ::archive_entry_new();
  ::archive_entry_set_filetype(entry, AE_IFREG);
  REQUIRE(::archive_write_header(writer, entry) == ARCHIVE_OK);
  REQUIRE(::archive_write_data(writer, content.data(), content.size()) ==
          static_cast<la_ssize_t>(content.size()));
  ::archive_entry_free(entry);
  REQUIRE(::archive_write_close(writer) == ARCHIVE_OK);
  ::archive_write_free(writer);
  bytes.resize(used);
  return bytes;
}

// As the kernel's build makes it: the size follows, but for gzip, whose trailer it is.
std::string payload_of(const std::string& content, const std::string& filter) {
  std::string payload = packed(content, filter.c_str());
  if (filter == "gzip") return payload;
  const auto size = static_cast<std::uint32_t>(content.size());
  payload.append(4, '\0');
  std::memcpy(payload.data() + payload.size() - 4, &size, 4);
  return payload;
}

std::string bzimage(const std::string& payload) {
  std::string file(kCode + kOffset, '\x90');
  file[0x1f1] = 1;
  file.replace(0x202, 4, "HdrS");
  set(file, 0x206, std::uint16_t{0x020f});
  set(file, 0x248, kOffset);
  set(file, 0x24c, static_cast<std::uint32_t>(payload.size()));
  return file + payload + "and what follows it";
}

struct Files {
  TempDir directory;
  std::string path = directory / "vmlinuz";
  std::string output = directory / "vmlinux";
  Result<bool> unpack(const std::string& file) {
    put(path, file);
    return unpack_bzimage(path, output);
  }
};

TEST_CASE("the kernel in a bzImage is unpacked, however it was packed") {
  const std::string filter =
      GENERATE(as<std::string>{}, "gzip", "bzip2", "lzma", "xz", "zstd", "lz4");
  Files files;
  const auto done = files.unpack(bzimage(payload_of(bootable(), filter)));
  INFO(filter + " " + error_of(done));
  REQUIRE(done);
  CHECK(*done);
  CHECK(get(files.output) == bootable());
}

TEST_CASE("what is no bzImage is left to others") {
  Files files;
  for (const std::string& file : {bootable(), std::string(), std::string(0x205, 'x')}) {
    const auto done = files.unpack(file);
    REQUIRE(done);
    CHECK_FALSE(*done);
    CHECK_FALSE(sys::exists(files.output));
  }
}

TEST_CASE("a bzImage that lies, or holds what cannot be booted, is told and leaves nothing") {
  const std::string good = bzimage(payload_of(bootable(), "gzip"));
  std::string bad = good;
  SECTION("a payload beyond the file") { set(bad, 0x24c, std::uint32_t{0xffffffff}); }
  SECTION("a payload that begins beyond it") { set(bad, 0x248, std::uint32_t{0xfffffff0}); }
  SECTION("no payload") { set(bad, 0x24c, std::uint32_t{0}); }
  SECTION("too old to say where it is") { set(bad, 0x206, std::uint16_t{0x0207}); }
  SECTION("cut") { bad.resize(bad.size() - 200); }
  SECTION("one byte is wrong") { bad[kCode + kOffset + 40] ^= 0x55; }
  SECTION("packed in an unknown way") { bad = bzimage(std::string(5000, 'z')); }
  SECTION("no kernel in it") { bad = bzimage(payload_of(std::string(9000, 'x'), "xz")); }
  SECTION("no PVH entry") { bad = bzimage(payload_of(vmlinux(""), "zstd")); }
  Files files;
  const auto done = files.unpack(bad);
  REQUIRE_FALSE(done);
  CHECK((done.error().code == Errc::invalid || done.error().code == Errc::unsupported));
  CHECK_FALSE(sys::exists(files.output));
}

TEST_CASE("a stored kernel is unpacked beside itself, once") {
  const TempDir directory;
  const std::string packed = directory / "vmlinuz";
  put(packed, bzimage(payload_of(bootable(), "xz")));
  put(directory / "vmlinux.new", "of a start that was cut off");
  const auto made = uncompressed_kernel(packed);
  INFO(error_of(made));
  REQUIRE(made);
  CHECK(*made == directory / "vmlinux");
  CHECK(get(*made) == bootable());
  CHECK_FALSE(sys::exists(directory / "vmlinux.new"));
  put(packed, "no longer a kernel");
  CHECK(uncompressed_kernel(packed).value() == *made);
}

TEST_CASE("a kernel that is no bzImage is its own, and one we cannot unpack is an error") {
  const TempDir directory;
  const std::string path = directory / "vmlinuz";
  put(path, bootable());
  CHECK(uncompressed_kernel(path).value() == path);
  put(path, bzimage(std::string(5000, 'z')));
  CHECK_FALSE(uncompressed_kernel(path));
  CHECK_FALSE(sys::exists(directory / "vmlinux"));
  CHECK_FALSE(sys::exists(directory / "vmlinux.new"));
}

}  // namespace
}  // namespace mvr::image
