// Real programs as the user who runs the tests; time is given.
#include "guest/service.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "catch.h"
#include "guest/files.h"
#include "temp_dir.h"

namespace mvr::guest {
namespace {

using std::chrono::seconds;
using test::TempDir;

bool is_root() { return ::geteuid() == 0; }  // setgroups needs it

SpawnSpec shell(const std::string& script) {
  SpawnSpec spec;
  spec.argv = {"sh", "-c", script};
  spec.env = {"PATH=/usr/bin:/bin"};
  spec.user = root_user();
  spec.limits = Limits::service;
  return spec;
}

// Lets what was started end.
std::string reap(Service& service, Service::Time now) {
  int status = 0;
  const pid_t pid = ::waitpid(-1, &status, 0);
  REQUIRE(pid > 0);
  return service.reaped(pid, status, now);
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

TEST_CASE("a program that ends is started again, later each time, and not for ever") {
  if (!is_root()) return;
  const TempDir directory;
  Service service("broken", shell("echo no room left >&2; exit 3"), directory.path());
  Service::Time now{};
  CHECK(service.start(now).empty());
  for (const int delay : {1, 2, 4, 8}) {
    const std::string told = reap(service, now);
    CHECK(has(told, "broken ended with 3 (no room left); it is started again in "));
    CHECK(service.next_due() == now + seconds(delay));
    CHECK(service.handle_due(now).empty());  // it is not time
    CHECK(service.next_due());
    now += seconds(delay);
    CHECK(service.handle_due(now).empty());
    CHECK_FALSE(service.next_due());
  }
  const std::string told = reap(service, now);
  CHECK(has(told, "the last of 5 starts"));
  CHECK(has(told, (directory.path() + "/broken.log").c_str()));
  CHECK(service.has_failed());
  CHECK_FALSE(service.next_due());
  CHECK(read_file(directory.path() + "/broken.log")->size() == 5 * 13);
}

TEST_CASE("a program that cannot be executed is tried again as well") {
  if (!is_root()) return;
  const TempDir directory;
  SpawnSpec spec = shell("");
  spec.argv = {"/nonexistent/dockerd"};
  Service service("absent", spec, directory.path());
  const std::string told = service.start({});
  CHECK(has(told, "absent cannot be started: execute /nonexistent/dockerd"));
  CHECK(service.next_due() == Service::Time{} + seconds(1));
}

TEST_CASE("a program that is stopped is not started again") {
  if (!is_root()) return;
  const TempDir directory;
  Service service("sleeper", shell("exec sleep 60"), directory.path());
  CHECK(service.start({}).empty());
  service.stop();
  CHECK(reap(service, {}).empty());
  CHECK_FALSE(service.next_due());
  CHECK_FALSE(service.has_failed());
}

TEST_CASE("the end of another process is no end of the service") {
  if (!is_root()) return;
  const TempDir directory;
  Service service("sleeper", shell("exec sleep 60"), directory.path());
  CHECK(service.reaped(1, 0, {}).empty());
  CHECK(service.start({}).empty());
  CHECK(service.reaped(1, 0, {}).empty());
  CHECK_FALSE(service.next_due());
  service.stop();
  CHECK(reap(service, {}).empty());
}

TEST_CASE("a service gets its listening socket as descriptor 3") {
  if (!is_root()) return;
  const TempDir directory;
  const Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  SpawnSpec spec = shell("[ $LISTEN_PID = $$ ] && echo $LISTEN_FDS $(readlink /proc/$$/fd/3)");
  spec.listener = listener.get();
  Service service("listener", spec, directory.path());
  CHECK(service.start({}).empty());
  (void)reap(service, {});
  std::array<char, 64> link{};
  const std::string own = "/proc/self/fd/" + std::to_string(listener.get());
  REQUIRE(::readlink(own.c_str(), link.data(), link.size() - 1) > 0);
  CHECK(read_file(directory.path() + "/listener.log") == "1 " + std::string(link.data()) + "\n");
}

TEST_CASE("a log keeps the end of what is written and does not grow beyond its bound") {
  const TempDir directory;
  const std::string path = directory.path() + "/service.log";
  LogFile log(path);
  const std::string line = std::string(1023, 'x') + "\n";
  for (int n = 0; n < 10'000; ++n) log.append(line);
  log.append("the \x1b[31mlast\n\n");
  log.append("not whole");
  CHECK(log.last_line().find("last") != std::string::npos);
  CHECK(log.last_line().find('\x1b') == std::string::npos);
  const auto now = read_file(path, LogFile::kMaxBytes);
  const auto before = read_file(path + ".1", LogFile::kMaxBytes);
  REQUIRE(now);
  REQUIRE(before);
  CHECK(now->size() + before->size() <= LogFile::kMaxBytes);
  CHECK(now->substr(now->size() - 9) == "not whole");
}

}  // namespace
}  // namespace mvr::guest
