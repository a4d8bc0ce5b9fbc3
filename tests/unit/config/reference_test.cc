// config/mvrunner.yaml against the reader, and the reader against its own rendering.
#include <chrono>
#include <fstream>
#include <set>
#include <sstream>

#include "catch.h"
#include "config/load.h"
#include "config/node.h"

namespace mvr::config {
namespace {

std::string reference() {
  std::ifstream stream(MVR_SOURCE_DIR "/config/mvrunner.yaml", std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

// "github.scopes[].max" for every key of the document.
void collect(const Node& node, const std::string& path, std::set<std::string>& paths) {
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const bool is_map = node.kind == Node::Kind::map;
    const std::string below = is_map ? path + "." + node.keys[i].text : path + "[]";
    paths.insert(below);
    collect(node.items[i], below, paths);
  }
}

std::set<std::string> key_paths(const std::string& yaml) {
  Report report("keys");
  const std::optional<Node> document = read_document(yaml, report);
  REQUIRE(document);
  std::set<std::string> paths;
  collect(*document, "", paths);
  return paths;
}

core::Config parsed(const std::string& yaml) {
  const Loaded loaded = parse(yaml, "x.yaml", "h");
  for (const Problem& problem : loaded.problems) UNSCOPED_INFO(problem.to_text());
  REQUIRE(loaded.problems.empty());
  return loaded.config;
}

}  // namespace

TEST_CASE("the reference loads without a problem") {
  const core::Config config = parsed(reference());
  CHECK(config.github.scopes.size() == 3);
  CHECK(config.profiles.size() == 3);
}

TEST_CASE("every key there is stands in the reference") {
  const std::set<std::string> in_reference = key_paths(reference());
  for (const std::string& path : key_paths(to_yaml(parsed(reference())))) {
    if (path.ends_with("[]")) continue;  // items are examples
    INFO(path);
    CHECK(in_reference.count(path) == 1);
  }
}

TEST_CASE("what the reference says of a default is the default") {
  core::Config expected = parsed("profiles: [{name: small, labels: [mvr-small]}]\n");
  core::Config config = parsed(reference());
  config.github.credentials = {};
  config.github.scopes.clear();
  config.scheduling.weights.clear();
  config.images.clear();
  config.profiles.resize(1);
  config.host.id = expected.host.id;
  CHECK(config == expected);
}

TEST_CASE("rendering and reading again gives the same configuration") {
  const core::Config config = parsed(reference());
  CHECK(parsed(to_yaml(config)) == config);
}

TEST_CASE("the reference's pattern has the defaults it names") {
  const core::Profile pattern = parsed(reference()).profiles.at(2);
  const std::string least =
      "profiles: [{name: sized, labels: [\"mvr-{cpus}cpu-{memory}gb\"], max_vcpus: 16, "
      "max_memory: 64GiB}]\n";
  CHECK(parsed(least).profiles.at(0) == pattern);
}

TEST_CASE("a configuration without scopes needs no token, rendered or not") {
  const core::Config config = parsed("profiles: [{name: p, labels: [x]}]\n");
  CHECK(parsed(to_yaml(config)) == config);
}

TEST_CASE("rendering keeps values that have no short form") {
  core::Config config = parsed(reference());
  config.runner = "null";
  config.github.scopes[1].runner_group = "a: \"b\" \\ # \xc3\xa9";
  config.github.extra_labels = {"a:b", "[x]", "~"};
  config.github.credentials = {"", "", "", core::AppSettings{"12", "", "null", 5'000'000'000}};
  config.github.scopes[0].credentials = {"", "", "a.b", {}};
  config.github.scopes[1].credentials = {"", "/e: f", "", {}};
  config.host.memory = Bytes{mib(70'000).value + 1};
  config.host.cpu_overcommit = 1.0 / 3;
  config.profiles[0].limits.job = std::chrono::milliseconds(90'061'001);
  config.profiles[0].size.memory = Bytes{gib(1).value + 4096};
  config.profiles[0].priority = -100;
  config.images[0].build_args = {{"A_1", "x: \"y\" #"}, {"B", ""}};
  config.images[0].rebuild = core::Rebuild{std::chrono::hours(10 * 24), false};
  config.scheduling.weights = {{"a/b", 1000}, {"a/.github", 1}};
  config.profiles[0].kernel_args = "- 'quoted' {a: b} %x &c *d !e |";
  CHECK(parsed(to_yaml(config)) == config);
}

TEST_CASE("rendering shows where secrets are, not what they are") {
  const std::string yaml = to_yaml(parsed(reference()));
  CHECK(yaml.find("token_file: /etc/mvrunner/token\n") != std::string::npos);
}

}  // namespace mvr::config
