#include "vmm/qmp.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "catch.h"
#include "fixture.h"
#include "sys/unix_socket.h"

namespace mvr::vmm {
namespace {

// As QEMU 7.2 sent them.
constexpr const char* kGreeting =
    R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}})";
constexpr const char* kReset =
    R"({"timestamp": {"seconds": 1700000000, "microseconds": 5}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}})";
constexpr const char* kPanicked =
    R"({"timestamp": {"seconds": 1, "microseconds": 5}, "event": "GUEST_PANICKED", "data": {"action": "poweroff"}})";
constexpr const char* kPanicShutdown =
    R"({"timestamp": {"seconds": 1, "microseconds": 5}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-panic"}})";

// The other end: a listener in a directory, the accepted connection and what it received.
class FakeQemu {
 public:
  FakeQemu() : loop_(sys::Loop::create().value()) {
    listener_ = sys::listen_unix(path(), 0600).value();
  }
  [[nodiscard]] std::string path() const { return directory_ / "q"; }
  sys::Loop& loop() { return *loop_; }

  std::unique_ptr<Monitor> attach() {
    auto monitor = attach_qmp(*loop_, path()).value();
    client_ = std::move(*sys::accept_unix(listener_).value());
    return monitor;
  }
  void say(const std::string& line) { say_raw(line + "\r\n"); }
  void say_raw(const std::string& bytes) {
    REQUIRE(::send(client_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
  }
  void hang_up() { client_ = Fd(); }

  // Everything received until the text appears in it.
  bool hears(const std::string& text) {
    return run_until(*loop_, [&] {
      std::array<char, 4096> buffer{};
      const ssize_t got = ::recv(client_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got > 0) heard_.append(buffer.data(), static_cast<std::size_t>(got));
      return heard_.find(text) != std::string::npos;
    });
  }
  [[nodiscard]] const std::string& heard() const { return heard_; }

 private:
  TempDir directory_;
  std::unique_ptr<sys::Loop> loop_;
  Fd listener_;
  Fd client_;
  std::string heard_;
};

TEST_CASE("a greeting, an answer and an error are told apart") {
  CHECK(std::holds_alternative<QmpGreeting>(decode_qmp(kGreeting).value()));
  CHECK(std::holds_alternative<QmpReturn>(decode_qmp(R"({"return": {}})").value()));
  CHECK(std::holds_alternative<QmpError>(
      decode_qmp(R"({"error": {"class": "GenericError", "desc": "no"}})").value()));
}

TEST_CASE("an event carries its name and its reason") {
  const auto event = std::get<QmpEvent>(decode_qmp(kReset).value());
  CHECK(event.name == "SHUTDOWN");
  CHECK(event.reason == "guest-reset");
  CHECK(std::get<QmpEvent>(decode_qmp(R"({"event": "RESET"})").value()).reason.empty());
}

TEST_CASE("what QMP does not say is refused") {
  const std::string line = GENERATE(as<std::string>{}, "", "[]", "null", "{", R"({"surprise": 1})",
                                    R"({"event": 7})", R"({"event": "A\nB"})",
                                    R"({"event": "SHUTDOWN", "data": {"reason": "a b\u001b[31m"}})",
                                    R"({"event": ""})", "\xff\xfe");
  CHECK(decode_qmp(line).error().code == Errc::protocol);
}

TEST_CASE("a line longer than the bound is refused unread") {
  CHECK(decode_qmp(std::string(70'000, '[')).error().code == Errc::too_large);
}

TEST_CASE("deep nesting within the bound is no danger") {
  CHECK_FALSE(decode_qmp(std::string(60'000, '[')));
  const std::string deep =
      R"({"return": )" + std::string(30'000, '[') + std::string(30'000, ']') + "}";
  CHECK(decode_qmp(deep));
}

TEST_CASE("the greeting is answered by the negotiation") {
  FakeQemu qemu;
  const auto monitor = qemu.attach();
  qemu.say(kGreeting);
  CHECK(qemu.hears("{\"execute\":\"qmp_capabilities\"}\r\n"));
}

TEST_CASE("a request to quit waits for the negotiation") {
  FakeQemu qemu;
  const auto monitor = qemu.attach();
  monitor->request_quit();
  qemu.say(kGreeting);
  REQUIRE(qemu.hears("qmp_capabilities"));
  CHECK(qemu.heard().find("quit") == std::string::npos);
  qemu.say(R"({"return": {}})");
  CHECK(qemu.hears("{\"execute\":\"quit\"}\r\n"));
}

TEST_CASE("a request to quit is sent at once after the negotiation") {
  FakeQemu qemu;
  const auto monitor = qemu.attach();
  qemu.say(kGreeting);
  REQUIRE(qemu.hears("qmp_capabilities"));
  qemu.say(R"({"return": {}})");
  CHECK(monitor->end_reason().empty());
  monitor->request_quit();
  CHECK(qemu.hears("quit"));
}

TEST_CASE("the reason is known at once even when the loop has not run") {
  FakeQemu qemu;
  const auto monitor = qemu.attach();
  qemu.say(kGreeting);
  qemu.say(kReset);
  qemu.hang_up();
  CHECK(monitor->end_reason() == "guest-reset");
}

TEST_CASE("an event in two pieces is one event") {
  FakeQemu qemu;
  const auto monitor = qemu.attach();
  const std::string event = kReset;
  qemu.say_raw(event.substr(0, 40));
  CHECK(monitor->end_reason().empty());
  qemu.say_raw(event.substr(40) + "\n");
  CHECK(monitor->end_reason() == "guest-reset");
}

TEST_CASE("a panic is the reason, not the shutdown that follows") {
  FakeQemu qemu;
  const auto monitor = qemu.attach();
  qemu.say(kPanicked);
  qemu.say(kPanicShutdown);
  CHECK(monitor->end_reason() == "guest-panic");
}

TEST_CASE("a VMM that breaks the protocol is not listened to any more") {
  FakeQemu qemu;
  const auto monitor = qemu.attach();
  qemu.say("hello");
  CHECK(monitor->end_reason().empty());
  qemu.say(kReset);
  CHECK(monitor->end_reason().empty());
}

TEST_CASE("an endless line is given up at the bound") {
  FakeQemu qemu;
  const auto monitor = qemu.attach();
  for (int i = 0; i < 20; ++i) {
    qemu.say_raw(std::string(8'000, 'x'));
    CHECK(monitor->end_reason().empty());
  }
  qemu.say_raw("\n");
  qemu.say(kReset);
  CHECK(monitor->end_reason().empty());
}

TEST_CASE("a closed connection does not keep the loop busy") {
  FakeQemu qemu;
  const auto monitor = qemu.attach();
  qemu.hang_up();
  REQUIRE(qemu.loop().run_once(Duration(1'000)));
  const Instant start = qemu.loop().now();
  REQUIRE(qemu.loop().run_once(Duration(50)));
  CHECK(qemu.loop().now() - start >= Duration(45));
}

TEST_CASE("no monitor is there before QEMU listens") {
  const TempDir directory;
  const auto loop = sys::Loop::create().value();
  CHECK(attach_qmp(*loop, directory / "none").error().code == Errc::not_found);
}

}  // namespace
}  // namespace mvr::vmm
