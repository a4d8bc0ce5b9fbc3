#include "guest/mirror.h"

#include "catch.h"

namespace mvr::guest {
namespace {

const std::string kMirror = "10.231.255.253:5000";

std::string merged(const std::string& text) {
  const auto result = with_mirror(text, kMirror);
  REQUIRE(result);
  return *result;
}

}  // namespace

TEST_CASE("dockerd without settings gets the mirror alone") {
  const std::string expected =
      "{\n  \"registry-mirrors\": [\n    \"http://10.231.255.253:5000\"\n  ],\n"
      "  \"insecure-registries\": [\n    \"http://10.231.255.253:5000\"\n  ]\n}\n";
  CHECK(merged("") == expected);
  CHECK(merged(" \n") == expected);
  CHECK(merged("{}") == expected);
}

TEST_CASE("what an image sets for dockerd stays as it is, in its order") {
  CHECK(merged(R"({"z": {"b": 1.5, "a": [true, null, "ü"]}, "registry-mirrors": ["https://own"],)"
               R"("debug": false, "insecure-registries": null})") ==
        "{\n  \"z\": {\n    \"b\": 1.5,\n    \"a\": [\n      true,\n      null,\n      \"ü\"\n    "
        "]\n  },\n  \"registry-mirrors\": [\n    \"http://10.231.255.253:5000\",\n    "
        "\"https://own\"\n  ],\n  \"debug\": false,\n  \"insecure-registries\": [\n    "
        "\"http://10.231.255.253:5000\"\n  ]\n}\n");
}

TEST_CASE("a mirror that is there already is not added again") {
  const std::string once = merged("{\"data-root\": \"/x\"}");
  CHECK(merged(once) == once);
}

TEST_CASE("settings that are no settings are refused, however they look") {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  const std::string nested = "{\"a\":" + deep + "}";
  for (const std::string& text :
       {std::string("["), std::string("[]"), std::string("null"), std::string("1"),
        std::string("{\"a\":1"), std::string("{} {}"), std::string("{'a':1}"),
        std::string("{// comment\n}"), std::string("{\"a\":\"\xff\"}"), std::string("\0{}", 3),
        std::string("{\"registry-mirrors\": \"https://own\"}"),
        std::string("{\"registry-mirrors\": [1]}"), std::string("{\"insecure-registries\": {}}"),
        deep, nested}) {
    INFO(text.substr(0, 60));
    const auto result = with_mirror(text, kMirror);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Errc::invalid);
  }
}

TEST_CASE("BuildKit is told that the mirror speaks HTTP") {
  CHECK(buildkit_settings(kMirror) ==
        "[registry.\"docker.io\"]\n  mirrors = [\"10.231.255.253:5000\"]\n"
        "[registry.\"10.231.255.253:5000\"]\n  http = true\n");
}

TEST_CASE("without a mirror nothing happens") {
  CHECK(wire_mirror(""));
  CHECK(wire_buildx("", User{}));
}

}  // namespace mvr::guest
