#include <nlohmann/json.hpp>

#include "fixture.h"

namespace mvr::image {
namespace {

nlohmann::json sample_json() {
  return nlohmann::json::parse(manifest_json(sample_manifest("debian-12")));
}

TEST_CASE("a manifest survives being written and read") {
  const std::string text = manifest_json(sample_manifest("debian-12"));
  const auto read = parse_manifest(text);
  REQUIRE(read.has_value());
  CHECK(manifest_json(*read) == text);
  CHECK(read->labels.at("b") == "zwei \xc3\xa4");
  CHECK(read->size == Bytes{8192});
  CHECK(read->command == std::vector<std::string>{"echo \"hi\""});
}

TEST_CASE("a manifest lists its name before its config") {
  const std::string text = manifest_json(sample_manifest("debian-12"));
  CHECK(text.find("\"schema\"") < text.find("\"name\""));
  CHECK(text.find("\"name\"") < text.find("\"env\""));
  CHECK(text.back() == '\n');
}

TEST_CASE("a source path that is not UTF-8 does not break the manifest") {
  Manifest manifest = sample_manifest("x");
  manifest.source = "dir\xff/Dockerfile";
  CHECK(parse_manifest(manifest_json(manifest)).has_value());
}

TEST_CASE("a manifest without one of its keys is refused by name") {
  const nlohmann::json whole = sample_json();
  for (const auto& item : whole.items()) {
    auto json = sample_json();
    json.erase(item.key());
    const auto read = parse_manifest(json.dump());
    INFO(item.key());
    REQUIRE_FALSE(read.has_value());
    CHECK(contains(read.error().what, item.key()));
  }
}

TEST_CASE("a manifest with a value of the wrong type is refused by name") {
  const nlohmann::json whole = sample_json();
  for (const auto& item : whole.items()) {
    auto json = sample_json();
    json[item.key()] = nullptr;
    INFO(item.key());
    CHECK(contains(error_of(parse_manifest(json.dump())), item.key()));
  }
}

TEST_CASE("a manifest with an unknown key is refused") {
  auto json = sample_json();
  json["extra"] = 1;
  CHECK(contains(error_of(parse_manifest(json.dump())), "unknown key \"extra\""));
}

TEST_CASE("a manifest of another schema is refused as unsupported") {
  auto json = sample_json();
  json["schema"] = 2;
  CHECK(contains(error_of(parse_manifest(json.dump())), "unsupported"));
}

TEST_CASE("a manifest with a negative size, a short digest or a wrong date is refused") {
  auto json = sample_json();
  json["size"] = -1;
  CHECK(contains(error_of(parse_manifest(json.dump())), "size"));
  json = sample_json();
  json["digest"] = "sha256:abc";
  CHECK(contains(error_of(parse_manifest(json.dump())), "digest"));
  json = sample_json();
  json["created"] = "yesterday";
  CHECK(contains(error_of(parse_manifest(json.dump())), "created"));
}

TEST_CASE("a manifest cut short is refused at every length") {
  std::string text = manifest_json(sample_manifest("x"));
  text.erase(text.find_last_of('}') + 1);
  for (std::size_t length = 0; length < text.size(); ++length) {
    CHECK_FALSE(parse_manifest(text.substr(0, length)).has_value());
  }
}

}  // namespace
}  // namespace mvr::image
