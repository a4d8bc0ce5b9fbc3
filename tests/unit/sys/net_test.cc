#include "sys/net.h"

#include <net/if.h>
#include <unistd.h>

#include <array>

#include "helpers.h"
#include "sys/process.h"

namespace mvr::sys {
namespace {

// A namespace of this run, gone afterwards.
class Netns {
 public:
  explicit Netns(const std::string& suffix = "") : name_(unique_name() + suffix) {
    auto fd = open_netns(name_);
    REQUIRE(fd);
    fd_ = std::move(*fd);
  }
  Netns(const Netns&) = delete;
  Netns& operator=(const Netns&) = delete;
  ~Netns() { (void)remove_netns(name_); }

  [[nodiscard]] const Fd& fd() const { return fd_; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  std::string name_;
  Fd fd_;
};

std::string own_netns() {
  std::array<char, 64> buffer{};
  const ssize_t length = ::readlink("/proc/thread-self/ns/net", buffer.data(), buffer.size());
  REQUIRE(length > 0);
  return std::string(buffer.data(), static_cast<std::size_t>(length));
}

std::string ip_in(const Netns& netns, const std::vector<std::string>& arguments) {
  RunOptions options;
  options.argv = {"ip"};
  options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
  options.netns_fd = netns.fd().get();
  const auto output = run_ok(options);
  REQUIRE(output);
  return *output;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("a new namespace is another one, has lo up and nothing else") {
  MVR_NEEDS_ROOT();
  const std::string home = own_netns();
  const Netns netns;
  CHECK(own_netns() == home);
  std::string inside;
  REQUIRE(in_netns(netns.fd(), [&]() -> Result<void> {
    inside = own_netns();
    return {};
  }));
  CHECK(inside != home);
  CHECK(own_netns() == home);
  CHECK(list_interfaces(netns.fd()) == std::vector<std::string>{"lo"});
  CHECK(contains(ip_in(netns, {"link", "show", "lo"}), "LOOPBACK,UP"));
}

TEST_CASE("opening a namespace again finds the same one") {
  MVR_NEEDS_ROOT();
  const Netns netns;
  const auto again = open_netns(netns.name());
  REQUIRE(again);
  std::string first;
  std::string second;
  REQUIRE(in_netns(netns.fd(), [&]() -> Result<void> {
    first = own_netns();
    return {};
  }));
  REQUIRE(in_netns(*again, [&]() -> Result<void> {
    second = own_netns();
    return {};
  }));
  CHECK(first == second);
}

TEST_CASE("a file left by a crash before the mount is taken over") {
  MVR_NEEDS_ROOT();
  const std::string name = unique_name();
  REQUIRE(make_directories("/run/netns"));
  REQUIRE(write_file("/run/netns/" + name, "", 0444));
  const Netns netns;
  CHECK(list_interfaces(netns.fd()));
}

TEST_CASE("a namespace is removed once and for all") {
  MVR_NEEDS_ROOT();
  { const Netns netns; }
  CHECK_FALSE(exists("/run/netns/" + unique_name()));
  CHECK(remove_netns(unique_name()));
}

TEST_CASE("a namespace cannot be named out of its directory") {
  for (const char* name : {"", ".", "..", "a/b", "../../etc/passwd"}) {
    CAPTURE(name);
    CHECK(open_netns(name).error().code == Errc::invalid);
    CHECK(remove_netns(name).error().code == Errc::invalid);
  }
}

TEST_CASE("an action that fails comes back all the same") {
  MVR_NEEDS_ROOT();
  const std::string home = own_netns();
  const Netns netns;
  const auto result = in_netns(netns.fd(), []() -> Result<void> { return fail(Errc::full, "x"); });
  CHECK(result.error() == Error{Errc::full, "x"});
  CHECK(own_netns() == home);
}

TEST_CASE("what is no namespace is not entered") {
  MVR_NEEDS_ROOT();
  const auto null = open_read("/dev/null");
  REQUIRE(null);
  bool was_called = false;
  CHECK_FALSE(in_netns(*null, [&]() -> Result<void> {
    was_called = true;
    return {};
  }));
  CHECK_FALSE(was_called);
}

TEST_CASE("a tap is up with its address and goes with its descriptor") {
  MVR_NEEDS_ROOT();
  const Netns netns;
  auto tap = create_tap(netns.fd(), "mvt0", "10.77.0.1", 30);
  REQUIRE(tap);
  const std::string shown = ip_in(netns, {"address", "show", "mvt0"});
  CHECK(contains(shown, "inet 10.77.0.1/30"));
  CHECK(contains(shown, ",UP"));
  CHECK(create_tap(netns.fd(), "mvt0", "10.77.0.5", 30).error().code == Errc::exists);
  REQUIRE(tap->close());
  CHECK(list_interfaces(netns.fd()) == std::vector<std::string>{"lo"});
}

TEST_CASE("a tap that was given away stays for programs of its user until it is removed") {
  MVR_NEEDS_ROOT();
  const Netns netns;
  REQUIRE(give_tap(create_tap(netns.fd(), "mvt0", "10.77.0.1", 30).value(), 2'000'123));
  const std::string shown = ip_in(netns, {"-details", "link", "show", "mvt0"});
  CHECK(contains(shown, "type tap"));
  CHECK(contains(shown, "persist on user 2000123"));
  CHECK(contains(ip_in(netns, {"address", "show", "mvt0"}), "inet 10.77.0.1/30"));
  REQUIRE(remove_tap(netns.fd(), "mvt0"));
  CHECK(list_interfaces(netns.fd()) == std::vector<std::string>{"lo"});
  CHECK(remove_tap(netns.fd(), "mvt0"));
}

TEST_CASE("a tap that a program is attached to is not removed") {
  MVR_NEEDS_ROOT();
  const Netns netns;
  const auto tap = create_tap(netns.fd(), "mvt0", "10.77.0.1", 30);
  REQUIRE(tap);
  CHECK(remove_tap(netns.fd(), "mvt0").error().code == Errc::busy);
}

TEST_CASE("a tap that cannot be set up leaves nothing") {
  MVR_NEEDS_ROOT();
  const Netns netns;
  CHECK(create_tap(netns.fd(), "mvt0", "nonsense", 30).error().code == Errc::invalid);
  CHECK(create_tap(netns.fd(), "mvt0", "10.77.0.1", 33).error().code == Errc::invalid);
  CHECK(create_tap(netns.fd(), "sixteen-bytes-xx", "10.77.0.1", 30).error().code == Errc::invalid);
  CHECK(create_tap(netns.fd(), "", "10.77.0.1", 30).error().code == Errc::invalid);
  CHECK(list_interfaces(netns.fd()) == std::vector<std::string>{"lo"});
}

TEST_CASE("ip makes a pair of links between two namespaces") {
  MVR_NEEDS_ROOT();
  const Netns left("l");
  const Netns right("r");
  REQUIRE(ip_batch(&left.fd(), "link add v0 type veth peer name v1 netns " + right.name() +
                                   "\naddress add 10.78.0.1/30 dev v0\nlink set v0 up\n"));
  CHECK(list_interfaces(left.fd()) == std::vector<std::string>{"lo", "v0"});
  CHECK(list_interfaces(right.fd()) == std::vector<std::string>{"lo", "v1"});
}

TEST_CASE("ip's complaint is passed on with a code") {
  MVR_NEEDS_ROOT();
  const Netns netns;
  REQUIRE(ip_batch(&netns.fd(), "link add v0 type veth peer name v1\n"));
  const auto twice = ip_batch(&netns.fd(), "link add v0 type veth peer name v1\n");
  REQUIRE_FALSE(twice);
  CHECK(twice.error().code == Errc::exists);
  CHECK(contains(twice.error().what, "File exists"));
  CHECK(ip_batch(&netns.fd(), "link del absent0\n").error().code == Errc::not_found);
  CHECK(ip_batch(&netns.fd(), ""));
}

TEST_CASE("a sysctl is written in the namespace it is meant for") {
  MVR_NEEDS_ROOT();
  const Netns netns;
  const auto before = read_file("/proc/sys/net/ipv4/ip_forward");
  const auto inside = [&] {
    std::string text;
    REQUIRE(in_netns(netns.fd(), [&]() -> Result<void> {
      TRY_ASSIGN(text, read_file("/proc/sys/net/ipv4/ip_forward"));
      return {};
    }));
    return text;
  };
  REQUIRE(write_sysctl(&netns.fd(), "net.ipv4.ip_forward", "1"));
  CHECK(inside() == "1\n");
  REQUIRE(write_sysctl(&netns.fd(), "net/ipv4/ip_forward", "0"));
  CHECK(inside() == "0\n");
  CHECK(read_file("/proc/sys/net/ipv4/ip_forward") == before);
  CHECK(write_sysctl(&netns.fd(), "net.ipv4.no_such_thing", "1").error().code == Errc::not_found);
  CHECK(write_sysctl(&netns.fd(), "../../etc/x", "1").error().code == Errc::invalid);
  CHECK(write_sysctl(&netns.fd(), "/etc/x", "1").error().code == Errc::invalid);
}

TEST_CASE("a child is spawned in the namespace") {
  MVR_NEEDS_ROOT();
  const Netns netns;
  const auto tap = create_tap(netns.fd(), "mvt0", "10.77.0.1", 30);
  REQUIRE(tap);
  CHECK(contains(ip_in(netns, {"-o", "link"}), "mvt0"));
}

}  // namespace
}  // namespace mvr::sys
