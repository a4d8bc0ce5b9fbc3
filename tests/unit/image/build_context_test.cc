#include "image/build_context.h"

#include "fixture.h"

namespace mvr::image {
namespace {

bool ignores(const std::string& rules, const std::string& path) {
  const auto parsed = IgnoreRules::parse(rules);
  INFO(error_of(parsed));
  REQUIRE(parsed.has_value());
  return parsed->ignores(path);
}

struct Case {
  const char* rules;
  const char* path;
  bool ignored;
};

TEST_CASE("the rules of .dockerignore") {
  for (const Case& one : {
           Case{"a", "a", true},
           {"a", "a/b/c", true},  // what is below goes too
           {"a", "b/a", false},   // from the top of the context only
           {"/a/", "a", true},
           {"./a/../b", "b", true},
           {"*.log", "x.log", true},
           {"*.log", "d/x.log", false},
           {"*/x.log", "d/x.log", true},
           {"**/x.log", "x.log", true},
           {"**/x.log", "a/b/x.log", true},
           {"**/x.log", "a/bx.log", false},
           {"a/**", "a/b/c", true},
           {"a/**", "a", false},
           {"a/**/z", "a/z", true},
           {"a/**/z", "a/b/c/z", true},
           {"a/**/z", "ab/z", false},
           {"**", "anything/at/all", true},
           {"file?", "file1", true},
           {"file?", "file", false},
           {"a?b", "a/b", false},
           {"[a-c]x", "bx", true},
           {"[^a-c]x", "bx", false},
           {"[^a-c]x", "dx", true},
           {"\\*", "*", true},
           {"\\*", "x", false},
           {"# a comment\n  b  ", "b", true},
           {"#x", "#x", false},
           {"\\#x", "#x", true},
           {"*\n!keep", "keep", false},
           {"*\n!keep", "other", true},
           {"*\n!keep/this", "keep/this/file", false},
           {"*\n!keep/this", "keep/that", true},
           {"!keep\n*", "keep", true},  // the last one decides
           {"*.md\n!README*.md\nREADME-secret.md", "README-secret.md", true},
           {"*.md\n!README*.md\nREADME-secret.md", "README.md", false},
           {".\n/", "a", false},
           {"\xEF\xBB\xBF"
            "a",
            "a", true},
       }) {
    INFO(one.rules << " | " << one.path);
    CHECK(ignores(one.rules, one.path) == one.ignored);
  }
}

TEST_CASE("a rule that cannot be read names its line") {
  CHECK(contains(error_of(IgnoreRules::parse("a\n[b")), ".dockerignore line 2"));
  CHECK(contains(error_of(IgnoreRules::parse("a\\")), ".dockerignore line 1"));
}

TEST_CASE("a pattern made to take long does not") {
  CHECK_FALSE(ignores(std::string(200, '*') + "x", std::string(2000, 'a')));
  std::string pattern;
  for (int i = 0; i < 50; ++i) pattern += "*a";
  CHECK_FALSE(ignores(pattern + "b", std::string(2000, 'a')));
}

std::vector<std::string> listed(const std::string& directory, const std::string& rules) {
  const auto entries = list_context(directory, *IgnoreRules::parse(rules));
  if (!entries) return {error_of(entries)};
  std::vector<std::string> lines;
  for (const ContextEntry& entry : *entries) {
    lines.push_back(std::string(1, entry.kind) + " " + entry.path);
  }
  return lines;
}

TEST_CASE("the context is listed without what is ignored, and what is taken back is there") {
  const TempDir dir;
  put(dir / "src/main.c", "x");
  put(dir / "src/main.o", "x");
  put(dir / "node_modules/a/b.js", "x");
  put(dir / "node_modules/keep/c.js", "x");
  REQUIRE(::symlink("src/main.c", (dir / "link").c_str()) == 0);
  using Lines = std::vector<std::string>;
  CHECK(listed(dir.path(), "**/*.o\nnode_modules") == Lines{"l link", "d src", "f src/main.c"});
  CHECK(listed(dir.path(), "src\nlink\nnode_modules\n!node_modules/keep") ==
        Lines{"d node_modules/keep", "f node_modules/keep/c.js"});
}

TEST_CASE("an entry has what the builders look at: mode, content, target, and no times") {
  const TempDir dir;
  put(dir / "f", "one", 0640);
  REQUIRE(::symlink("to", (dir / "l").c_str()) == 0);
  const auto rules = IgnoreRules::parse("");
  const auto first = list_context(dir.path(), *rules);
  REQUIRE(first.has_value());
  CHECK((*first)[0].mode == 0640);
  CHECK((*first)[0].content == "3 " + sys::sha256_file(dir / "f"));
  CHECK((*first)[1].content == "to");
  const timespec times[2] = {{1, 0}, {1, 0}};
  REQUIRE(::utimensat(AT_FDCWD, (dir / "f").c_str(), times, 0) == 0);
  CHECK((*list_context(dir.path(), *rules))[0].content == (*first)[0].content);
}

TEST_CASE("the ignore file is the builder's choice") {
  const TempDir dir;
  const std::string dockerfile = dir / "x.Dockerfile";
  CHECK(ignore_file(dir.path(), dockerfile, true).empty());
  put(dir / ".dockerignore", "");
  put(dir / ".containerignore", "");
  CHECK(ignore_file(dir.path(), dockerfile, true) == dir / ".dockerignore");
  CHECK(ignore_file(dir.path(), dockerfile, false) == dir / ".containerignore");
  put(dockerfile + ".dockerignore", "");
  CHECK(ignore_file(dir.path(), dockerfile, true) == dockerfile + ".dockerignore");
}

}  // namespace
}  // namespace mvr::image
