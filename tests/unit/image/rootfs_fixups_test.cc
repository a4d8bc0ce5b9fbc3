#include "image/rootfs_fixups.h"

#include "fixture.h"

namespace mvr::image {
namespace {

TEST_CASE("the traces of a container builder are removed") {
  const TempDir tree;
  put(tree / ".dockerenv", "");
  put(tree / "run/.containerenv", "engine=podman");
  put(tree / "etc/hosts", "");
  put(tree / "etc/hostname", "");
  put(tree / "etc/resolv.conf", "");
  REQUIRE(fix_up_rootfs(tree.path()).has_value());
  CHECK_FALSE(sys::exists(tree / ".dockerenv"));
  CHECK(names_in(tree / "run").empty());
  CHECK(names_in(tree / "etc").empty());
}

TEST_CASE("what the user put into the placeholders stays") {
  const TempDir tree;
  put(tree / "etc/hosts", "10.0.0.1 cache\n");
  std::filesystem::create_symlink("/run/resolv.conf", tree / "etc/resolv.conf");
  REQUIRE(fix_up_rootfs(tree.path()).has_value());
  CHECK(get(tree / "etc/hosts") == "10.0.0.1 cache\n");
  CHECK(std::filesystem::is_symlink(tree / "etc/resolv.conf"));
}

TEST_CASE("identities are not shared by the VMs of an image") {
  const TempDir tree;
  put(tree / "etc/machine-id", "0123456789abcdef0123456789abcdef\n");
  put(tree / "etc/ssh/ssh_host_ed25519_key", "secret");
  put(tree / "etc/ssh/ssh_host_ed25519_key.pub", "public");
  put(tree / "etc/ssh/sshd_config", "keep");
  REQUIRE(fix_up_rootfs(tree.path()).has_value());
  CHECK(get(tree / "etc/machine-id").empty());
  CHECK(sys::exists(tree / "etc/machine-id"));
  CHECK(names_in(tree / "etc/ssh") == std::vector<std::string>{"sshd_config"});
}

TEST_CASE("an image without a machine id does not get one") {
  const TempDir tree;
  put(tree / "etc/passwd", "");
  REQUIRE(fix_up_rootfs(tree.path()).has_value());
  CHECK(names_in(tree / "etc") == std::vector<std::string>{"passwd"});
}

TEST_CASE("mount points are made where they are missing, whatever the umask") {
  const TempDir tree;
  std::filesystem::create_directory(tree / "dev");
  std::filesystem::create_symlink("var/run", tree / "run");
  const mode_t before = ::umask(077);
  REQUIRE(fix_up_rootfs(tree.path()).has_value());
  ::umask(before);
  CHECK(names_in(tree.path()) == std::vector<std::string>{"dev", "proc", "run", "sys", "tmp"});
  struct stat facts {};
  REQUIRE(::stat((tree / "tmp").c_str(), &facts) == 0);
  CHECK((facts.st_mode & 07777) == 01777);
  REQUIRE(::stat((tree / "proc").c_str(), &facts) == 0);
  CHECK((facts.st_mode & 07777) == 0755);
}

TEST_CASE("links in an image never lead the changes to the host") {
  const TempDir dir;
  const std::string tree = dir / "tree";
  put(dir / "host/machine-id", "host identity");
  put(dir / "host/ssh/ssh_host_rsa_key", "host key");
  put(dir / "host/.containerenv", "host");
  std::filesystem::create_directory(tree);

  SECTION("absolute links to directories") {
    std::filesystem::create_symlink(dir / "host", tree + "/etc");
    std::filesystem::create_symlink(dir / "host", tree + "/run");
  }
  SECTION("links that climb") {
    std::filesystem::create_symlink("../host", tree + "/etc");
    std::filesystem::create_symlink("../../../../../../.." + (dir / "host"), tree + "/run");
  }
  SECTION("a link as the machine id") {
    std::filesystem::create_directory(tree + "/etc");
    std::filesystem::create_symlink(dir / "host/machine-id", tree + "/etc/machine-id");
    std::filesystem::create_symlink(dir / "host/ssh", tree + "/etc/ssh");
  }
  REQUIRE(fix_up_rootfs(tree).has_value());
  CHECK(get(dir / "host/machine-id") == "host identity");
  CHECK(get(dir / "host/ssh/ssh_host_rsa_key") == "host key");
  CHECK(get(dir / "host/.containerenv") == "host");
}

TEST_CASE("a link inside the tree is followed inside the tree") {
  const TempDir tree;
  put(tree / "usr/etc/machine-id", "shared");
  std::filesystem::create_symlink("/usr/etc", tree / "etc");
  REQUIRE(fix_up_rootfs(tree.path()).has_value());
  CHECK(get(tree / "usr/etc/machine-id").empty());
}

}  // namespace
}  // namespace mvr::image
