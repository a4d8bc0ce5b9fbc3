#include "image/image_diff.h"

#include "fixture.h"
#include "image/image_tree.h"

namespace mvr::image {
namespace {

using Kind = PathChange::Kind;

std::string status(const std::string& package, const std::string& version,
                   const std::string& state = "install ok installed") {
  return "Package: " + package + "\nStatus: " + state + "\nVersion: " + version + "\n\n";
}

// Two trees, alike at first, and the images made of them.
struct Pair {
  TempDir dir;
  std::string a = dir / "a";
  std::string b = dir / "b";

  Pair() {
    for (const std::string& tree : {a, b}) {
      put(tree + "/etc/passwd", "root\n");
      put(tree + "/usr/bin/tool", std::string(300'000, 'x'), 0755);
      put(tree + "/empty", "");
      std::filesystem::create_symlink("usr/bin/tool", tree + "/link");
      put(tree + "/var/lib/dpkg/status", status("bash", "5.2-1") + status("jq", "1.6") +
                                             status("old", "1", "deinstall ok config"));
    }
  }
  static std::string image(const std::string& tree) {
    output_of({"mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, tree + ".ext4", "16M"});
    return tree + ".ext4";
  }
  [[nodiscard]] Result<ImageDiff> diff() const { return diff_images(image(a), image(b)); }
};

// "changed /etc/passwd content", a line each.
std::vector<std::string> lines(const ImageDiff& diff) {
  std::vector<std::string> all;
  for (const PathChange& change : diff.paths) {
    const char* word = change.kind == Kind::added     ? "added "
                       : change.kind == Kind::removed ? "removed "
                                                      : "changed ";
    all.push_back(word + change.path + (change.what.empty() ? "" : " " + change.what));
  }
  return all;
}

TEST_CASE("two images of the same tree do not differ, whatever their times are") {
  const Pair pair;
  output_of({"touch", "-d", "2001-01-01", pair.b + "/etc/passwd"});
  const auto found = pair.diff();
  INFO(error_of(found));
  REQUIRE(found.has_value());
  CHECK(lines(*found).empty());
  CHECK(found->packages.empty());
}

TEST_CASE("each kind of change of a path is told") {
  const Pair pair;
  put(pair.b + "/etc/passwd", "toor\n");                            // content, same size
  put(pair.b + "/usr/bin/tool", std::string(300'001, 'x'), 04755);  // size and mode
  std::filesystem::remove(pair.b + "/link");
  std::filesystem::create_symlink("bin/sh", pair.b + "/link");
  std::filesystem::remove(pair.b + "/empty");
  std::filesystem::create_directory(pair.b + "/empty");
  put(pair.a + "/gone/file", "x");
  put(pair.b + "/new", "x");
  const auto found = pair.diff();
  REQUIRE(found.has_value());
  CHECK(lines(*found) == std::vector<std::string>{
                             "changed /empty type file -> directory", "changed /etc/passwd content",
                             "removed /gone", "removed /gone/file",
                             "changed /link target usr/bin/tool -> bin/sh", "added /new",
                             "changed /usr/bin/tool mode 0755 -> 4755, size 300000 -> 300001"});
}

TEST_CASE("content is compared to its end") {
  const Pair pair;
  std::string text(300'000, 'x');
  text.back() = 'y';
  put(pair.b + "/usr/bin/tool", text, 0755);
  CHECK(lines(*pair.diff()) == std::vector<std::string>{"changed /usr/bin/tool content"});
}

TEST_CASE("packages are compared by their versions") {
  const Pair pair;
  put(pair.b + "/var/lib/dpkg/status", status("bash", "5.2-2") + status("curl", "7.88"));
  const auto found = pair.diff();
  REQUIRE(found->packages.size() == 3);
  CHECK(found->packages[0].name == "bash");
  CHECK(found->packages[0].before == "5.2-1");
  CHECK(found->packages[0].after == "5.2-2");
  CHECK(found->packages[1].name == "curl");
  CHECK(found->packages[1].before.empty());
  CHECK(found->packages[2].name == "jq");
  CHECK(found->packages[2].after.empty());
}

TEST_CASE("what is no ext4 image is refused by name") {
  const Pair pair;
  const std::string good = Pair::image(pair.a);
  put(pair.dir / "text", "hello");
  CHECK(contains(error_of(diff_images(good, pair.dir / "text")), "/text"));
  CHECK(contains(error_of(diff_images(pair.dir / "none", good)), "/none"));
}

TEST_CASE("a damaged image ends in an error or an answer, never in a crash") {
  const Pair pair;
  const std::string good = Pair::image(pair.a);
  const std::string bytes = get(good);
  std::uint64_t random = 1;
  for (int round = 0; round < 60; ++round) {
    std::string damaged = bytes;
    for (int n = 0; n < 200; ++n) {
      random = random * 6364136223846793005ULL + 1442695040888963407ULL;
      // The first 2 MiB hold what describes the filesystem; 2 KiB at its start are left alone.
      damaged[2048 + (random >> 33U) % (2U << 20U)] = static_cast<char>(random >> 20U);
    }
    put(pair.dir / "damaged", damaged);
    const auto found = diff_images(good, pair.dir / "damaged");
    if (!found) CHECK_FALSE(found.error().what.empty());
  }
}

}  // namespace
}  // namespace mvr::image
