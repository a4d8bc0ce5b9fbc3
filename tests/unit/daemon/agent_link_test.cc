#include "daemon/agent_link.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "catch.h"
#include "sys/files.h"
#include "sys/unix_socket.h"

namespace {

using namespace mvr;

// The guest's end: a listening socket, as QEMU's, spoken to by hand.
class Guest {
 public:
  Guest() {
    std::string pattern = "/tmp/mvr-link-XXXXXX";
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    directory = pattern;
    path = pattern + "/agent.sock";
    auto made = sys::Loop::create();
    REQUIRE(made);
    loop = std::move(*made);
  }
  ~Guest() { (void)sys::remove_tree(directory); }
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;

  void listen() {
    auto made = sys::listen_unix(path, 0600);
    REQUIRE(made);
    listener = std::move(*made);
  }
  void accept() {
    REQUIRE(until([this] {
      (void)sys::set_nonblocking(listener, true);
      auto accepted = sys::accept_unix(listener);
      if (accepted && *accepted) socket = std::move(**accepted);
      return static_cast<bool>(socket);
    }));
  }
  void say(const std::string& bytes) const {
    REQUIRE(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
  }
  template <class Done>
  bool until(Done done) {
    for (int i = 0; i < 500; ++i) {
      if (done()) return true;
      REQUIRE(loop->run_once(Duration{10}));
    }
    return false;
  }

  std::string directory;
  std::string path;
  std::unique_ptr<sys::Loop> loop;
  Fd listener;
  Fd socket;
};

std::string hello() { return channel::encode(channel::FromAgent{channel::Hello{"1", "6.1", 5}}); }

}  // namespace

TEST_CASE("the link waits for the socket, asks for sync, and delivers messages") {
  Guest guest;
  int hellos = 0;
  daemon::AgentLink link(*guest.loop, guest.path,
                         {[&](const channel::FromAgent& m) {
                            hellos += std::holds_alternative<channel::Hello>(m) ? 1 : 0;
                          },
                          [](const std::string&) {}});
  link.start();
  REQUIRE(guest.loop->run_once(Duration{30}));
  guest.listen();
  guest.accept();
  std::array<char, 256> buffer{};
  REQUIRE(guest.until(
      [&] { return ::recv(guest.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) > 0; }));
  CHECK(std::string(buffer.data()).find("\"sync\"") != std::string::npos);
  guest.say(hello());
  CHECK(guest.until([&] { return hellos == 1; }));
}

TEST_CASE("a message cut by a reconnection is dropped and the next one understood") {
  Guest guest;
  guest.listen();
  int hellos = 0;
  daemon::AgentLink link(*guest.loop, guest.path,
                         {[&](const channel::FromAgent&) { ++hellos; }, [](const std::string&) {}});
  link.start();
  guest.accept();
  guest.say(hello().substr(0, 9));
  guest.socket = {};
  guest.accept();
  guest.say(hello());
  CHECK(guest.until([&] { return hellos == 1; }));
}

TEST_CASE("a guest that breaks the protocol is given up once, with the reason") {
  Guest guest;
  guest.listen();
  std::vector<std::string> broken;
  daemon::AgentLink link(
      *guest.loop, guest.path,
      {[](const channel::FromAgent&) {}, [&](const std::string& why) { broken.push_back(why); }});
  link.start();
  guest.accept();
  guest.say("\x1e{\"v\":1,\"type\":\"own the host\"}\n");
  REQUIRE(guest.until([&] { return !broken.empty(); }));
  CHECK(broken.size() == 1);
  CHECK_FALSE(link.send(channel::ToAgent{channel::Sync{}}));
}

TEST_CASE("a guest that does not read cannot make the daemon grow") {
  Guest guest;
  guest.listen();
  daemon::AgentLink link(*guest.loop, guest.path,
                         {[](const channel::FromAgent&) {}, [](const std::string&) {}});
  link.start();
  guest.accept();
  Result<void> sent;
  for (int i = 0; i < 10'000 && sent; ++i)
    sent = link.send(channel::ToAgent{channel::Input{std::string(4096, 'x'), false}});
  REQUIRE_FALSE(sent);
  CHECK(sent.error().code == Errc::busy);
}

TEST_CASE("an agent that comes to us is asked for sync, again at each coming") {
  Guest guest;
  int hellos = 0;
  daemon::AgentLink link(*guest.loop, guest.path,
                         {[&](const channel::FromAgent& m) {
                            hellos += std::holds_alternative<channel::Hello>(m) ? 1 : 0;
                          },
                          [](const std::string&) {}});
  REQUIRE(link.send(channel::ToAgent{channel::Shutdown{7}}));
  REQUIRE(link.listen());
  const auto heard = [&](const std::string& wanted) {
    std::array<char, 4096> buffer{};
    const ssize_t got = ::recv(guest.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    return got > 0 && std::string(buffer.data(), static_cast<std::size_t>(got)).find(wanted) !=
                          std::string::npos;
  };
  guest.socket = sys::connect_unix(guest.path).value();
  CHECK(guest.until([&] { return heard("\"sync\""); }));
  guest.say(hello());
  CHECK(guest.until([&] { return hellos == 1; }));

  guest.socket = sys::connect_unix(guest.path).value();  // and the former one is gone
  CHECK(guest.until([&] { return heard("\"sync\""); }));
  guest.say(hello());
  CHECK(guest.until([&] { return hellos == 2; }));
}

TEST_CASE("of two agents that come the second one waits") {
  Guest guest;
  int hellos = 0;
  daemon::AgentLink link(*guest.loop, guest.path,
                         {[&](const channel::FromAgent&) { ++hellos; }, [](const std::string&) {}});
  REQUIRE(link.listen());
  guest.socket = sys::connect_unix(guest.path).value();
  const Fd first = std::move(guest.socket);
  guest.socket = sys::connect_unix(guest.path).value();
  guest.say(hello());
  CHECK_FALSE(guest.until([&] { return hellos > 0; }));
}

TEST_CASE("a listener that died is replaced, one that lives is not") {
  Guest guest;
  const daemon::AgentLink::Handlers handlers{[](const channel::FromAgent&) {},
                                             [](const std::string&) {}};
  guest.listen();
  daemon::AgentLink link(*guest.loop, guest.path, handlers);
  CHECK(link.listen().error().code == Errc::exists);
  guest.listener = Fd();
  CHECK(link.listen());
}
