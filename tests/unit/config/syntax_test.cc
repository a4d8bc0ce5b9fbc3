// Documents that are wrong as YAML or as a whole, and the exact text of the problems found.
#include "problems.h"

namespace mvr::config {

TEST_CASE("YAML that is broken is one problem at its place") {
  check({
      {with_profiles("host: {id: a\n"), {"c.yaml:3:1: not valid YAML: end of map flow not found"}},
      {with_profiles("a: b: c\n"), {"c.yaml:2:5: not valid YAML: illegal map value"}},
      {with_profiles("  host: 1\n"), {"c.yaml:2:3: not valid YAML: end of map not found"}},
      {with_profiles("host: ]\n"), {"c.yaml:2:7: not valid YAML: illegal flow end"}},
      {with_profiles("instance: \"abc\n"), {"c.yaml:2:11: this quote is never closed"}},
      {with_profiles("instance: 'abc\n"), {"c.yaml:2:11: this quote is never closed"}},
      {"%YAML 3.0\n---\na: 1\n", {"c.yaml:1:1: not valid YAML: YAML major version too large"}},
  });
}

TEST_CASE("YAML beyond plain mappings, lists and values is refused") {
  check({
      {with_profiles("instance: &name a\n"),
       {"c.yaml:2:11: an anchor (&name); anchors are not supported, write the value out"}},
      {with_profiles("host: &h {id: a}\nvmm: *h\n"),
       {"c.yaml:2:7: an anchor (&name); anchors are not supported, write the value out",
        "c.yaml:3:6: an alias (*name); aliases are not supported, write the value out"}},
      {with_profiles("instance: !!str abc\n"),
       {"c.yaml:2:11: the tag tag:yaml.org,2002:str; tags are not supported"}},
      {with_profiles("host: !x {id: a}\n"), {"c.yaml:2:7: the tag !x; tags are not supported"}},
      {with_profiles("---\ninstance: b\n"),
       {"c.yaml:2:1: a second document; the configuration is one document"}},
      {with_profiles("[a, b]: c\n"), {"c.yaml:2:1: a list cannot be a key"}},
      {with_profiles("? {a: b}\n: c\n"), {"c.yaml:2:3: a mapping cannot be a key"}},
  });
}

TEST_CASE("a text on which the YAML library finds documents without end is refused") {
  const auto loaded = mvr::config::parse(" ,?[a b]\n: c\n? {e{d: e}", "f.yaml", "host");
  CHECK_FALSE(loaded.problems.empty());
}

TEST_CASE("bytes that are no text are refused") {
  check({
      {with_profiles("instance: \"a\\x01\"\n"),
       {"c.yaml:2:11: instance: \"a\\x01\" is not 1 to 8 characters of a-z and 0-9"}},
      {"instance: a\x04\n", {"c.yaml:1:12: a control character (\\x04)"}},
      {"instance: \xff\n", {"c.yaml: not valid UTF-8"}},
      {with_profiles("instance: \"a\\u0001\"\n"),
       {"c.yaml:2:11: instance: \"a\\x01\" is not 1 to 8 characters of a-z and 0-9"}},
  });
}

TEST_CASE("a file larger than a configuration can be is refused unread") {
  const std::string huge = with_profiles("") + std::string(std::size_t{1024} * 1024, '#');
  CHECK(problems_of(huge) == std::vector<std::string>{"c.yaml: larger than 1MiB"});
}

TEST_CASE("nesting beyond what a configuration needs is refused") {
  const std::string deep = "instance: " + std::string(16, '[') + std::string(16, ']') + "\n";
  const std::vector<std::string> expected{"c.yaml:1:26: nested more than 16 levels deep"};
  CHECK(problems_of(deep) == expected);
  const std::vector<std::string> deeper = problems_of("instance: " + std::string(100'000, '['));
  REQUIRE(deeper.size() == 1);
  CHECK(deeper[0].ends_with("nested more than 16 levels deep"));
}

TEST_CASE("problems come in the order of the file") {
  const std::vector<std::string> problems = problems_of(
      "profiles: [{name: p, labels: [x], vcpus: 0}]\nvmm: {accel: x}\ninstance: X\nzzz: 1\n");
  REQUIRE(problems.size() == 4);
  CHECK(problems[0].starts_with("c.yaml:1:42: profiles[0].vcpus"));
  CHECK(problems[1].starts_with("c.yaml:2:14: vmm.accel"));
  CHECK(problems[2].starts_with("c.yaml:3:11: instance"));
  CHECK(problems[3].starts_with("c.yaml:4:1: zzz"));
}

TEST_CASE("a flood of problems is cut and counted") {
  std::string yaml = with_profiles("");
  for (int i = 0; i < 250; ++i) yaml += "key" + std::to_string(i) + ": 1\n";
  const std::vector<std::string> problems = problems_of(yaml);
  REQUIRE(problems.size() == 101);
  CHECK(problems.back() == "c.yaml: 150 more problems not shown");
}

}  // namespace mvr::config
