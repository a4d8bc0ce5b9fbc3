#include "image/ext4_image.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image_dump.h"
#include "tar_maker.h"

namespace mvr::image {
namespace {

constexpr std::int64_t kMtime = 1'700'000'000;

// Writes one tar after the other as layers, checks the result and says what is in it.
std::map<std::string, PathFacts> image_of(const TempDir& dir,
                                          const std::vector<std::vector<TarEntry>>& layers,
                                          Ext4Options options = {}) {
  std::vector<std::string> tars;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    tars.push_back(dir / ("layer" + std::to_string(i) + ".tar"));
    make_tar(tars.back(), layers[i]);
  }
  const auto report = write_image(tars, dir / "image.ext4", options);
  INFO(error_of(report));
  REQUIRE(report.has_value());
  const auto clean = check_ext4(dir / "image.ext4");
  INFO(error_of(clean));
  REQUIRE(clean.has_value());
  CHECK(report->size.value == std::filesystem::file_size(dir / "image.ext4"));
  return dump_image(dir / "image.ext4");
}

std::string refused(const TempDir& dir, const std::vector<TarEntry>& entries,
                    Ext4Options options = {}) {
  make_tar(dir / "evil.tar", entries);
  std::string error = error_of(write_image({dir / "evil.tar"}, dir / "image.ext4", options));
  CHECK_FALSE(sys::exists(dir / "image.ext4"));
  CHECK(names_in(dir.path()) == std::vector<std::string>{"evil.tar"});
  return error;
}

std::string sha_of(const std::string& text) {
  sys::Sha256 sha;
  sha.add(text);
  return sha.take_hex();
}

TEST_CASE("owners, modes, times and contents come back as they were") {
  const TempDir dir;
  TarEntry file = tar_file("home/u/x", std::string(10'000, 'x'), 06755);
  file.uid = 4'000'000'000;
  file.gid = 123'456;
  file.nanoseconds = 987'654'321;
  const auto found = image_of(dir, {{tar_directory("home", 0711), file}});
  const PathFacts& facts = found.at("/home/u/x");
  CHECK(facts.mode == (S_IFREG | 06755U));
  CHECK(facts.uid == 4'000'000'000U);
  CHECK(facts.gid == 123'456U);
  CHECK(facts.mtime == kMtime);
  CHECK(facts.nanoseconds == 987'654'321U);
  CHECK(facts.size == 10'000);
  CHECK(facts.content == sha_of(std::string(10'000, 'x')));
  CHECK(found.at("/home").mode == (S_IFDIR | 0711U));
  // Nobody named it.
  CHECK(found.at("/home/u").mode == (S_IFDIR | 0755U));
  CHECK(found.at("/home/u").uid == 0U);
  CHECK(found.at("/home").links == 3U);
}

TEST_CASE("times before 1970 and after 2038 are kept to the nanosecond") {
  const TempDir dir;
  std::vector<TarEntry> entries;
  const std::vector<std::int64_t> times = {-2'000'000'000, -100'000, 0, 4'102'444'800,
                                           13'569'465'600};
  for (const std::int64_t time : times) {
    entries.push_back(tar_file(std::to_string(time), "x"));
    entries.back().mtime = time;
    entries.back().nanoseconds = 5;
  }
  const auto found = image_of(dir, {entries});
  for (const std::int64_t time : times) {
    CHECK(found.at("/" + std::to_string(time)).mtime == time);
    CHECK(found.at("/" + std::to_string(time)).nanoseconds == 5U);
  }
}

TEST_CASE("attributes, capabilities, devices, pipes and long links are kept") {
  const TempDir dir;
  const std::string capability("\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  TarEntry ping = tar_file("ping", "p");
  ping.attributes = {{"security.capability", capability},
                     {"user.big", std::string(3500, 'B')},
                     {"trusted.t", "tt"},
                     {"btrfs.compression", "zstd"}};
  TarEntry small = tar_file("small", "s");
  small.attributes = {{"user.a", "1"}};
  TarEntry null = tar_file("null", "", 0666);
  null.kind = AE_IFCHR;
  null.major = 1;
  null.minor = 3;
  TarEntry block = null;
  block.path = "block";
  block.kind = AE_IFBLK;
  block.major = 300;
  block.minor = 70'000;
  TarEntry fifo = tar_file("fifo", "", 0600);
  fifo.kind = AE_IFIFO;
  const auto found = image_of(
      dir,
      {{ping, small, null, block, fifo, tar_symlink("l59", std::string(59, 'a')),
        tar_symlink("l60", std::string(60, 'b')), tar_symlink("l4000", std::string(4000, 'c'))}});
  CHECK(found.at("/ping").attributes ==
        std::map<std::string, std::string>{{"security.capability", capability},
                                           {"user.big", std::string(3500, 'B')},
                                           {"trusted.t", "tt"}});
  CHECK(found.at("/small").attributes == std::map<std::string, std::string>{{"user.a", "1"}});
  CHECK(found.at("/null").major == 1U);
  CHECK(found.at("/null").minor == 3U);
  CHECK(found.at("/block").major == 300U);
  CHECK(found.at("/block").minor == 70'000U);
  CHECK(S_ISFIFO(found.at("/fifo").mode));
  for (const unsigned length : {59U, 60U, 4000U}) {
    CHECK(found.at("/l" + std::to_string(length)).content.size() == length);
  }
}

TEST_CASE("access lists are kept") {
  const TempDir dir;
  std::filesystem::create_directory(dir / "tree");
  put(dir / "tree/f", "x");
  sys::RunOptions set;
  set.argv = {"setfacl", "-m", "u:1234:r,g:77:rw", dir / "tree/f"};
  const auto result = sys::run(set);
  if (!result || !result->exit.ok()) return skip("no access lists in the temporary directory");
  output_of({"tar", "--acls", "--numeric-owner", "-C", dir / "tree", "-cf", dir / "t.tar", "."});
  REQUIRE(write_image({dir / "t.tar"}, dir / "o.ext4").has_value());
  CHECK(check_ext4(dir / "o.ext4").has_value());
  const auto facts = dump_image(dir / "o.ext4").at("/f");
  REQUIRE(facts.attributes.count("system.posix_acl_access") == 1);
  const auto byte = [](unsigned value) { return static_cast<char>(value); };
  const auto entry = [&](unsigned tag, unsigned bits, unsigned id) {
    return std::string{byte(tag),      0, byte(bits), 0, byte(id), byte(id >> 8U), byte(id >> 16U),
                       byte(id >> 24U)};
  };
  const std::string& list = facts.attributes.at("system.posix_acl_access");
  // As it lies on the disk: entries that name nobody have no id.
  CHECK(list.size() == 4 + 4 * 4 + 2 * 8);
  CHECK(list.substr(0, 4) == std::string("\1\0\0\0", 4));
  CHECK(contains(list, entry(2, 4, 1234)));
  CHECK(contains(list, entry(8, 6, 77)));
}

TEST_CASE("names that are no UTF-8, and the longest ones, are kept byte by byte") {
  const TempDir dir;
  const std::string strange = "caf\xe9-\xff\xfe";
  const std::string pretty = "F\xc5\x91tan\xc3\xba-\xe6\x97\xa5";
  const auto found =
      image_of(dir, {{tar_file(strange, "1"), tar_file(pretty, "2"),
                      tar_file(std::string(255, 'n'), "3"), tar_symlink("link", strange)}});
  CHECK(found.count("/" + strange) == 1);
  CHECK(found.count("/" + pretty) == 1);
  CHECK(found.count("/" + std::string(255, 'n')) == 1);
  CHECK(found.at("/link").content == strange);
}

TEST_CASE("a directory of many names has an index, of two levels if need be") {
  const TempDir dir;
  std::vector<TarEntry> entries;
  const int count = 11'000;
  for (int i = 0; i < count; ++i) {
    // Long names fill the index sooner.
    entries.push_back(tar_file("many/" + std::string(200, 'n') + std::to_string(i), ""));
  }
  make_tar(dir / "t.tar", entries);
  REQUIRE(write_image({dir / "t.tar"}, dir / "image.ext4").has_value());
  const auto clean = check_ext4(dir / "image.ext4");
  INFO(error_of(clean));
  REQUIRE(clean.has_value());
  // debugfs finds the last of them by its name; e2fsck has seen to it that the index has all.
  const std::string last = "/many/" + std::string(200, 'n') + std::to_string(count - 1);
  CHECK(contains(debugfs(dir / "image.ext4", "stat " + last), "Type: regular"));
  CHECK(contains(debugfs(dir / "image.ext4", "htree_dump /many"), "Indirect levels: 1"));
  CHECK(contains(debugfs(dir / "image.ext4", "stat /many"), "Flags: 0x81000"));
}

TEST_CASE("hard links reach into lower layers, also when the first name goes later") {
  const TempDir dir;
  const auto found = image_of(dir, {{tar_file("a", "HL"), tar_file("gone", "x")},
                                    {tar_link("b", "a"), tar_link("c", "./b")},
                                    {tar_file(".wh.a", "")}});
  CHECK(found.count("/a") == 0);
  CHECK(found.at("/b").inode == found.at("/c").inode);
  CHECK(found.at("/b").links == 2U);
  CHECK(found.at("/b").content == sha_of("HL"));
}

TEST_CASE("markers hide what lower layers have, wherever they stand in theirs") {
  const TempDir dir;
  const std::vector<TarEntry> lower = {
      tar_directory("etc"), tar_file("etc/keep", "k"), tar_file("etc/gone", "g"),
      tar_directory("opq"), tar_file("opq/old", "o"),  tar_file("opq/sub/x", "x"),
      tar_directory("dir"), tar_file("dir/in", "i"),   tar_file("file", "f")};
  std::vector<TarEntry> upper = {tar_file("etc/.wh.gone", ""),  tar_directory("opq", 0700),
                                 tar_file("opq/new", "n"),      tar_file("opq/.wh..wh..opq", ""),
                                 tar_file("dir", "now a file"), tar_file(".wh.dir", ""),
                                 tar_directory("file"),         tar_file("file/inner", "i"),
                                 tar_file(".wh..wh.plnk", "")};
  std::vector<std::string> paths;
  const auto check = [&] {
    paths.clear();
    for (const auto& [path, facts] : image_of(dir, {lower, upper})) paths.push_back(path);
    CHECK(paths == std::vector<std::string>{"/", "/dev", "/dir", "/etc", "/etc/keep", "/file",
                                            "/file/inner", "/lost+found", "/opq", "/opq/new",
                                            "/proc", "/run", "/sys", "/tmp"});
  };
  check();
  std::stable_partition(upper.begin(), upper.end(),
                        [](const TarEntry& one) { return contains(one.path, ".wh."); });
  check();
  std::stable_partition(upper.begin(), upper.end(),
                        [](const TarEntry& one) { return !contains(one.path, ".wh."); });
  check();
}

TEST_CASE("a directory that is hidden and filled again has nothing of the lower one") {
  const TempDir dir;
  const auto found = image_of(dir, {{tar_directory("d", 0700), tar_file("d/old", "o")},
                                    {tar_file("d/new", "n"), tar_file(".wh.d", "")}});
  CHECK(found.count("/d/old") == 0);
  CHECK(found.count("/d/new") == 1);
  CHECK(found.at("/d").mode == (S_IFDIR | 0755U));
}

TEST_CASE("markers are names in a tar that is no layer") {
  const TempDir dir;
  make_tar(dir / "t.tar", {tar_file("a", "1"), tar_file(".wh.a", "2")});
  const Fd tar(::open((dir / "t.tar").c_str(), O_RDONLY | O_CLOEXEC));
  TarLayer layer;
  layer.fd = tar.get();
  layer.whiteouts = false;
  REQUIRE(write_ext4_image({layer}, dir / "o.ext4", {}).has_value());
  const auto found = dump_image(dir / "o.ext4");
  CHECK(found.count("/a") == 1);
  CHECK(found.count("/.wh.a") == 1);
}

TEST_CASE("a parent that is a link is followed inside the tree, however it tries to leave") {
  const TempDir dir;
  const auto found = image_of(dir, {{tar_directory("usr/bin"), tar_symlink("bin", "usr/bin"),
                                     tar_file("bin/sh", "s"), tar_symlink("up", "../../../../.."),
                                     tar_file("up/root", "r"), tar_symlink("run", "/var/run"),
                                     tar_file("run/pid", "p"), tar_file("/absolute", "a")}});
  CHECK(found.count("/usr/bin/sh") == 1);
  CHECK(found.count("/root") == 1);
  CHECK(found.count("/var/run/pid") == 1);
  CHECK(found.count("/absolute") == 1);
}

TEST_CASE("an entry given twice counts once, with what came last") {
  const TempDir dir;
  const auto found =
      image_of(dir, {{tar_file("dup", std::string(50'000, '1')), tar_file("dup", "second"),
                      tar_directory("d"), tar_file("d/x", "1"), tar_directory("d", 0700)}});
  CHECK(found.at("/dup").content == sha_of("second"));
  CHECK(found.at("/d").mode == (S_IFDIR | 0700U));
  CHECK(found.count("/d/x") == 1);
}

TEST_CASE("zeros become holes, and a file of many pieces keeps them all") {
  const TempDir dir;
  std::string pieces(12U << 20U, '\0');
  for (std::size_t at = 0; at < pieces.size(); at += 8192) pieces[at] = 'x';
  const auto found = image_of(
      dir, {{tar_file("pieces", pieces), tar_file("zeros", std::string(1U << 20U, '\0'))}});
  CHECK(found.at("/pieces").content == sha_of(pieces));
  CHECK(found.at("/zeros").content == sha_of(std::string(1U << 20U, '\0')));
  CHECK(sys::allocated_size(dir / "image.ext4") < mib(7));
  // Five blocks of extents, and one above them.
  CHECK(contains(debugfs(dir / "image.ext4", "ex /pieces"), " 0/ 2 "));
}

TEST_CASE("sparse files beyond 2 GiB cost what they hold") {
  const TempDir dir;
  std::filesystem::create_directory(dir / "tree");
  put(dir / "tree/big", "head");
  REQUIRE(::truncate((dir / "tree/big").c_str(), off_t{6} << 30) == 0);
  for (const char* format : {"--format=gnu", "--format=posix"}) {
    output_of({"tar", format, "--sparse", "-C", dir / "tree", "-cf", dir / "t.tar", "."});
    const auto report = write_image({dir / "t.tar"}, dir / "o.ext4");
    INFO(error_of(report));
    REQUIRE(report.has_value());
    CHECK(check_ext4(dir / "o.ext4").has_value());
    CHECK(contains(debugfs(dir / "o.ext4", "stat /big"), "Size: 6442450944"));
    CHECK(report->allocated < mib(1));
  }
}

TEST_CASE("the same layers give the same bytes, compressed or not") {
  const TempDir dir;
  const std::vector<TarEntry> entries = {tar_file("a", std::string(100'000, 'a')),
                                         tar_symlink("l", "a"), tar_directory("d"),
                                         tar_link("d/h", "a")};
  make_tar(dir / "plain.tar", entries);
  const auto first = write_image({dir / "plain.tar"}, dir / "1.ext4");
  REQUIRE(first.has_value());
  for (const int filter : {ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD, ARCHIVE_FILTER_XZ}) {
    make_tar(dir / "packed.tar", entries, filter);
    const auto second = write_image({dir / "packed.tar"}, dir / "2.ext4");
    INFO(error_of(second));
    REQUIRE(second.has_value());
    CHECK(second->digest == first->digest);
    CHECK(sys::sha256_file(dir / "2.ext4") == sys::sha256_file(dir / "1.ext4"));
  }
}

TEST_CASE("the digest is of the tree, not of the way to it") {
  const TempDir dir;
  make_tar(dir / "whole.tar", {tar_file("a", "1"), tar_file("b", "2")});
  make_tar(dir / "lower.tar", {tar_file("b", "old"), tar_file("c", "3")});
  make_tar(dir / "upper.tar", {tar_file("b", "2"), tar_file(".wh.c", ""), tar_file("a", "1")});
  make_tar(dir / "other.tar", {tar_file("a", "1"), tar_file("b", "3")});
  const auto whole = write_image({dir / "whole.tar"}, dir / "1.ext4");
  const auto layered = write_image({dir / "lower.tar", dir / "upper.tar"}, dir / "2.ext4");
  const auto other = write_image({dir / "other.tar"}, dir / "3.ext4");
  REQUIRE(whole.has_value());
  REQUIRE(layered.has_value());
  REQUIRE(other.has_value());
  CHECK(whole->digest == layered->digest);
  CHECK(whole->digest != other->digest);
}

TEST_CASE("hostile entries are refused by name, and nothing is left") {
  const TempDir dir;
  const std::vector<std::pair<std::vector<TarEntry>, std::string>> hostile = {
      {{tar_file("../../etc/passwd", "x")}, "../../etc/passwd"},
      {{tar_file("a/../../b", "x")}, "a/../../b"},
      {{tar_link("h", "../../etc/shadow")}, "\"h\": a hard link to \"../../etc/shadow\""},
      {{tar_link("h", "absent")}, "\"h\": a hard link to \"absent\": there is no such file"},
      {{tar_directory("d"), tar_link("h", "d")}, "\"h\""},
      {{tar_symlink("a", "b"), tar_symlink("b", "a"), tar_file("a/x", "1")}, "\"a/x\""},
      {{tar_file("f", "1"), tar_file("f/x", "1")}, "\"f/x\": it leads through /f"},
      {{tar_file(std::string(256, 'n'), "")}, "longer than 255"},
      {{tar_file("lost+found", "x")}, "lost+found"}};
  for (const auto& [entries, named] : hostile) {
    INFO(named);
    const std::string error = refused(dir, entries);
    INFO(error);
    CHECK(contains(error, "invalid: "));
    CHECK(contains(error, named));
  }
  TarEntry large = tar_file("large", "x");
  large.attributes = {{"user.large", std::string(5000, 'x')}};
  CHECK(contains(refused(dir, {large}), "\"large\": its extended attributes"));
}

TEST_CASE("a download is plain files of root's, without ways through links") {
  const TempDir dir;
  Ext4Options options;
  options.rootfs = false;
  TarEntry file = tar_file("bin/su", "x", 06755);
  file.uid = 1000;
  file.attributes = {{"user.note", "hello"}};
  const auto found = image_of(dir, {{file, tar_symlink("l", "/etc/passwd")}}, options);
  CHECK(found.at("/bin/su").mode == (S_IFREG | 0755U));
  CHECK(found.at("/bin/su").uid == 0U);
  CHECK(found.at("/bin/su").attributes.empty());
  CHECK(found.count("/proc") == 0);
  const TempDir evil;
  CHECK(contains(refused(evil, {tar_file("/abs", "x")}, options), "\"/abs\": an absolute path"));
  CHECK(contains(refused(evil, {tar_symlink("way", "/t"), tar_file("way/in", "x")}, options),
                 "\"way/in\": it leads through a symbolic link"));
  TarEntry null = tar_file("null", "");
  null.kind = AE_IFCHR;
  CHECK(contains(refused(evil, {null}, options), "\"null\": a special file"));
}

TEST_CASE("what is no archive, and an archive cut short, are errors that name it") {
  const TempDir dir;
  put(dir / "text", "this is no archive at all, whatever its length may be");
  put(dir / "empty", "");
  make_tar(dir / "whole.tar", {tar_file("a", std::string(100'000, 'x'))}, ARCHIVE_FILTER_GZIP);
  put(dir / "cut.tar", get(dir / "whole.tar").substr(0, 150));
  for (const char* name : {"text", "empty", "cut.tar"}) {
    const std::string error = error_of(write_image({dir / name}, dir / "o.ext4"));
    CHECK(contains(error, std::string("/") + name));
    CHECK_FALSE(sys::exists(dir / "o.ext4"));
  }
}

TEST_CASE("an image too small for its content says so and is not made") {
  const TempDir dir;
  std::string noise(6U << 20U, '\0');
  for (std::size_t i = 0; i < noise.size(); ++i) noise[i] = static_cast<char>(i * 31 + 1);
  make_tar(dir / "t.tar", {tar_file("a", noise)});
  Ext4Options options;
  options.size = mib(4);
  const auto full = write_image({dir / "t.tar"}, dir / "o.ext4", options);
  CHECK(contains(error_of(full), "full: "));
  CHECK(full.error().remedy == "give the image more than that, or put less into it");
  CHECK(names_in(dir.path()) == std::vector<std::string>{"t.tar"});
  options.size = gib(3);
  options.journal = true;
  options.label = "a-label-that-is-too-long";
  REQUIRE(write_image({dir / "t.tar"}, dir / "o.ext4", options).has_value());
  CHECK(std::filesystem::file_size(dir / "o.ext4") == gib(3).value);
  CHECK(check_ext4(dir / "o.ext4").has_value());
  const std::string facts = output_of({"dumpe2fs", "-h", dir / "o.ext4"});
  CHECK(contains(facts, "has_journal"));
  CHECK(contains(facts, "a-label-that-is-\n"));
}

TEST_CASE("a full disk of the host says so and keeps no debris") {
  if (::geteuid() != 0) return skip("needs root");
  const TempDir dir;
  std::string noise(6U << 20U, 'x');
  make_tar(dir / "t.tar", {tar_file("a", noise)});
  std::filesystem::create_directory(dir / "small");
  const std::string small = dir / "small";
  // In a process of its own: the mount is seen by nobody else.
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=3m") != 0) {
      ::_exit(2);
    }
    const auto written = write_image({dir / "t.tar"}, small + "/o.ext4");
    const bool good = !written && written.error().code == Errc::full &&
                      contains(written.error().remedy, "free space") && names_in(small).empty() &&
                      sys::disk_space(small)->free > mib(2);
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  if (WEXITSTATUS(status) == 2) return skip("no mount namespace here");
  CHECK(status == 0);
}

TEST_CASE("digests of a layer are checked while it is read") {
  const TempDir dir;
  make_tar(dir / "t.tar", {tar_file("a", "x")});
  make_tar(dir / "t.gz", {tar_file("a", "x")}, ARCHIVE_FILTER_GZIP);
  const std::string tar_sum = "sha256:" + sys::sha256_file(dir / "t.tar");
  const std::string packed_sum = "sha256:" + sys::sha256_file(dir / "t.gz");
  const auto write = [&](const std::string& digest, const std::string& diff_id) {
    const Fd file(::open((dir / "t.gz").c_str(), O_RDONLY | O_CLOEXEC));
    TarLayer layer;
    layer.fd = file.get();
    layer.what = "layer 1";
    layer.digest = digest;
    layer.diff_id = diff_id;
    return error_of(write_ext4_image({layer}, dir / "o.ext4", {}));
  };
  CHECK(write(packed_sum, tar_sum) == "(no error)");
  CHECK(contains(write(tar_sum, tar_sum), "layer 1: its content is " + packed_sum));
  CHECK(contains(write(packed_sum, packed_sum), "layer 1: its content is " + tar_sum));
  CHECK_FALSE(sys::exists(dir / "o.ext4"));
}

}  // namespace
}  // namespace mvr::image
