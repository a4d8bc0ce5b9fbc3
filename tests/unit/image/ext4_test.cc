#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "fixture.h"
#include "image/build.h"

namespace mvr::image {
namespace {

bool is_root() { return ::geteuid() == 0; }

// version 2, permitted cap_net_raw, as setcap writes it
const std::string kCapability(
    "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);

void set_attribute(const std::string& path, const char* name, const std::string& value) {
  INFO(path << " " << name);
  REQUIRE(::setxattr(path.c_str(), name, value.data(), value.size(), 0) == 0);
}

void check_clean(const std::string& image) { output_of({"e2fsck", "-fn", image}); }

TEST_CASE("an ext4 keeps owners, modes, links, devices, holes and attributes of a tree") {
  if (!is_root()) return skip("needs root");
  const TempDir dir;
  const std::string tree = dir / "tree";
  put(tree + "/usr/bin/sudo", "elevate", 04755);
  put(tree + "/usr/bin/ping", "echo", 0755);
  put(tree + "/home/u/\xc3\xbc\xe2\x82\xac file", "text", 0640);
  REQUIRE(::chown((tree + "/home/u/\xc3\xbc\xe2\x82\xac file").c_str(), 123456, 4000000000U) == 0);
  std::filesystem::create_hard_link(tree + "/usr/bin/ping", tree + "/usr/bin/ping6");
  const std::string target(200, 'x');
  std::filesystem::create_symlink(target, tree + "/long");
  std::filesystem::create_directory(tree + "/tmp");
  REQUIRE(::chmod((tree + "/tmp").c_str(), 01777) == 0);
  REQUIRE(::mknod((tree + "/null").c_str(), S_IFCHR | 0666, ::makedev(1, 3)) == 0);
  REQUIRE(::mkfifo((tree + "/fifo").c_str(), 0600) == 0);
  set_attribute(tree + "/usr/bin/ping", "security.capability", kCapability);
  set_attribute(tree + "/usr/bin/sudo", "user.note", "hello");
  put(tree + "/sparse", "", 0600);
  REQUIRE(::truncate((tree + "/sparse").c_str(), 64 << 20) == 0);

  const std::string image = dir / "rootfs.ext4";
  const auto written = write_ext4(tree, image, "a-label-that-is-too-long", Bytes{0});
  INFO(error_of(written));
  REQUIRE(written.has_value());

  SECTION("owners, modes and content") {
    const std::string out = dir / "out";
    std::filesystem::create_directory(out);
    output_of({"debugfs", "-R", "rdump / " + out, image});
    struct stat facts {};
    REQUIRE(::lstat((out + "/home/u/\xc3\xbc\xe2\x82\xac file").c_str(), &facts) == 0);
    CHECK(facts.st_uid == 123456);
    CHECK(facts.st_gid == 4000000000U);
    CHECK((facts.st_mode & 07777) == 0640);
    CHECK(get(out + "/usr/bin/ping6") == "echo");
    CHECK(std::filesystem::read_symlink(out + "/long") == target);
    // debugfs drops the set-id and sticky bits of what it copies out.
    CHECK(contains(debugfs(image, "stat /usr/bin/sudo"), "Mode:  04755"));
    CHECK(contains(debugfs(image, "stat /tmp"), "Mode:  01777"));
  }
  SECTION("hard links, devices and holes") {
    CHECK(contains(debugfs(image, "stat /usr/bin/ping6"), "Links: 2"));
    CHECK(contains(debugfs(image, "stat /null"), "Device major/minor number: 01:03"));
    CHECK(contains(debugfs(image, "stat /fifo"), "FIFO"));
    CHECK(contains(debugfs(image, "stat /sparse"), "Size: 67108864"));
    CHECK(sys::allocated_size(image) < mib(2));
  }
  SECTION("extended attributes") {
    CHECK(contains(debugfs(image, "ea_list /usr/bin/ping"),
                   "security.capability (20) = 01 00 00 02 00 20 00 00 "));
    CHECK(contains(debugfs(image, "ea_list /usr/bin/sudo"), "user.note (5) = \"hello\""));
  }
  SECTION("a root directory everyone may enter, a short label, no journal, nothing reserved") {
    CHECK(contains(debugfs(image, "stat /"), "Mode:  0755"));
    const std::string facts = output_of({"dumpe2fs", "-h", image});
    CHECK(contains(facts, "a-label-that-is-\n"));
    CHECK_FALSE(contains(facts, "has_journal"));
    CHECK(contains(facts, "Reserved block count:     0"));
    check_clean(image);
  }
}

TEST_CASE("the tree itself is not changed by writing it") {
  const TempDir dir;
  put(dir / "tree/a", "x");
  const auto before = std::filesystem::last_write_time(dir / "tree");
  REQUIRE(write_ext4(dir / "tree", dir / "o.ext4", "x", Bytes{0}).has_value());
  CHECK(names_in(dir / "tree") == std::vector<std::string>{"a"});
  CHECK(std::filesystem::last_write_time(dir / "tree") == before);
}

TEST_CASE("slack is free space on top of what the tree takes") {
  const TempDir dir;
  put(dir / "tree/a", std::string(10 << 20, 'x'));
  REQUIRE(write_ext4(dir / "tree", dir / "small.ext4", "x", Bytes{0}).has_value());
  REQUIRE(write_ext4(dir / "tree", dir / "large.ext4", "x", mib(100)).has_value());
  const auto small = std::filesystem::file_size(dir / "small.ext4");
  const auto large = std::filesystem::file_size(dir / "large.ext4");
  CHECK(small < mib(20).value);
  CHECK(large == small + mib(100).value);
}

TEST_CASE("a tree that takes more than was estimated gets a larger filesystem") {
  const TempDir dir;
  // Attributes too large for the inode need a block each, which the estimate leaves out.
  const std::string tree = dir / "tree";
  std::filesystem::create_directory(tree);
  for (int i = 0; i < 2200; ++i) {
    const std::string path = tree + "/" + std::to_string(i);
    std::ofstream(path).flush();
    if (::setxattr(path.c_str(), "user.big", std::string(3000, char('a' + i % 26)).data(), 3000,
                   0) != 0) {
      return skip("no large attributes in the temporary directory");
    }
    // Otherwise equal attributes share a block.
    REQUIRE(::setxattr(path.c_str(), "user.id", path.data(), path.size(), 0) == 0);
  }
  const auto written = write_ext4(tree, dir / "o.ext4", "x", Bytes{0});
  INFO(error_of(written));
  REQUIRE(written.has_value());
  CHECK(std::filesystem::file_size(dir / "o.ext4") > mib(11).value);
  check_clean(dir / "o.ext4");
}

TEST_CASE("a tree that cannot be read leaves no file") {
  const TempDir dir;
  CHECK(contains(error_of(write_ext4(dir / "absent", dir / "o.ext4", "x", Bytes{0})), "absent"));
  CHECK(names_in(dir.path()).empty());
}

TEST_CASE("a failure of mke2fs is shown and leaves no file") {
  const TempDir dir;
  put(dir / "bin/mke2fs", "#!/bin/sh\necho 'mke2fs: out of luck' >&2\nexit 1\n", 0755);
  put(dir / "tree/a", "x");
  const PathIs path((dir / "bin") + ":/usr/bin:/bin");
  const auto written = write_ext4(dir / "tree", dir / "o.ext4", "x", Bytes{0});
  CHECK(contains(error_of(written), "mke2fs: out of luck"));
  CHECK_FALSE(sys::exists(dir / "o.ext4"));
}

TEST_CASE("a scratch template is clean, large and almost free") {
  const TempDir dir;
  const auto made = make_scratch_template(dir / "scratch.ext4", gib(20));
  INFO(error_of(made));
  REQUIRE(made.has_value());
  CHECK(std::filesystem::file_size(dir / "scratch.ext4") == gib(20).value);
  CHECK(sys::allocated_size(dir / "scratch.ext4") < mib(1));
  CHECK(names_in(dir.path()) == std::vector<std::string>{"scratch.ext4"});
  check_clean(dir / "scratch.ext4");
  const std::string facts = output_of({"dumpe2fs", dir / "scratch.ext4"});
  CHECK_FALSE(contains(facts, "has_journal"));
  CHECK(contains(facts, "ITABLE_ZEROED"));
}

TEST_CASE("a scratch template replaces an older one") {
  const TempDir dir;
  put(dir / "s", "old");
  REQUIRE(make_scratch_template(dir / "s", mib(64)).has_value());
  CHECK(std::filesystem::file_size(dir / "s") == mib(64).value);
}

TEST_CASE("a scratch disk too small for a filesystem is refused") {
  const TempDir dir;
  CHECK(contains(error_of(make_scratch_template(dir / "s", mib(1))), "too small"));
  CHECK(names_in(dir.path()).empty());
}

}  // namespace
}  // namespace mvr::image
