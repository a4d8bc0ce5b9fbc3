#include "config/starter.h"

#include "catch.h"
#include "config/load.h"

namespace mvr::config {
namespace {

HostRoom room(std::uint64_t gib, std::uint32_t cpus, std::uint64_t disk_gib) {
  return HostRoom{Bytes{gib * 1024 * 1024 * 1024}, cpus, Bytes{disk_gib * 1024 * 1024 * 1024}};
}

Starter starter(const HostRoom& host) {
  Starter all;
  all.target = parse_target("https://github.com/example-org/website").value();
  all.credentials.token_file = "/etc/mvrunner/token";
  all.room = host;
  return all;
}

TEST_CASE("an address says server, owner and repository") {
  const auto repository = parse_target("https://github.com/example-org/website.git");
  REQUIRE(repository);
  CHECK(repository->server == "https://github.com");
  CHECK(repository->scope.id() == "example-org/website");
  for (const char* url : {"https://github.com/example-org", "https://github.com/orgs/example-org",
                          "https://github.com/example-org/"}) {
    const auto organization = parse_target(url);
    REQUIRE(organization);
    CHECK(organization->scope.kind == core::ScopeKind::organization);
    CHECK(organization->scope.id() == "example-org");
  }
  const auto enterprise = parse_target("http://ghe.example:8080/enterprises/example-inc");
  REQUIRE(enterprise);
  CHECK(enterprise->server == "http://ghe.example:8080");
  CHECK(enterprise->scope.id() == "enterprises/example-inc");
}

TEST_CASE("what is no such address is refused, with an example") {
  for (const char* wrong :
       {"", "github.com/a/b", "ssh://github.com/a/b", "https://github.com", "https://github.com/",
        "https://github.com/a/b/c", "https://github.com/a b", "https://github.com/a/\"x"}) {
    const auto target = parse_target(wrong);
    REQUIRE_FALSE(target);
    CHECK(target.error().what.find("https://github.com/example-org") != std::string::npos);
  }
}

TEST_CASE("a host gets the common sizes that fit into it") {
  const auto names = [](const HostRoom& host) {
    std::string all;
    const auto profiles = fitting_profiles(host);
    REQUIRE(profiles);
    for (const auto& profile : *profiles) {
      all += profile.name + ":" + std::to_string(profile.at_once) + " ";
    }
    return all;
  };
  CHECK(names(room(64, 16, 500)) == "small:8 medium:4 large:2 ");
  CHECK(names(room(16, 8, 500)) == "small:3 medium:1 ");
  CHECK(names(room(8, 2, 500)) == "small:1 ");
  CHECK(names(room(4, 4, 500)) == "small:1 ");
}

TEST_CASE("a small host gets one size that takes what there is") {
  const auto profiles = fitting_profiles(room(2, 1, 8));
  REQUIRE(profiles);
  REQUIRE(profiles->size() == 1);
  CHECK(profiles->front().vcpus == 1);
  CHECK(profiles->front().memory == Bytes{512ULL * 1024 * 1024});
  CHECK(profiles->front().disk == Bytes{3ULL * 1024 * 1024 * 1024});
  const auto none = fitting_profiles(room(1, 4, 100));
  REQUIRE_FALSE(none);
  CHECK(none.error().code == Errc::unsupported);
}

TEST_CASE("what is written is a valid configuration with what was given") {
  for (const auto& host : {room(2, 1, 8), room(16, 8, 500), room(512, 128, 4000)}) {
    Starter all = starter(host);
    all.max_vms = 3;
    const auto text = starter_yaml(all);
    REQUIRE(text);
    const Loaded loaded = parse(*text, "mvrunner.yaml", "host");
    REQUIRE(loaded.problems.empty());
    CHECK(loaded.config.github.url == "https://github.com");
    CHECK(loaded.config.github.scopes.front().id() == "example-org/website");
    CHECK(loaded.config.github.credentials.token_file == "/etc/mvrunner/token");
    CHECK(loaded.config.host.max_vms == 3);
    CHECK(loaded.config.profiles.size() == fitting_profiles(host)->size());
  }
}

TEST_CASE("an App and an enterprise are written as the configuration wants them") {
  Starter all = starter(room(16, 8, 500));
  all.target = parse_target("https://github.com/enterprises/example-inc").value();
  const auto enterprise = starter_yaml(all);
  REQUIRE(enterprise);
  CHECK(parse(*enterprise, "mvrunner.yaml", "host").problems.empty());
  all.target = parse_target("https://github.com/example-org").value();
  core::AppSettings app;
  app.id = "Iv23liEXAMPLE";
  app.key_file = "/etc/mvrunner/a \"key\".pem";
  app.installation = 12;
  all.credentials = {};
  all.credentials.app = app;
  const auto text = starter_yaml(all);
  REQUIRE(text);
  const Loaded loaded = parse(*text, "mvrunner.yaml", "host");
  REQUIRE(loaded.problems.empty());
  CHECK(loaded.config.github.credentials.app == app);
}

}  // namespace
}  // namespace mvr::config
