#include "core/room.h"

#include "catch.h"
#include "fixture.h"

namespace mvr::core::test {
namespace {

std::uint32_t room(const World& holder, const Config& settings = config(),
                   std::string_view profile = "small") {
  return room_for(settings, holder, kScope, profile);
}

}  // namespace

TEST_CASE("an empty host has room for as many as its scarcest resource allows") {
  CHECK(room(world()) == 8);                     // 16 GiB and 16 vCPUs by 2
  CHECK(room(world(), config(), "large") == 2);  // by memory
  World holder = world();
  holder.capacity.disk = gib(35);
  CHECK(room(holder) == 3);
  holder.capacity.vms = 1;
  CHECK(room(holder) == 1);
}

TEST_CASE("VMs at the scope count as room for its jobs, those that end do not") {
  World holder = world();
  put(holder, vm(0, Phase::running));
  put(holder, vm(1, Phase::booting));
  CHECK(room(holder) == 8);
  put(holder, vm(2, Phase::ending));
  CHECK(room(holder) == 7);
}

TEST_CASE("what others have is not there, what is kept warm is") {
  World holder = world();
  Vm other = vm(0, Phase::running);
  other.scope = "octo/other";
  put(holder, other);
  CHECK(room(holder) == 7);
  Vm warm = vm(1, Phase::warm);
  warm.scope.clear();
  put(holder, warm);
  CHECK(room(holder) == 7);
}

TEST_CASE("limits of profile and scope hold") {
  Config settings = config();
  settings.profiles[0].max = 3;
  CHECK(room(world(), settings) == 3);
  settings.github.scopes[0].max = 2;
  CHECK(room(world(), settings) == 2);
  World holder = world();
  put(holder, vm(0, Phase::running));
  CHECK(room(holder, settings) == 2);
}

TEST_CASE("a host that takes no more VMs offers those it has") {
  World holder = world();
  put(holder, vm(0, Phase::running));
  SECTION("draining") { holder.draining = true; }
  SECTION("under pressure") { holder.pressure = "memory"; }
  SECTION("without the image") { holder.missing_images["small"] = "no such image"; }
  CHECK(room(holder) == 1);
}

TEST_CASE("a profile that fails to boot is offered once") {
  World holder = world();
  holder.health["small"].failures = 2;
  CHECK(room(holder) == 1);
  put(holder, vm(0, Phase::booting));
  CHECK(room(holder) == 1);
}

TEST_CASE("nothing is offered for what is not configured") {
  CHECK(room(world(), config(), "none") == 0);
  CHECK(room_for(config(), world(), "octo/none", "small") == 0);
}

}  // namespace mvr::core::test
