#include "daemon/network.h"

#include <unistd.h>

#include "catch.h"
#include "daemon/resolver.h"
#include "sys/process.h"

namespace {

using namespace mvr;

core::Config sample() {
  core::Config config;
  config.instance = "mvr";
  config.network.subnet = "10.231.0.0/16";
  config.network.resolv_conf = "/etc/resolv.conf";
  config.state_dir = "/var/lib/mvrunner";
  config.run_dir = "/run/mvrunner";
  config.vmm.uid_base = 2'000'000;
  config.host.max_vms = 64;
  return config;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

daemon::Guest guest(core::Slot slot, const core::Egress& egress = {}) { return {slot, egress}; }

std::string table_for(const core::Config& config, const std::vector<daemon::Guest>& guests) {
  daemon::GuestPolicy policy;
  policy.guests = guests;
  policy.gates = daemon::gates_of(config, guests);
  for (const daemon::Gate& gate : policy.gates) policy.reached[gate.reached(1)] = "192.0.2.7";
  return daemon::render_guest_table(config, policy);
}

const core::Egress some{core::EgressMode::allow_list, {"example.com"}};
const core::Egress learn{core::EgressMode::learn, {}};

// nft's own parser, without applying anything.
sys::RunResult nft_check(const std::string& script) {
  sys::RunOptions options;
  options.argv = {"nft", "-c", "-f", "-"};
  options.input = script;
  auto result = sys::run(options);
  REQUIRE(result);
  return *result;
}

}  // namespace

TEST_CASE("rates come and go with a VM, and the scripts may be applied again") {
  const std::string table = daemon::render_rate_table("mvr");
  const std::string one = daemon::add_rate("mvr", "mvrt3", mib(1));
  CHECK(contains(one, "sent_mvrt3 limit rate over 1048576 bytes/second burst 262144 bytes drop"));
  const std::string other = daemon::add_rate("mvr", "mvrt4", mib(100));
  CHECK(contains(other, "received_mvrt4 limit rate over 104857600 bytes/second burst 20971520 "));
  const std::string gone = daemon::drop_rate("mvr", "mvrt3") + daemon::drop_rate("mvr", "mvrt4");
  for (const std::string& script :
       {table + table, table + one + other + table, table + one + other + one + gone + gone}) {
    const auto checked = nft_check(script);
    CAPTURE(script, checked.err);
    CHECK(checked.exit.ok());
  }
}

TEST_CASE("taps with a rate are known by the table as nft lists it") {
  CHECK(daemon::limited_taps(
            "table inet mvr_rates {\n\tmap sent_of {\n\t\ttype ifname : verdict\n\t}\n}")
            .empty());
  const std::set<std::string> both{"mvrt3", "mvrt14"};
  CHECK(daemon::limited_taps("elements = { \"mvrt3\" : goto sent_mvrt3,\n"
                             "             \"mvrt14\" : goto sent_mvrt14 }\n"
                             "elements = { \"mvrt3\" : goto received_mvrt3 }") == both);
}

TEST_CASE("a tap may only carry the address of its slot") {
  const std::string table = table_for(sample(), {guest(0), guest(2)});
  CHECK(contains(table, "elements = { \"mvrt0\" . 10.231.0.2, \"mvrt2\" . 10.231.0.10 }"));
  CHECK(contains(table, "iifname \"mvrt*\" iifname . ip saddr != @vms drop"));
  CHECK(contains(table, "iifname \"mvrt*\" meta nfproto != ipv4 drop"));
}

TEST_CASE("forwarding and input drop what no rule accepts") {
  const std::string table = table_for(sample(), {});
  CHECK(contains(table, "hook forward priority filter; policy drop;"));
  CHECK(contains(table, "hook input priority filter; policy drop;"));
}

TEST_CASE("allowed private addresses stand before the private ranges are dropped") {
  core::Config config = sample();
  config.network.allow = {"192.168.7.0/24", "10.9.8.7:443"};
  const std::string table = table_for(config, {});
  const auto wide = table.find("ip daddr 192.168.7.0/24 accept");
  const auto port = table.find("ip daddr 10.9.8.7 tcp dport 443 accept");
  const auto drop = table.find("192.168.0.0/16");
  REQUIRE(wide != std::string::npos);
  REQUIRE(port != std::string::npos);
  CHECK(wide < drop);
  CHECK(port < drop);
}

TEST_CASE("VMs reach the port of a registry mirror where there is one, and no other of the host") {
  core::Config config = sample();
  CHECK_FALSE(contains(table_for(config, {}), "5000"));
  CHECK_FALSE(contains(daemon::render_host_table(config), "5000"));
  config.registry_mirror.enabled = true;
  const std::string guest = table_for(config, {});
  const auto open = guest.find(
      "iifname \"mvrt*\" oifname \"mvrg0\" ip daddr 10.231.255.253 tcp dport 5000 accept");
  REQUIRE(open != std::string::npos);
  CHECK(open < guest.find("10.0.0.0/8"));
  CHECK_FALSE(contains(guest, "5001"));
  const std::string host = daemon::render_host_table(config);
  CHECK(contains(host, "iifname \"mvrh0\" ip daddr 10.231.255.253 tcp dport 5000 accept"));
  CHECK(contains(host, "iifname != \"lo\" ip daddr 10.231.255.253 tcp dport { 5000, 5001 } drop"));
}

TEST_CASE("nft accepts both tables as they are rendered") {
  if (::geteuid() != 0) {
    WARN("skipped: nft -c needs root");
    return;
  }
  core::Config config = sample();
  config.instance = "mvrunit";
  config.network.allow = {"192.168.7.0/24", "10.9.8.7:443"};
  config.registry_mirror.enabled = true;
  for (const auto& script : {table_for(config, {guest(0), guest(1, some), guest(5, learn)}),
                             table_for(config, {}), daemon::render_host_table(config)}) {
    const auto checked = nft_check(script);
    INFO(checked.err << "\n" << script);
    CHECK(checked.exit.ok());
  }
}

TEST_CASE("the resolver listens on our own address and follows the host's resolv.conf") {
  const auto arguments = daemon::resolver_arguments(sample());
  const auto has = [&](const std::string& wanted) {
    return std::find(arguments.begin(), arguments.end(), wanted) != arguments.end();
  };
  CHECK(has("--listen-address=10.231.255.253"));
  CHECK(has("--bind-interfaces"));
  CHECK(has("--resolv-file=/etc/resolv.conf"));
}

TEST_CASE("VMs behind a gate have its resolver, its addresses and nothing else") {
  const core::Config config = sample();
  const auto gates = daemon::gates_of(config, {guest(1, some), guest(2, some), guest(3, learn)});
  REQUIRE(gates.size() == 2);
  const daemon::Gate& gate = gates[0].is_limited ? gates[0] : gates[1];
  const std::string table = table_for(config, {guest(0), guest(1, some), guest(2, some)});
  const std::string taps = "iifname @" + gate.taps() + " ";
  CHECK(contains(table, "set " + gate.taps() +
                            " {\n    type ifname\n    elements = { \"mvrt1\", \"mvrt2\" }"));
  // What was reached before is so still.
  CHECK(contains(
      table, "set " + gate.reached(1) + " {\n    type ipv4_addr\n    elements = { 192.0.2.7 }"));
  const auto own =
      table.find(taps + "fib daddr type local udp dport 53 dnat ip to 10.231.255.254:" +
                 std::to_string(gate.port));
  const auto common = table.find("iifname \"mvrt*\" fib daddr type local udp dport 53");
  REQUIRE(own != std::string::npos);
  CHECK(own < common);
  // The resolver that knows all names is barred before it is opened.
  const auto barred =
      table.find(taps + "ip daddr 10.231.255.253 meta l4proto { tcp, udp } th dport");
  REQUIRE(barred != std::string::npos);
  CHECK(barred < table.find("ip daddr 10.231.255.253 udp dport 1053 accept"));
  const auto blocked = table.find("192.168.0.0/16");
  const auto reached =
      table.find(taps + "oifname \"mvrg0\" ip daddr @" + gate.reached(0) + " accept");
  const auto dropped = table.find(taps + "drop\n");
  const auto open = table.find("iifname \"mvrt*\" oifname \"mvrg0\" accept");
  REQUIRE(reached != std::string::npos);
  REQUIRE(dropped != std::string::npos);
  CHECK(blocked < reached);
  CHECK(reached < dropped);
  CHECK(dropped < open);
}

TEST_CASE("a VM that learns is open, with a resolver that tells") {
  const std::string table = table_for(sample(), {guest(3, learn)});
  CHECK(contains(table, "iifname @taps_learn fib daddr type local udp dport 53"));
  CHECK_FALSE(contains(table, "iifname @taps_learn drop"));
  CHECK_FALSE(contains(table, "reached_learn"));
}
