// Real programs, with the host's end of the channel played by the test.
#include "guest/streams.h"

#include <signal.h>  // NOLINT(modernize-deprecated-headers): signal with SIGPIPE is POSIX's
#include <sys/wait.h>
#include <unistd.h>

#include "catch.h"

namespace mvr::guest {
namespace {

using channel::Close;
using channel::kStreamWindow;
using channel::StreamAck;
using channel::StreamData;

const auto kBefore = ::signal(SIGPIPE, SIG_IGN);

bool is_root() { return ::geteuid() == 0; }

SpawnSpec shell(const std::string& script) {
  SpawnSpec spec;
  spec.argv = {"sh", "-c", script};
  spec.env = {"PATH=/usr/bin:/bin"};
  spec.user = User{"root", 0, 0, {0}, "/", "/bin/sh"};
  return spec;
}

struct Host {
  std::string out;
  std::string err;
  std::size_t acknowledged = 0;
  std::optional<int> code;
  bool acknowledges = true;
  Streams streams{[this](const channel::FromAgent& message) { take(message); }};

  void take(const channel::FromAgent& message) {
    if (const auto* data = std::get_if<StreamData>(&message)) {
      (data->error ? err : out) += data->data;
      owed += data->data.size();
    } else if (const auto* ack = std::get_if<StreamAck>(&message)) {
      acknowledged += ack->bytes;
    } else if (const auto* close = std::get_if<Close>(&message)) {
      code = close->exit_code;
    }
  }

  // One turn of the agent's loop.
  void turn() {
    std::vector<pollfd> entries;
    streams.add_to(entries);
    (void)::poll(entries.data(), entries.size(), 20);
    streams.serve(entries);
    int status = 0;
    for (pid_t pid = ::waitpid(-1, &status, WNOHANG); pid > 0;
         pid = ::waitpid(-1, &status, WNOHANG)) {
      streams.reaped(pid, status, std::chrono::steady_clock::now());
    }
    streams.expire(std::chrono::steady_clock::now());
    if (acknowledges && owed > 0) {
      streams.handle(StreamAck{1, static_cast<std::uint32_t>(owed)});
      owed = 0;
    }
  }
  void run() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!code && std::chrono::steady_clock::now() < deadline) turn();
    REQUIRE(code);
  }
  void send(const std::string& text) {
    StreamData data{1, text, false};
    streams.handle(data);
  }
  std::size_t owed = 0;
};

TEST_CASE("a program's output, errors and exit come over a stream") {
  if (!is_root()) return;
  Host host;
  REQUIRE(host.streams.open(1, shell("echo out; echo err >&2; exit 3"), false));
  host.run();
  CHECK(host.out == "out\n");
  CHECK(host.err == "err\n");
  CHECK(host.code == 3);
}

TEST_CASE("what the host sends reaches the program, and its end") {
  if (!is_root()) return;
  for (const bool one_socket : {false, true}) {
    Host host;
    REQUIRE(host.streams.open(1, shell("cat; echo end"), one_socket));
    host.send("hello\n");
    host.send("");
    host.run();
    CHECK(host.out == "hello\nend\n");
    CHECK(host.code == 0);
    CHECK(host.acknowledged == 6);
  }
}

TEST_CASE("no more is sent than the host has room for") {
  if (!is_root()) return;
  Host host;
  host.acknowledges = false;
  REQUIRE(host.streams.open(1, shell("head -c 1000000 /dev/zero"), false));
  for (int n = 0; n < 50; ++n) host.turn();
  CHECK(host.out.size() == kStreamWindow);
  CHECK(!host.code);
  host.acknowledges = true;
  host.run();
  CHECK(host.out.size() == 1'000'000);
}

TEST_CASE("a host that sends more than it may loses the stream") {
  if (!is_root()) return;
  Host host;
  REQUIRE(host.streams.open(1, shell("sleep 100"), false));
  host.send(std::string(kStreamWindow, 'x'));  // of which a pipe takes a part
  host.send(std::string(kStreamWindow, 'x'));
  std::vector<pollfd> entries;
  host.streams.add_to(entries);
  CHECK(entries.empty());
  int status = 0;
  CHECK(::waitpid(-1, &status, 0) > 0);
  CHECK(WIFSIGNALED(status));
}

TEST_CASE("a program that does not exist ends at once and says why") {
  if (!is_root()) return;
  Host host;
  SpawnSpec spec = shell("");
  spec.argv = {"/no/such/program"};
  REQUIRE(host.streams.open(1, spec, false));
  CHECK(host.code == 127);
  CHECK(host.err.find("/no/such/program") != std::string::npos);
}

TEST_CASE("children that keep the output open do not keep the stream") {
  if (!is_root()) return;
  Host host;
  REQUIRE(host.streams.open(1, shell("sleep 5 & echo gone"), false));
  host.run();
  CHECK(host.out == "gone\n");
  CHECK(host.code == 0);
}

TEST_CASE("when the host is new, the programs of the former one end") {
  if (!is_root()) return;
  Host host;
  REQUIRE(host.streams.open(1, shell("sleep 100"), false));
  CHECK(!host.streams.open(1, shell("true"), false));
  host.streams.close_all();
  CHECK(host.code == 129);
  int status = 0;
  CHECK(::waitpid(-1, &status, 0) > 0);
  CHECK(WTERMSIG(status) == SIGHUP);
}

TEST_CASE("there is a limit to the streams at once") {
  if (!is_root()) return;
  Host host;
  for (std::uint32_t id = 0; id < channel::kMaxStreams; ++id) {
    REQUIRE(host.streams.open(id, shell("sleep 100"), false));
  }
  const auto more = host.streams.open(99, shell("true"), false);
  REQUIRE(!more);
  CHECK(more.error().code == Errc::busy);
  host.streams.close_all();
  for (std::size_t n = 0; n < channel::kMaxStreams; ++n) CHECK(::waitpid(-1, nullptr, 0) > 0);
}

}  // namespace
}  // namespace mvr::guest
