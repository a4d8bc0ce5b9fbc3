// What modprobe looks up, on its way from the initramfs into the image.
#include "guest/kernel_files.h"

#include "catch.h"
#include "guest/files.h"
#include "temp_dir.h"

namespace mvr::guest {
namespace {

using test::TempDir;
using Names = std::vector<std::string>;

TEST_CASE("the kernel's files move into the image") {
  const TempDir directory;
  const std::string source = directory.path() + "/kernel-metadata";
  const std::string target = directory.path() + "/lib/modules/6.1.0";
  REQUIRE(make_directory(source));
  REQUIRE(write_file(source + "/modules.builtin", "kernel/fs/ext4/ext4.ko\n"));
  REQUIRE(write_file(source + "/modules.builtin.bin", std::string("\0\xff", 2)));
  REQUIRE(place_kernel_files(source, target));
  CHECK(list_directory(target) == Names{"modules.builtin", "modules.builtin.bin"});
  CHECK(read_file(target + "/modules.builtin") == std::string("kernel/fs/ext4/ext4.ko\n"));
  CHECK(read_file(target + "/modules.builtin.bin") == std::string("\0\xff", 2));
  CHECK(list_directory(source).empty());
}

TEST_CASE("an image that has files of its own for this kernel keeps them") {
  const TempDir directory;
  const std::string target = directory.path() + "/lib/modules/6.1.0";
  REQUIRE(make_directory(target));
  REQUIRE(write_file(directory.path() + "/modules.builtin", "ours"));
  REQUIRE(place_kernel_files(directory.path(), target));
  CHECK(list_directory(target).empty());
}

}  // namespace
}  // namespace mvr::guest
