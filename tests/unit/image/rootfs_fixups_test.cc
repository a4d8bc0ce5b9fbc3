#include "image/rootfs_fixups.h"

#include "image_dump.h"
#include "tar_maker.h"

namespace mvr::image {
namespace {

using Found = std::map<std::string, PathFacts>;

Found fixed(const std::vector<TarEntry>& entries) {
  const TempDir dir;
  make_tar(dir / "t.tar", entries);
  const auto written = write_image({dir / "t.tar"}, dir / "o.ext4");
  INFO(error_of(written));
  REQUIRE(written.has_value());
  return dump_image(dir / "o.ext4");
}

TEST_CASE("the traces of a container builder are removed") {
  const Found found = fixed(
      {tar_file(".dockerenv", ""), tar_file("run/.containerenv", "engine=podman"),
       tar_file("etc/hosts", ""), tar_file("etc/hostname", ""), tar_file("etc/resolv.conf", "")});
  CHECK(found.size() == 8);  // the root, etc, lost+found and the mount points
  CHECK(found.count("/etc") == 1);
  CHECK(found.count("/run") == 1);
}

TEST_CASE("what the user put into the placeholders stays") {
  const Found found = fixed({tar_file("etc/hosts", "10.0.0.1 cache\n"),
                             tar_symlink("etc/resolv.conf", "/run/resolv.conf")});
  CHECK(found.at("/etc/hosts").size == 15);
  CHECK(found.at("/etc/resolv.conf").content == "/run/resolv.conf");
}

TEST_CASE("identities are not shared by the VMs of an image") {
  const Found found = fixed({tar_file("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
                             tar_file("etc/ssh/ssh_host_ed25519_key", "secret"),
                             tar_file("etc/ssh/ssh_host_ed25519_key.pub", "public"),
                             tar_file("etc/ssh/sshd_config", "keep")});
  CHECK(found.at("/etc/machine-id").size == 0);
  CHECK(found.at("/etc/machine-id").mode == (S_IFREG | 0444U));
  CHECK(found.count("/etc/ssh/sshd_config") == 1);
  CHECK(found.count("/etc/ssh/ssh_host_ed25519_key") == 0);
  CHECK(found.count("/etc/ssh/ssh_host_ed25519_key.pub") == 0);
}

TEST_CASE("an image without a machine id does not get one") {
  CHECK(fixed({tar_file("etc/passwd", "")}).count("/etc/machine-id") == 0);
}

TEST_CASE("mount points are made where they are missing, and everyone may enter the root") {
  const Found found =
      fixed({tar_directory("./", 0500), tar_directory("dev", 0700), tar_symlink("run", "var/run")});
  CHECK(found.at("/").mode == (S_IFDIR | 0755U));
  CHECK(found.at("/dev").mode == (S_IFDIR | 0700U));
  CHECK(found.at("/run").content == "var/run");
  CHECK(found.at("/tmp").mode == (S_IFDIR | 01777U));
  CHECK(found.at("/proc").mode == (S_IFDIR | 0755U));
  CHECK(found.at("/sys").mode == (S_IFDIR | 0755U));
}

TEST_CASE("links of a tree are followed inside it") {
  SECTION("absolute ones") {
    const Found found =
        fixed({tar_file("usr/etc/machine-id", "shared"), tar_symlink("etc", "/usr/etc")});
    CHECK(found.at("/usr/etc/machine-id").size == 0);
  }
  SECTION("ones that climb") {
    const Found found =
        fixed({tar_file("x/ssh_host_rsa_key", "k"), tar_symlink("etc/ssh", "../../../../x")});
    CHECK(found.count("/x/ssh_host_rsa_key") == 0);
  }
  SECTION("one as the machine id, which stays") {
    const Found found = fixed({tar_file("id", "mine"), tar_symlink("etc/machine-id", "/id")});
    CHECK(found.at("/id").size == 4);
    CHECK(found.at("/etc/machine-id").content == "/id");
  }
}

}  // namespace
}  // namespace mvr::image
