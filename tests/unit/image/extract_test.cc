#include "image/extract.h"

#include <sys/xattr.h>

#include <archive.h>
#include <archive_entry.h>

#include "fixture.h"

namespace mvr::image {
namespace {

struct Entry {
  std::string path;
  mode_t kind = AE_IFREG;
  std::string text;  // content, or the target of a link
  mode_t mode = 0644;
};

void write_tar(const std::string& path, const std::vector<Entry>& entries) {
  archive* tar = ::archive_write_new();
  ::archive_write_set_format_pax_restricted(tar);
  ::archive_write_add_filter_gzip(tar);
  REQUIRE(::archive_write_open_filename(tar, path.c_str()) == ARCHIVE_OK);
  for (const Entry& one : entries) {
    archive_entry* entry = ::archive_entry_new();
    ::archive_entry_set_pathname(entry, one.path.c_str());
    ::archive_entry_set_perm(entry, one.mode);
    if (one.kind == 0) {
      ::archive_entry_set_filetype(entry, AE_IFREG);
      ::archive_entry_set_hardlink(entry, one.text.c_str());
    } else {
      ::archive_entry_set_filetype(entry, one.kind);
    }
    if (one.kind == AE_IFLNK) ::archive_entry_set_symlink(entry, one.text.c_str());
    const bool has_data = one.kind == AE_IFREG;
    ::archive_entry_set_size(entry, has_data ? static_cast<la_int64_t>(one.text.size()) : 0);
    REQUIRE(::archive_write_header(tar, entry) >= ARCHIVE_WARN);
    if (has_data) ::archive_write_data(tar, one.text.data(), one.text.size());
    ::archive_entry_free(entry);
  }
  REQUIRE(::archive_write_free(tar) == ARCHIVE_OK);
}

// Unpacks entries into <dir>/a/b/out; `dir` shows whatever escaped.
std::string unpack_error(const TempDir& dir, const std::vector<Entry>& entries,
                         Trust trust = Trust::release, ExtractLimits limits = {}) {
  write_tar(dir / "t.tar.gz", entries);
  std::filesystem::create_directories(dir / "a/b/out");
  return error_of(extract_file(dir / "t.tar.gz", dir / "a/b/out", trust, limits));
}

TEST_CASE("files, directories, links and names beyond ASCII are unpacked") {
  const TempDir dir;
  CHECK(unpack_error(dir, {{"./", AE_IFDIR, "", 0755},
                           {"./bin/", AE_IFDIR, "", 0755},
                           {"./bin/run", AE_IFREG, "program", 0755},
                           {"bin/again", 0, "./bin/run"},
                           {"link", AE_IFLNK, "/etc/passwd"},
                           {"\xc3\xbc", AE_IFREG, "u"}}) == "(no error)");
  CHECK(get(dir / "a/b/out/bin/again") == "program");
  CHECK(get(dir / "a/b/out/\xc3\xbc") == "u");
  CHECK(std::filesystem::read_symlink(dir / "a/b/out/link") == "/etc/passwd");
  CHECK(std::filesystem::hard_link_count(dir / "a/b/out/bin/run") == 2);
}

TEST_CASE("a path that leads out of the directory is refused and writes nothing outside") {
  const TempDir dir;
  const std::string victim = dir / "victim";
  const std::vector<Entry> hostile = {{"../victim", AE_IFREG, "x"},
                                      {"x/../../victim", AE_IFREG, "x"},
                                      {victim, AE_IFREG, "x"},
                                      {"..", AE_IFDIR, ""}};
  for (const Entry& one : hostile) {
    INFO(one.path);
    CHECK(contains(unpack_error(dir, {one}), "invalid: "));
  }
  CHECK(names_in(dir / "a") == std::vector<std::string>{"b"});
  CHECK_FALSE(sys::exists(victim));
}

TEST_CASE("a file is not written through a link that the archive made") {
  const TempDir dir;
  std::filesystem::create_directories(dir / "target");
  CHECK(contains(unpack_error(dir, {{"way", AE_IFLNK, dir / "target"}, {"way/in", AE_IFREG, "x"}}),
                 "invalid: "));
  CHECK(names_in(dir / "target").empty());
}

TEST_CASE("a hard link to a file outside is refused") {
  const TempDir dir;
  put(dir / "secret", "s");
  for (const std::string& target : {std::string("../../../secret"), dir / "secret"}) {
    CHECK(contains(unpack_error(dir, {{"mine", 0, target}}), "invalid: "));
    CHECK_FALSE(sys::exists(dir / "a/b/out/mine"));
  }
}

TEST_CASE("a release may not bring devices, and its set-id bits are dropped") {
  const TempDir dir;
  CHECK(contains(unpack_error(dir, {{"null", AE_IFCHR, ""}}), "special file"));
  CHECK(contains(unpack_error(dir, {{"pipe", AE_IFIFO, ""}}), "special file"));
  CHECK(unpack_error(dir, {{"su", AE_IFREG, "x", 04755}}) == "(no error)");
  struct stat facts {};
  REQUIRE(::stat((dir / "a/b/out/su").c_str(), &facts) == 0);
  CHECK((facts.st_mode & 07777) == 0755);
}

TEST_CASE("limits on entries and on data are kept") {
  const TempDir dir;
  ExtractLimits few;
  few.entries = 1;
  CHECK(
      contains(unpack_error(dir, {{"a", AE_IFREG, "1"}, {"b", AE_IFREG, "2"}}, Trust::release, few),
               "too_large"));
  ExtractLimits small;
  small.bytes = Bytes{10};
  CHECK(contains(unpack_error(dir, {{"c", AE_IFREG, "12345678901"}}, Trust::release, small),
                 "too_large"));
}

TEST_CASE("what is not an archive, and an archive cut short, are errors that name the file") {
  const TempDir dir;
  put(dir / "text", "this is no archive at all");
  CHECK(contains(error_of(extract_file(dir / "text", dir.path(), Trust::release, {})), "/text"));
  write_tar(dir / "t.tar.gz", {{"a", AE_IFREG, std::string(100'000, 'x')}});
  put(dir / "cut.tar.gz", get(dir / "t.tar.gz").substr(0, 80));
  CHECK(contains(error_of(extract_file(dir / "cut.tar.gz", dir.path(), Trust::release, {})),
                 "/cut.tar.gz"));
}

TEST_CASE("a builder's export keeps owners, set-id bits and attributes") {
  if (::geteuid() != 0) return skip("needs root");
  const TempDir dir;
  put(dir / "src/bin/su", "x", 0755);
  REQUIRE(::chown((dir / "src/bin/su").c_str(), 1001, 1002) == 0);
  REQUIRE(::chmod((dir / "src/bin/su").c_str(), 04755) == 0);
  REQUIRE(::setxattr((dir / "src/bin/su").c_str(), "user.note", "hi", 2, 0) == 0);
  output_of({"tar", "--xattrs", "-C", dir / "src", "-cf", dir / "t.tar", "."});
  std::filesystem::create_directory(dir / "out");
  const Fd tar(::open((dir / "t.tar").c_str(), O_RDONLY | O_CLOEXEC));
  const auto unpacked = extract_stream(tar.get(), dir / "out", Trust::rootfs, {});
  INFO(error_of(unpacked));
  REQUIRE(unpacked.has_value());
  struct stat facts {};
  REQUIRE(::stat((dir / "out/bin/su").c_str(), &facts) == 0);
  CHECK((facts.st_mode & 07777) == 04755);
  CHECK(facts.st_uid == 1001);
  CHECK(facts.st_gid == 1002);
  char note[4] = {};
  CHECK(::getxattr((dir / "out/bin/su").c_str(), "user.note", note, sizeof note) == 2);
}

}  // namespace
}  // namespace mvr::image
