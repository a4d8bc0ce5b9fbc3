#include "image/action_archive.h"

#include "fixture.h"

namespace mvr::image {
namespace {

// A tree like GitHub's: one directory, named by repository and commit.
void make_tree(const std::string& tree) {
  put(tree + "/tool-0123/action.yml", "name: tool\n");
  put(tree + "/tool-0123/dist/index.js", std::string(100'000, 'x'));
}

std::string pack(const TempDir& dir, const std::vector<std::string>& options) {
  std::vector<std::string> argv{"tar", "-C", dir / "tree", "-czf", dir / "a.tar.gz"};
  argv.insert(argv.end(), options.begin(), options.end());
  output_of(argv);
  return dir / "a.tar.gz";
}

TEST_CASE("an archive as GitHub makes it is one") {
  const TempDir dir;
  make_tree(dir / "tree");
  CHECK(error_of(check_action_archive(pack(dir, {"tool-0123"}))) == "(no error)");
  CHECK(check_action_archive(pack(dir, {"--format=pax", "--pax-option=comment=0123", "."})));
  // Only files, without their directories.
  CHECK(check_action_archive(pack(dir, {"tool-0123/action.yml", "tool-0123/dist/index.js"})));
}

TEST_CASE("what the runner would stumble over is none") {
  const TempDir dir;
  make_tree(dir / "tree");
  put(dir / "tree/other/file", "x");
  CHECK(contains(error_of(check_action_archive(pack(dir, {"tool-0123", "other"}))),
                 "more than one directory"));
  put(dir / "tree/file", "x");
  CHECK(contains(error_of(check_action_archive(pack(dir, {"file"}))), "no directory"));
  CHECK(contains(error_of(check_action_archive(pack(
                     dir, {"-P", "--transform", "s,^other,../../etc,", "tool-0123", "other"}))),
                 ".."));
  CHECK(contains(
      error_of(check_action_archive(pack(dir, {"-P", "--transform", "s,^other,/etc,", "other"}))),
      "no path inside"));
  CHECK(contains(error_of(check_action_archive(pack(dir, {"-T", "/dev/null"}))), "empty"));
  CHECK(contains(error_of(check_action_archive(dir / "absent")), "not_found"));
}

TEST_CASE("only gzip is taken, and only whole") {
  const TempDir dir;
  make_tree(dir / "tree");
  const std::string whole = get(pack(dir, {"tool-0123"}));
  put(dir / "html", "<!DOCTYPE html><title>Sign in</title>");
  CHECK(contains(error_of(check_action_archive(dir / "html")), "not compressed with gzip"));
  output_of({"tar", "-C", dir / "tree", "-cf", dir / "plain.tar", "tool-0123"});
  CHECK(contains(error_of(check_action_archive(dir / "plain.tar")), "not compressed with gzip"));
  put(dir / "none", "");
  CHECK_FALSE(check_action_archive(dir / "none"));
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    put(dir / "cut", whole.substr(0, size));
    INFO(size);
    CHECK_FALSE(check_action_archive(dir / "cut"));
  }
}

}  // namespace
}  // namespace mvr::image
