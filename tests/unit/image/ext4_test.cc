#include "fixture.h"
#include "image/build.h"
#include "image/ext4_image.h"

namespace mvr::image {
namespace {

void check_clean(const std::string& image) { output_of({"e2fsck", "-fn", image}); }

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

TEST_CASE("what e2fsck finds wrong is shown") {
  const TempDir dir;
  REQUIRE(make_scratch_template(dir / "s", mib(64)).has_value());
  CHECK(check_ext4(dir / "s").has_value());
  output_of({"debugfs", "-w", "-R", "clri /lost+found", dir / "s"});
  CHECK(contains(error_of(check_ext4(dir / "s")), "e2fsck does not accept"));
  CHECK(contains(error_of(check_ext4(dir / "absent")), "absent"));
}

}  // namespace
}  // namespace mvr::image
