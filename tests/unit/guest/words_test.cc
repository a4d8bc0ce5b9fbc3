// The kernel command line and /etc/environment.
#include "guest/words.h"

#include <arpa/inet.h>

#include <array>
#include <utility>

#include "catch.h"

namespace mvr::guest {
namespace {

TEST_CASE("a VM may be told to wait for who it is") {
  CHECK(parse_command_line("quiet mvr.waits mvr.drives=base,scratch").value().waits);
  CHECK_FALSE(parse_command_line("quiet").value().waits);
  CHECK_FALSE(parse_command_line("mvr.waits=1"));
}

TEST_CASE("words of ours are read and those of the kernel are left alone") {
  const auto words = parse_command_line(
      "console=ttyS0 mvr.hostname=small-ab2cd3 mvr.ip=100.64.0.6/30 mvr.gw=100.64.0.5 "
      "mvr.dns=100.64.0.5 panic=-1\n");
  REQUIRE(words);
  CHECK(words->hostname == "small-ab2cd3");
  REQUIRE(words->network);
  CHECK(ntohl(words->network->address.s_addr) == 0x64400006);
  CHECK(words->network->prefix == 30);
  REQUIRE(words->network->gateway);
  CHECK(ntohl(words->network->gateway->s_addr) == 0x64400005);
  CHECK(words->network->dns == "100.64.0.5");
}

TEST_CASE("without mvr.ip there is no network") {
  const auto words = parse_command_line("quiet loglevel=1\n");
  REQUIRE(words);
  CHECK_FALSE(words->network);
  CHECK(words->hostname == "mvrunner");
}

TEST_CASE("when the engine starts is read, and with the VM without a word") {
  using Mode = EngineMode;
  const std::array<std::pair<const char*, Mode>, 4> cases{{{"quiet", Mode::boot},
                                                           {"mvr.engine=boot", Mode::boot},
                                                           {"mvr.engine=demand", Mode::demand},
                                                           {"mvr.engine=off", Mode::off}}};
  for (const auto& [line, mode] : cases) {
    const auto words = parse_command_line(line);
    INFO(line);
    REQUIRE(words);
    CHECK(words->engine == mode);
  }
}

TEST_CASE("drives without serials are named in the order of their devices") {
  CHECK(parse_command_line("mvr.drives=base,scratch,tools")->drives ==
        std::vector<std::string>{"base", "scratch", "tools"});
  CHECK(parse_command_line("quiet")->drives.empty());
  for (const char* line : {"mvr.drives=", "mvr.drives=base,", "mvr.drives=../x", "mvr.drives=A",
                           "mvr.drives=a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a"}) {
    INFO(line);
    CHECK(parse_command_line(line).error().code == Errc::invalid);
  }
}

TEST_CASE("an empty command line is fine") { CHECK(parse_command_line("")); }

TEST_CASE("an address alone is a network without route and resolver") {
  const auto words = parse_command_line("mvr.ip=10.0.0.1/8");
  REQUIRE(words);
  REQUIRE(words->network);
  CHECK_FALSE(words->network->gateway);
  CHECK(words->network->dns.empty());
}

TEST_CASE("a registry mirror is an address and a port") {
  const auto words = parse_command_line("mvr.ip=10.0.0.1/30 mvr.mirror=10.231.255.253:5000");
  REQUIRE(words);
  CHECK(words->mirror == "10.231.255.253:5000");
  CHECK(parse_command_line("mvr.ip=10.0.0.1/30")->mirror.empty());
}

TEST_CASE("bad words of ours are refused") {
  for (const auto* line : {"mvr.ip=10.0.0.1",
                           "mvr.ip=10.0.0.1/",
                           "mvr.ip=10.0.0.1/0",
                           "mvr.ip=10.0.0.1/32",
                           "mvr.ip=10.0.0/24",
                           "mvr.ip=/24",
                           "mvr.ip=",
                           "mvr.ip",
                           "mvr.ip=10.0.0.1/30 mvr.gw=x",
                           "mvr.ip=10.0.0.1/30 mvr.dns=1.2.3.4,5.6.7.8",
                           "mvr.hostname=",
                           "mvr.hostname=a.b",
                           "mvr.nonsense=1",
                           "mvr.engine=",
                           "mvr.engine=on",
                           "mvr.other=off",
                           "mvr.",
                           "mvr.gw=10.0.0.1",
                           "mvr.dns=10.0.0.1",
                           "mvr.mirror=10.0.0.1:5000",
                           "mvr.ip=10.0.0.1/30 mvr.mirror=10.0.0.1",
                           "mvr.ip=10.0.0.1/30 mvr.mirror=10.0.0.1:",
                           "mvr.ip=10.0.0.1/30 mvr.mirror=10.0.0.1:0",
                           "mvr.ip=10.0.0.1/30 mvr.mirror=10.0.0.1:65536",
                           "mvr.ip=10.0.0.1/30 mvr.mirror=h:5000",
                           "mvr.ip=10.0.0.1/30 mvr.mirror=10.0.0.1:5000\"]"}) {
    INFO(line);
    const auto words = parse_command_line(line);
    REQUIRE_FALSE(words);
    CHECK(words.error().code == Errc::invalid);
    CHECK(words.error().what.find("kernel command line") == 0);
  }
}

TEST_CASE("an environment file is read as pam_env does") {
  const auto variables = parse_environment(
      "# comment\n\nA=1\n export B=two words \r\nC=\"quoted\"\nD='it'\nE=\nF=\"\nA=last\n");
  CHECK(
      variables ==
      std::map<std::string, std::string>{
          {"A", "last"}, {"B", "two words"}, {"C", "quoted"}, {"D", "it"}, {"E", ""}, {"F", "\""}});
}

TEST_CASE("lines of an environment file that name no variable are skipped") {
  CHECK(parse_environment("=x\nA B=1\nnothing\nA-B=2\n" + std::string("N=a\0b\n", 6)).empty());
}

}  // namespace
}  // namespace mvr::guest
