#include "sys/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>

#include "helpers.h"

namespace mvr::sys {
namespace {

// The manager's end: a datagram socket at a path, or at an abstract name ("@...").
class Manager {
 public:
  explicit Manager(const std::string& name)
      : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(&address.sun_path[0], name.data(), name.size());
    const bool is_abstract = name.front() == '@';
    if (is_abstract) address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() +
                                               (is_abstract ? 0 : 1));
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets interface
    const auto* raw = reinterpret_cast<const sockaddr*>(&address);
    REQUIRE(::bind(socket_.get(), raw, length) == 0);
    REQUIRE(::setenv("NOTIFY_SOCKET", name.c_str(), 1) == 0);
  }
  // The next datagram; empty: there is none.
  [[nodiscard]] std::string next() const {
    std::array<char, 512> buffer{};
    const ssize_t count = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    return count < 0 ? "" : std::string(buffer.data(), static_cast<std::size_t>(count));
  }

 private:
  Fd socket_;
};

void set_watchdog(const std::string& usec, const std::string& pid) {
  REQUIRE(::setenv("WATCHDOG_USEC", usec.c_str(), 1) == 0);
  REQUIRE(::setenv("WATCHDOG_PID", pid.c_str(), 1) == 0);
}

TEST_CASE("a notification arrives as one datagram, at a path and at an abstract name") {
  const TempDir dir;
  for (const std::string& name : {dir / "notify", "@" + unique_name()}) {
    const Manager manager(name);
    const auto notifier = Notifier::from_environment();
    REQUIRE(notifier);
    CHECK(*notifier);
    REQUIRE(notifier->send("READY=1\nSTATUS=2 VMs"));
    CHECK(manager.next() == "READY=1\nSTATUS=2 VMs");
    CHECK(manager.next().empty());
  }
}

TEST_CASE("children are not told of the service manager") {
  const TempDir dir;
  const Manager manager(dir / "notify");
  set_watchdog("1000000", std::to_string(::getpid()));
  REQUIRE(Notifier::from_environment());
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
    CHECK(::getenv(name) == nullptr);
  }
  const auto second = Notifier::from_environment();
  REQUIRE(second);
  CHECK_FALSE(*second);
}

TEST_CASE("without a service manager nothing is sent and nothing fails") {
  const auto notifier = Notifier::from_environment();
  REQUIRE(notifier);
  CHECK_FALSE(*notifier);
  CHECK(notifier->send("READY=1"));
  CHECK_FALSE(notifier->watchdog_interval());
}

TEST_CASE("the watchdog is due at half of what the manager allows, for this process only") {
  const TempDir dir;
  const auto interval = [&](const std::string& usec, const std::string& pid) {
    const Manager manager("@" + unique_name());
    set_watchdog(usec, pid);
    const auto notifier = Notifier::from_environment();
    REQUIRE(notifier);
    return notifier->watchdog_interval();
  };
  const std::string own = std::to_string(::getpid());
  CHECK(interval("3000000", own) == Duration(1'500));
  CHECK(interval("3000000", "") == Duration(1'500));
  CHECK(interval("1", own) == Duration(1));
  CHECK_FALSE(interval("3000000", "1"));
  CHECK_FALSE(interval("0", own));
  CHECK_FALSE(interval("soon", own));
}

TEST_CASE("an address that is none is named") {
  for (const std::string& wrong :
       {std::string("relative"), std::string("@"), std::string(200, '/')}) {
    REQUIRE(::setenv("NOTIFY_SOCKET", wrong.c_str(), 1) == 0);
    const auto notifier = Notifier::from_environment();
    REQUIRE_FALSE(notifier);
    CHECK(notifier.error().what.find("NOTIFY_SOCKET") != std::string::npos);
  }
}

TEST_CASE("a manager that is gone or does not read is an error, never a wait") {
  const TempDir dir;
  const Manager manager(dir / "notify");
  const auto notifier = Notifier::from_environment();
  REQUIRE(notifier);
  Result<void> sent;
  for (int i = 0; i < 100'000 && sent; ++i) sent = notifier->send("STATUS=more");
  CHECK_FALSE(sent);
  REQUIRE(remove_file(dir / "notify"));
  CHECK_FALSE(notifier->send("READY=1"));
}

}  // namespace
}  // namespace mvr::sys
