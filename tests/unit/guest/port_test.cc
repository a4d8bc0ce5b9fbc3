// The channel over sockets; a virtio-serial port needs a VM.
#include "guest/port.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <optional>

#include "catch.h"

namespace mvr::guest {
namespace {

// The host's end: gives the agent a connection while it is there.
class Host {
 public:
  Port::Connect connect() {
    return [this]() -> Result<Fd> {
      if (!is_there) return fail(Errc::unavailable, "nobody listens");
      std::array<int, 2> ends{-1, -1};
      REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) ==
              0);
      socket = Fd(ends[0]);
      ++connections;
      return Fd(ends[1]);
    };
  }
  std::string read() {
    std::array<char, 8192> buffer{};
    const ssize_t got = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    return got > 0 ? std::string(buffer.data(), static_cast<std::size_t>(got)) : "";
  }
  void say(const channel::ToAgent& message) { write(channel::encode(message)); }
  void write(const std::string& bytes) {
    REQUIRE(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
  }

  bool is_there = true;
  int connections = 0;
  Fd socket;
};

Outbox with_hello() {
  Outbox outbox;
  outbox.push(channel::Hello{"1.0", "6.1", 100});
  return outbox;
}

TEST_CASE("what waits goes out once the host is there") {
  Host host;
  host.is_there = false;
  Outbox outbox = with_hello();
  Port port = Port::over(host.connect());
  port.refresh(outbox);
  CHECK_FALSE(port.is_connected());
  CHECK(port.descriptor() == -1);
  CHECK(port.receive().value().empty());
  CHECK(port.send(outbox).value());
  host.is_there = true;
  port.refresh(outbox);
  CHECK(port.is_connected());
  CHECK_FALSE(port.send(outbox).value());
  CHECK(host.read().find("\"hello\"") != std::string::npos);
}

TEST_CASE("a connection that stands is kept") {
  Host host;
  Outbox outbox;
  Port port = Port::over(host.connect());
  port.refresh(outbox);
  port.refresh(outbox);
  CHECK(host.connections == 1);
  CHECK(port.receive().value().empty());
  CHECK(port.is_connected());
}

TEST_CASE("what the host says arrives as records") {
  Host host;
  Outbox outbox;
  Port port = Port::over(host.connect());
  port.refresh(outbox);
  host.say(channel::Sync{});
  host.say(channel::Shutdown{5});
  const auto records = port.receive().value();
  REQUIRE(records.size() == 2);
  CHECK(std::holds_alternative<channel::Sync>(channel::decode_to_agent(records[0]).value()));
}

TEST_CASE("a host that left is seen, and connected to again") {
  Host host;
  Outbox outbox;
  Port port = Port::over(host.connect());
  port.refresh(outbox);
  host.say(channel::Sync{});
  host.socket = Fd();
  CHECK(port.receive().value().size() == 1);  // what it said before it left
  CHECK(port.receive().value().empty());
  CHECK_FALSE(port.is_connected());
  CHECK(port.descriptor() == -1);
  port.refresh(outbox);
  CHECK(port.is_connected());
  CHECK(host.connections == 2);
}

TEST_CASE("a record that a leaving host cut off goes to the next one from its start") {
  Host host;
  Outbox outbox;
  Port port = Port::over(host.connect());
  port.refresh(outbox);
  for (int i = 0; i < 20; ++i) outbox.push(channel::Output{1, std::string(30'000, 'x')});
  REQUIRE(port.send(outbox).value());  // more than the socket takes
  host.socket = Fd();
  CHECK(port.send(outbox).value());
  CHECK_FALSE(port.is_connected());
  port.refresh(outbox);
  CHECK(port.send(outbox).value());
  CHECK(host.read().front() == '\x1e');
}

TEST_CASE("half a record of a host that left is not the start of the next one's") {
  Host host;
  Outbox outbox;
  Port port = Port::over(host.connect());
  port.refresh(outbox);
  host.write("\x1e{\"v\":1,");
  host.socket = Fd();
  CHECK(port.receive().value().empty());
  CHECK(port.receive().value().empty());
  port.refresh(outbox);
  host.write("\"type\":\"sync\"}\n");
  const auto records = port.receive();
  CHECK((!records || records->empty()));
}

}  // namespace
}  // namespace mvr::guest
