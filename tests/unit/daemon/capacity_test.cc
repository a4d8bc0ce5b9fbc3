#include "daemon/capacity.h"

#include "catch.h"

namespace {

using namespace mvr;

core::HostSettings settings() {
  core::HostSettings host;
  host.reserve_memory = gib(1);
  host.reserve_disk = gib(5);
  host.cpu_overcommit = 1.5;
  host.max_vms = 10;
  return host;
}

}  // namespace

TEST_CASE("capacity is what was measured less the reserves, and the configuration's word over it") {
  const daemon::HostMeasures measures{gib(8), 3, gib(50)};
  CHECK(daemon::capacity_of(settings(), measures) == core::Capacity{gib(7), 4, gib(45), 10});
  core::HostSettings host = settings();
  host.memory = gib(20);
  host.cpus = 8;
  host.disk = gib(30);
  CHECK(daemon::capacity_of(host, measures) == core::Capacity{gib(19), 12, gib(25), 10});
  host.disk = gib(300);  // no more than there is
  CHECK(daemon::capacity_of(host, measures).disk == gib(45));
}

TEST_CASE("profiles that do not fit are named with all they lack") {
  core::Config config;
  core::Profile fits;
  fits.name = "fits";
  fits.size = core::Resources{gib(7), 4, gib(45)};
  core::Profile large;
  large.name = "large";
  large.size = core::Resources{gib(16), 8, gib(20)};
  core::Profile flex;
  flex.name = "flex";
  flex.size = core::Resources{gib(1), 6, gib(20)};
  flex.most = core::Resources{gib(64), 64, gib(20)};
  config.profiles = {fits, large, flex};
  const core::Capacity capacity{gib(7), 4, gib(45), 10};
  CHECK(daemon::unfit_profiles(config, capacity) ==
        std::vector<std::string>{
            "profiles[1] \"large\" does not fit this host: needs 16GiB of memory, this host has "
            "7GiB for VMs; needs 8 vCPUs, this host has 4 for VMs",
            "profiles[2] \"flex\" does not fit this host: the least needs 6 vCPUs, this host has "
            "4 for VMs"});
}
