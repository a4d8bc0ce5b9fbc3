#include "daemon/gate.h"

#include <algorithm>
#include <set>

#include "catch.h"

namespace mvr::daemon {
namespace {

core::Config sample() {
  core::Config config;
  config.instance = "mvr";
  config.network.subnet = "10.231.0.0/16";
  config.github.url = "https://github.com";
  return config;
}

core::Egress list(std::vector<std::string> names) {
  return {core::EgressMode::allow_list, std::move(names)};
}

bool has(const std::vector<std::string>& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

TEST_CASE("VMs that may reach the same share a gate, open ones have none") {
  const core::Config config = sample();
  CHECK(gate_tag(config, {}).empty());
  CHECK(gates_of(config, {{0, {}}}).empty());
  CHECK(gate_tag(config, list({})) == gate_tag(config, {core::EgressMode::none, {}}));
  CHECK(gate_tag(config, list({"a.example", "b.example"})) ==
        gate_tag(config, list({"b.example", "a.example"})));
  std::vector<Guest> guests;
  for (core::Slot slot = 0; slot < 200; ++slot) {
    guests.push_back({slot, list({"n" + std::to_string(slot / 2) + ".example"})});
  }
  const auto gates = gates_of(config, guests);
  REQUIRE(gates.size() == 100);
  std::set<unsigned> ports;
  for (const Gate& gate : gates) {
    ports.insert(gate.port);
    CHECK(gate.port >= 1024);
    CHECK(gate.port < 65536);
    CHECK(gate.reached(0).size() < 32);  // of nft
  }
  CHECK(ports.size() == 100);
}

TEST_CASE("profiles have their gates before they have VMs") {
  core::Config config = sample();
  core::Profile profile;
  profile.egress = list({"example.com"});
  config.profiles = {profile};
  const auto gates = gates_of(config, {});
  REQUIRE(gates.size() == 1);
  core::Config changed = config;
  CHECK_FALSE(is_policy_changed(config, changed));
  changed.profiles.front().egress.names.push_back("example.org");
  CHECK(is_policy_changed(config, changed));
}

TEST_CASE("a gate's resolver knows its names and no other server") {
  const core::Config config = sample();
  const auto gates = gates_of(config, {{0, list({"example.com"})}});
  const auto arguments = gate_arguments(config, gates.front());
  CHECK(has(arguments, "--server=/example.com/10.231.255.253#1053"));
  const std::string set = "4#inet#mvr#" + gates.front().reached(0);
  CHECK(has(arguments, "--nftset=/example.com/" + set + ",4#inet#mvr#" + gates.front().reached(1)));
  CHECK(has(arguments, "--no-resolv"));
  CHECK(has(arguments, "--cache-size=0"));
  CHECK_FALSE(has(arguments, "--server=10.231.255.253#1053"));
  const auto open = gates_of(config, {{0, {core::EgressMode::learn, {}}}});
  CHECK(has(gate_arguments(config, open.front()), "--server=10.231.255.253#1053"));
}

TEST_CASE("a name passes by itself or below one of the gate's") {
  Gate gate;
  gate.names = {"example.com", "github.com"};
  CHECK(passes(gate, "example.com"));
  CHECK(passes(gate, "a.b.example.com"));
  CHECK_FALSE(passes(gate, "notexample.com"));
  CHECK_FALSE(passes(gate, "com"));
  CHECK_FALSE(passes(gate, "example.com.evil.org"));
  gate.is_limited = false;
  CHECK(passes(gate, "anything"));
}

TEST_CASE("queries are read out of dnsmasq's log") {
  const auto query = query_of("dnsmasq[24769]: query[A] WWW.example.com from 10.231.0.2");
  REQUIRE(query);
  CHECK(query->name == "www.example.com");
  CHECK(query->from.to_text() == "10.231.0.2");
  CHECK(query_of("dnsmasq[1]: query[AAAA] x.example from 10.231.0.6"));
  for (const char* line : {"", "dnsmasq[1]: reply example.com is 192.0.2.1", "query[A] ",
                           "query[A] x from", "query[A] x from nowhere",
                           "query[A]  from 10.231.0.2 from", "query[PTR] x from 10.231.0.2"}) {
    CHECK_FALSE(query_of(line));
  }
  // A guest may ask for anything.
  const auto odd = query_of("query[A] a from 10.0.0.1\\033[31m from 10.231.0.2");
  REQUIRE(odd);
  CHECK(odd->from.to_text() == "10.231.0.2");
  CHECK_FALSE(query_of("query[A] " + std::string(300, 'a') + " from 10.231.0.2"));
}

}  // namespace
}  // namespace mvr::daemon
