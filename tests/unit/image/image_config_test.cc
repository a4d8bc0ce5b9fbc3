#include "image/image_config.h"

#include "fixture.h"

namespace mvr::image {
namespace {

std::string docker_inspect(const std::string& config) {
  return R"([{"Id":"sha256:1","Architecture":"amd64","Os":"linux","Config":)" + config + "}]";
}

TEST_CASE("the config is read from what docker and podman print") {
  const auto config = parse_inspect(docker_inspect(
      R"({"User":"1001:1001","Env":["PATH=/bin","A=b=c","E="],"Entrypoint":["/init"],)"
      R"("Cmd":["a","b"],"WorkingDir":"/w","Labels":{"k":"v"},"Volumes":{"/x":{}}})"));
  REQUIRE(config.has_value());
  CHECK(config->architecture == "amd64");
  CHECK(config->user == "1001:1001");
  CHECK(config->env == std::vector<std::string>{"PATH=/bin", "A=b=c", "E="});
  CHECK(config->entrypoint == std::vector<std::string>{"/init"});
  CHECK(config->command == std::vector<std::string>{"a", "b"});
  CHECK(config->workdir == "/w");
  CHECK(config->labels.at("k") == "v");
}

TEST_CASE("the config is read from what buildah prints") {
  const auto config = parse_inspect(
      R"({"Type":"buildah","OCIv1":{"architecture":"arm64","config":{"User":"u","Env":["A=1"]}},)"
      R"("Docker":{"architecture":"wrong"}})");
  REQUIRE(config.has_value());
  CHECK(config->architecture == "arm64");
  CHECK(config->user == "u");
  CHECK(config->env == std::vector<std::string>{"A=1"});
}

TEST_CASE("members that are null or absent are empty") {
  const auto config =
      parse_inspect(docker_inspect(R"({"Env":null,"Cmd":null,"Entrypoint":null,"Labels":null})"));
  REQUIRE(config.has_value());
  CHECK(config->env.empty());
  CHECK(config->labels.empty());
  CHECK(parse_inspect(docker_inspect("null")).has_value());
}

TEST_CASE("answers of another shape are refused") {
  for (const char* text :
       {"", "[]", "{}", "null", "[1]", "[{}]", "[{},{}]", R"([{"Architecture":1}])",
        R"({"OCIv1":[]})", R"({"OCIv1":{"config":{}}})", R"([{"Architecture":"a","Config":[]}])"}) {
    INFO(text);
    CHECK_FALSE(parse_inspect(text).has_value());
  }
}

TEST_CASE("a member of the wrong type is refused by name") {
  for (const char* config : {R"({"Env":"A=1"})", R"({"Env":[1]})", R"({"Env":{}})"}) {
    CHECK(contains(error_of(parse_inspect(docker_inspect(config))), "Env"));
  }
  CHECK(contains(error_of(parse_inspect(docker_inspect(R"({"Labels":[]})"))), "Labels"));
  CHECK(contains(error_of(parse_inspect(docker_inspect(R"({"Labels":{"a":1}})"))), "Labels"));
  CHECK(contains(error_of(parse_inspect(docker_inspect(R"({"User":7})"))), "User"));
}

TEST_CASE("an environment entry must be a name and a value without NUL") {
  for (const char* config :
       {R"({"Env":["NOVALUE"]})", R"({"Env":["=x"]})", R"({"Env":["A=\u0000"]})"}) {
    CHECK_FALSE(parse_inspect(docker_inspect(config)).has_value());
  }
}

TEST_CASE("a config larger than sensible is refused") {
  CHECK(contains(
      error_of(parse_inspect(docker_inspect(R"({"User":")" + std::string(200'000, 'x') + "\"}"))),
      "too_large"));
  std::string many = R"({"Cmd":["x")";
  for (int i = 0; i < 5000; ++i) many += R"(,"x")";
  CHECK_FALSE(parse_inspect(docker_inspect(many + "]}")).has_value());
}

}  // namespace
}  // namespace mvr::image
