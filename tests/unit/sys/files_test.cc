#include "sys/files.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helpers.h"
#include "sys/memory_file.h"
#include "sys/open_below.h"

namespace mvr::sys {
namespace {

mode_t mode_of(const std::string& path) {
  struct stat status {};
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status.st_mode & 07777U;
}

// `size` bytes with `data` at `offset` and nothing allocated elsewhere.
void make_sparse(const std::string& path, off_t size, off_t offset, std::string_view data) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  REQUIRE(fd);
  REQUIRE(::ftruncate(fd.get(), size) == 0);
  REQUIRE(::pwrite(fd.get(), data.data(), data.size(), offset) ==
          static_cast<ssize_t>(data.size()));
}

TEST_CASE("what is written is read back, with exactly the mode asked for") {
  const TempDir dir;
  const mode_t old = ::umask(077);
  const auto written = write_file_atomic(dir / "a", "hello", 0644);
  (void)::umask(old);
  REQUIRE(written);
  CHECK(read_file(dir / "a") == "hello");
  CHECK(mode_of(dir / "a") == 0644);
}

TEST_CASE("an atomic write replaces the file and leaves nothing beside it") {
  const TempDir dir;
  REQUIRE(write_file_atomic(dir / "a", "long old contents"));
  REQUIRE(write_file_atomic(dir / "a", "new"));
  CHECK(read_file(dir / "a") == "new");
  CHECK(list_directory(dir.path()) == std::vector<std::string>{"a"});
}

TEST_CASE("an atomic write that fails leaves nothing beside it") {
  const TempDir dir;
  REQUIRE(make_directories(dir / "a/full"));
  CHECK_FALSE(write_file_atomic(dir / "a", "x"));  // a directory cannot be replaced
  CHECK(list_directory(dir.path()) == std::vector<std::string>{"a"});
  CHECK(write_file_atomic(dir / "absent/a", "x").error().code == Errc::not_found);
}

TEST_CASE("reading is bounded") {
  const TempDir dir;
  REQUIRE(write_file(dir / "a", "12345"));
  CHECK(read_file(dir / "a", 5) == "12345");
  CHECK(read_file(dir / "a", 4).error().code == Errc::too_large);
  CHECK(read_file(dir / "b").error().code == Errc::not_found);
}

TEST_CASE("a plain write replaces the contents but follows no link") {
  const TempDir dir;
  REQUIRE(write_file(dir / "a", "long old contents"));
  REQUIRE(write_file(dir / "a", "new"));
  CHECK(read_file(dir / "a") == "new");
  REQUIRE(::symlink((dir / "a").c_str(), (dir / "link").c_str()) == 0);
  CHECK_FALSE(write_file(dir / "link", "other"));
  CHECK(read_file(dir / "a") == "new");
}

TEST_CASE("directories are made with their parents, and again without complaint") {
  const TempDir dir;
  REQUIRE(make_directories(dir / "a/b/c", 0700));
  REQUIRE(make_directories(dir / "a/b/c", 0700));
  REQUIRE(make_directories(dir / "a/b/c/", 0700));
  CHECK(mode_of(dir / "a/b/c") == 0700);
  REQUIRE(write_file(dir / "file", ""));
  CHECK_FALSE(make_directories(dir / "file"));
  CHECK_FALSE(make_directories(dir / "file/x"));
  CHECK_FALSE(make_directories(""));
}

TEST_CASE("a listing is sorted and without the dots") {
  const TempDir dir;
  for (const char* name : {"b", "a", ".hidden"}) REQUIRE(write_file(dir / name, ""));
  CHECK(list_directory(dir.path()) == std::vector<std::string>{".hidden", "a", "b"});
  CHECK(list_directory(dir / "absent").error().code == Errc::not_found);
}

TEST_CASE("removing a tree does not follow links out of it") {
  const TempDir dir;
  REQUIRE(make_directories(dir / "outside"));
  REQUIRE(write_file(dir / "outside/kept", "x"));
  REQUIRE(make_directories(dir / "tree/a/b"));
  REQUIRE(write_file(dir / "tree/a/b/file", "x"));
  REQUIRE(::symlink((dir / "outside").c_str(), (dir / "tree/a/link").c_str()) == 0);
  REQUIRE(remove_tree(dir / "tree/"));
  CHECK_FALSE(exists(dir / "tree"));
  CHECK(exists(dir / "outside/kept"));
}

TEST_CASE("removing a link removes the link") {
  const TempDir dir;
  REQUIRE(make_directories(dir / "target"));
  REQUIRE(::symlink((dir / "target").c_str(), (dir / "link").c_str()) == 0);
  REQUIRE(remove_tree(dir / "link"));
  CHECK(exists(dir / "target"));
  CHECK_FALSE(exists(dir / "link"));
}

TEST_CASE("what is absent is removed already") {
  const TempDir dir;
  CHECK(remove_tree(dir / "absent"));
  CHECK(remove_tree(dir / "absent/too"));
  CHECK(remove_file(dir / "absent"));
}

TEST_CASE("paths that name no entry are not removed") {
  for (const char* path : {"", "/", ".", "..", "/tmp/..", "//"}) {
    CAPTURE(path);
    CHECK(remove_tree(path).error().code == Errc::invalid);
  }
}

TEST_CASE("a file among the parents is an error, not absence") {
  const TempDir dir;
  REQUIRE(write_file(dir / "file", ""));
  CHECK_FALSE(remove_tree(dir / "file/x"));
}

TEST_CASE("removing a tree stops at a mount") {
  MVR_NEEDS_ROOT();
  const TempDir dir;
  REQUIRE(make_directories(dir / "outside"));
  REQUIRE(write_file(dir / "outside/kept", "x"));
  REQUIRE(make_directories(dir / "tree/mount"));
  // A bind mount of the same filesystem: the device number would not tell.
  const std::string mount = dir / "tree/mount";
  REQUIRE(::mount((dir / "outside").c_str(), mount.c_str(), nullptr, MS_BIND, nullptr) == 0);
  const auto removed = remove_tree(dir / "tree");
  REQUIRE(::umount(mount.c_str()) == 0);
  REQUIRE_FALSE(removed);
  CHECK(removed.error().code == Errc::busy);
  CHECK(exists(dir / "outside/kept"));
}

TEST_CASE("renaming replaces the target") {
  const TempDir dir;
  REQUIRE(make_directories(dir / "sub"));
  REQUIRE(write_file(dir / "a", "new"));
  REQUIRE(write_file(dir / "sub/b", "old"));
  REQUIRE(rename_durably(dir / "a", dir / "sub/b"));
  CHECK(read_file(dir / "sub/b") == "new");
  CHECK_FALSE(exists(dir / "a"));
}

TEST_CASE("a sparse copy has the same bytes and no more blocks") {
  const TempDir dir;
  constexpr off_t kSize = 64 << 20;
  make_sparse(dir / "from", kSize, 20 << 20, "needle");
  REQUIRE(copy_sparse(dir / "from", dir / "to", 0640));
  CHECK(mode_of(dir / "to") == 0640);
  struct stat status {};
  REQUIRE(::stat((dir / "to").c_str(), &status) == 0);
  CHECK(status.st_size == kSize);
  CHECK(allocated_size(dir / "to") <= kib(256));
  CHECK(sha256_file(dir / "to") == sha256_file(dir / "from"));
}

TEST_CASE("a sparse copy also goes between filesystems") {
  const TempDir dir;
  constexpr off_t kSize = 3 << 20;
  make_sparse(dir / "from", kSize, kSize - 6, "needle");
  const std::string to = "/dev/shm/" + unique_name() + "-copy";
  const auto copied = copy_sparse(dir / "from", to, 0600);
  const std::string digest = sha256_file(to);
  CHECK(remove_file(to));
  REQUIRE(copied);
  CHECK(digest == sha256_file(dir / "from"));
}

TEST_CASE("a sparse copy also goes from one open file to another") {
  const TempDir dir;
  constexpr off_t kSize = 3 << 20;
  make_sparse(dir / "from", kSize, 1 << 20, "needle");
  const Fd from = open_read(dir / "from").value();
  const Fd to = make_empty_memory_file("to", Bytes{}).value();
  REQUIRE(copy_sparse(from.get(), to.get()));
  struct stat status {};
  REQUIRE(::fstat(to.get(), &status) == 0);
  CHECK(status.st_size == kSize);
  CHECK(status.st_blocks <= 16);
  CHECK(sha256_file("/proc/self/fd/" + std::to_string(to.get())) == sha256_file(dir / "from"));
}

TEST_CASE("a copy never replaces anything") {
  const TempDir dir;
  REQUIRE(write_file(dir / "from", "new"));
  REQUIRE(write_file(dir / "to", "old"));
  CHECK(copy_sparse(dir / "from", dir / "to", 0600).error().code == Errc::exists);
  CHECK(read_file(dir / "to") == "old");
  CHECK(copy_sparse(dir / "absent", dir / "other", 0600).error().code == Errc::not_found);
  CHECK_FALSE(exists(dir / "other"));
}

TEST_CASE("a lock excludes others until it is let go") {
  const TempDir dir;
  auto first = lock_file(dir / "lock", true);
  REQUIRE(first);
  CHECK(lock_file(dir / "lock", true).error().code == Errc::busy);
  CHECK(lock_file(dir / "lock", false).error().code == Errc::busy);
  REQUIRE(first->close());
  CHECK(lock_file(dir / "lock", true));
}

TEST_CASE("shared locks live together") {
  const TempDir dir;
  const auto first = lock_file(dir / "lock", false);
  const auto second = lock_file(dir / "lock", false);
  CHECK(first);
  CHECK(second);
  CHECK(lock_file(dir / "lock", true).error().code == Errc::busy);
}

TEST_CASE("the digest is the published one, with or without holes") {
  const TempDir dir;
  REQUIRE(write_file(dir / "abc", "abc"));
  CHECK(sha256_file(dir / "abc") ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  REQUIRE(write_file(dir / "empty", ""));
  CHECK(sha256_file(dir / "empty") ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  make_sparse(dir / "holes", 1 << 20, 500'000, "x");
  std::string full(1 << 20, '\0');
  full[500'000] = 'x';
  REQUIRE(write_file(dir / "full", full));
  CHECK(sha256_file(dir / "holes") == sha256_file(dir / "full"));
  CHECK(sha256_file(dir / "absent").empty());
  CHECK(sha256_file(dir.path()).empty());
}

TEST_CASE("free space is not more than there is") {
  const auto space = disk_space("/tmp");
  REQUIRE(space);
  CHECK(space->total > Bytes{0});
  CHECK(space->free <= space->total);
  CHECK_FALSE(disk_space("/nowhere/at/all"));
  CHECK(allocated_size("/nowhere/at/all") == Bytes{0});
}

TEST_CASE("changing the owner changes the link, not its target") {
  MVR_NEEDS_ROOT();
  const TempDir dir;
  REQUIRE(write_file(dir / "a", ""));
  REQUIRE(::symlink((dir / "a").c_str(), (dir / "link").c_str()) == 0);
  REQUIRE(change_owner(dir / "link", 12345, 12346));
  struct stat status {};
  REQUIRE(::stat((dir / "a").c_str(), &status) == 0);
  CHECK(status.st_uid == 0);
  REQUIRE(::lstat((dir / "link").c_str(), &status) == 0);
  CHECK(status.st_uid == 12345);
  CHECK(status.st_gid == 12346);
}

TEST_CASE("a directory below another is reached through no link, and not from outside") {
  const TempDir directory;
  REQUIRE(make_directories(directory / "root/a/b"));
  REQUIRE(make_directories(directory / "elsewhere/b"));
  REQUIRE(::symlink("../elsewhere", (directory / "root/link").c_str()) == 0);
  REQUIRE(::symlink("b", (directory / "root/a/c").c_str()) == 0);
  const auto root = open_read(directory / "root");
  REQUIRE(root);
  CHECK(open_below(root->get(), "a/b", "b"));
  CHECK(refer_below(root->get(), "a/b", "b"));
  for (const char* path : {"link/b", "link", "a/c", "../elsewhere", "a/../../elsewhere"}) {
    INFO(path);
    CHECK_FALSE(open_below(root->get(), path, path));
    CHECK_FALSE(refer_below(root->get(), path, path));
  }
  CHECK_FALSE(open_below(root->get(), (directory / "root/a").c_str(), "a"));
  CHECK(open_below(root->get(), "a/x", "x").error().code == Errc::not_found);
  CHECK(refer_below(root->get(), "a/x", "x").error().code == Errc::not_found);
}

}  // namespace
}  // namespace mvr::sys
