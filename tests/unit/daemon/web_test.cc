#include "daemon/web.h"

#include "catch.h"

namespace mvr::daemon {
namespace {

TEST_CASE("only addresses and localhost are this host, not a name somebody made to mean it") {
  for (const char* own : {"127.0.0.1", "127.0.0.1:9840", "localhost", "LocalHost:80", "[::1]",
                          "[::1]:9840", "10.0.0.5:1"}) {
    CAPTURE(own);
    CHECK(is_own_host(own));
  }
  for (const char* other : {"", "evil.example", "evil.example:9840", "127.0.0.1.evil.example",
                            "localhost.evil.example", "[evil]:1", "[::1", "::1"}) {
    CAPTURE(other);
    CHECK_FALSE(is_own_host(other));
  }
}

TEST_CASE("a host is ready when it takes jobs, and says all that keeps it from it") {
  core::Config config;
  core::Scope scope;
  scope.owner = "acme";
  scope.repository = "app";
  config.github.scopes.push_back(scope);
  config.profiles.emplace_back().name = "small";
  core::World world;
  CHECK(why_not_ready(config, world).empty());
  world.draining = true;
  world.pressure = "512MiB of memory available";
  world.missing_images["small"] = "image debian-12 is not in the store";
  world.scopes["acme/app"].failure = Error{Errc::unavailable, "401"};
  world.scopes["gone/away"].failure = Error{Errc::unavailable, "404"};
  CHECK(why_not_ready(config, world) ==
        "the host is draining\n"
        "the host is under pressure: 512MiB of memory available\n"
        "queued jobs of acme/app cannot be listed: 401\n"
        "profile small cannot boot: image debian-12 is not in the store\n");
}

}  // namespace
}  // namespace mvr::daemon
