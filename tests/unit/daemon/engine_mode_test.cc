// What an image's label says about its Docker engine.
#include "daemon/engine_mode.h"

#include "catch.h"

namespace mvr::daemon {
namespace {

TEST_CASE("an image without the label has its engine started with the VM") {
  CHECK(engine_mode({}) == std::string("boot"));
  CHECK(engine_mode({{"org.opencontainers.image.title", "off"}}) == std::string("boot"));
}

TEST_CASE("the label says when the engine starts") {
  for (const std::string mode : {"boot", "demand", "off"}) {
    CHECK(engine_mode({{kEngineLabel, mode}}) == mode);
  }
}

TEST_CASE("a label that says nothing known is refused with what it may be") {
  for (const std::string mode : {"", "on", "Boot", "off mvr.ip=1.2.3.4/30", "boot\n"}) {
    INFO(mode);
    const auto refused = engine_mode({{kEngineLabel, mode}});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::invalid);
    CHECK(refused.error().what.find("boot, demand or off") != std::string::npos);
    CHECK(refused.error().what.find('\n') == std::string::npos);
  }
}

}  // namespace
}  // namespace mvr::daemon
