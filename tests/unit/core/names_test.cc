#include "core/names.h"

#include <set>

#include "catch.h"
#include "fixture.h"

namespace mvr::core::test {

TEST_CASE("VM names do not repeat") {
  std::set<std::string> names;
  for (std::uint64_t launch = 0; launch < 20'000; ++launch) {
    names.insert(vm_name("small", 42, launch));
  }
  CHECK(names.size() == 20'000);
}

TEST_CASE("a VM name is the profile and six base32 characters, and depends on the seed") {
  const std::string name = vm_name("small", 42, 0);
  REQUIRE(name.size() == 12);
  CHECK(name.starts_with("small-"));
  CHECK(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz234567", 6) == std::string::npos);
  CHECK(name != vm_name("small", 43, 0));
}

TEST_CASE("runner names do not repeat") {
  std::set<std::string> names;
  for (std::uint64_t attempt = 0; attempt < 20'000; ++attempt) {
    names.insert(runner_name("h1", 42, attempt));
  }
  CHECK(names.size() == 20'000);
}

TEST_CASE("a runner name has at most 63 characters whatever the host id") {
  CHECK(runner_name("h1", 1, 1).size() == 14);
  CHECK(runner_name(std::string(51, 'a'), 1, 1).size() == 63);
  CHECK(runner_name(std::string(200, 'a'), 1, 1).size() == 63);
}

TEST_CASE("long host ids that differ at the end only do not share runners") {
  const std::string one = std::string(80, 'a') + "1";
  const std::string other = std::string(80, 'a') + "2";
  CHECK(is_our_runner(one, runner_name(one, 1, 1)));
  CHECK_FALSE(is_our_runner(other, runner_name(one, 1, 1)));
}

TEST_CASE("our runners are known by their name") {
  CHECK(is_our_runner("h1", runner_name("h1", 99, 3)));
  CHECK(is_our_runner("h1", "mv-h1-0123abcd"));
}

TEST_CASE("runners of other hosts and other fleets are not ours") {
  CHECK_FALSE(is_our_runner("h1", runner_name("h2", 99, 3)));
  CHECK_FALSE(is_our_runner("h1", runner_name("h1-b", 99, 3)));
  CHECK_FALSE(is_our_runner("h1-b", runner_name("h1", 99, 3)));
  CHECK_FALSE(is_our_runner("h1", runner_name("h1-0123abcd", 99, 3)));
  CHECK_FALSE(is_our_runner("h1", "mv-h1-0123ABCD"));
  CHECK_FALSE(is_our_runner("h1", "mv-h1-0123abcde"));
  CHECK_FALSE(is_our_runner("h1", "mv-h1-"));
  CHECK_FALSE(is_our_runner("h1", "build-server-01"));
}

TEST_CASE("IPv4 addresses are parsed strictly and printed back") {
  REQUIRE(parse_ipv4("10.90.0.255"));
  CHECK(parse_ipv4("10.90.0.255")->value == 0x0A5A00FFU);
  CHECK(parse_ipv4("10.90.0.255")->to_text() == "10.90.0.255");
  CHECK(Ipv4{0}.to_text() == "0.0.0.0");
  for (const char* wrong : {"", "10.90.0", "10.90.0.256", "10.90.0.01", "10.90.0.1 ", "a.b.c.d",
                            "10.90.0.1.2", "10..0.1", "-1.0.0.0"}) {
    INFO(wrong);
    CHECK_FALSE(parse_ipv4(wrong));
  }
}

TEST_CASE("a subnet must have no host bits") {
  REQUIRE(parse_subnet("10.90.0.0/16"));
  CHECK(parse_subnet("10.90.0.0/16")->prefix == 16);
  REQUIRE_FALSE(parse_subnet("10.90.0.1/16"));
  CHECK(parse_subnet("10.90.0.1/16").error().what.find("10.90.0.0/16") != std::string::npos);
  for (const char* wrong :
       {"10.90.0.0", "10.90.0.0/", "10.90.0.0/33", "10.90.0.0/08", "/16", "10.90.0.0/16/1"}) {
    INFO(wrong);
    CHECK_FALSE(parse_subnet(wrong));
  }
}

TEST_CASE("a subnet holds one VM per /30 less the uplink") {
  CHECK(slots_in(*parse_subnet("10.90.0.0/16")) == 16'383);
  CHECK(slots_in(*parse_subnet("10.90.0.0/24")) == 63);
  CHECK(slots_in(*parse_subnet("10.90.0.0/30")) == 0);
  CHECK(slots_in(*parse_subnet("10.90.0.0/32")) == 0);
}

TEST_CASE("slot n has the n-th /30 of the subnet") {
  const SlotNames first = slot_names(config(), 0);
  CHECK(first.gateway.to_text() == "10.90.0.1");
  CHECK(first.guest.to_text() == "10.90.0.2");
  const SlotNames later = slot_names(config(), 64);
  CHECK(later.gateway.to_text() == "10.90.1.1");
  CHECK(later.guest.to_text() == "10.90.1.2");
}

TEST_CASE("all names of a slot follow from its number") {
  const SlotNames names = slot_names(config(), 258);
  CHECK(names.directory == "/var/lib/mvrunner/vms/258");
  CHECK(names.spec == "/var/lib/mvrunner/vms/258/spec.json");
  CHECK(names.agent_socket == "/var/lib/mvrunner/vms/258/agent.sock");
  CHECK(names.cgroup == "vm-258");
  CHECK(names.tap == "mvrt258");
  CHECK(names.mac == "02:6d:76:00:01:02");
  CHECK(names.uid == 200'258);
}

TEST_CASE("tap names fit the kernel's limit for the longest instance name") {
  Config longest = config();
  longest.instance = "abcdefgh";
  CHECK(slot_names(longest, 999).tap.size() < 16);
}

TEST_CASE("slots share no name and no address") {
  std::set<std::string> seen;
  for (Slot slot = 0; slot < 1'000; ++slot) {
    const SlotNames names = slot_names(config(), slot);
    for (const std::string& each : {names.directory, names.cgroup, names.tap, names.mac,
                                    names.guest.to_text(), names.gateway.to_text()}) {
      CHECK(seen.insert(each).second);
    }
  }
}

TEST_CASE("the last /30 joins host and namespace") {
  const HostNames names = host_names(config());
  CHECK(names.uplink_host.to_text() == "10.90.255.253");
  CHECK(names.uplink_guest.to_text() == "10.90.255.254");
  CHECK(names.veth_host == "mvrh0");
  CHECK(names.veth_guest == "mvrg0");
  CHECK(names.control_socket == "/run/mvrunner/control.sock");
  CHECK(names.vms_directory == "/var/lib/mvrunner/vms");
}

}  // namespace mvr::core::test
