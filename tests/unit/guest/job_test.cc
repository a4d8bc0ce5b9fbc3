// Real programs as the user who runs the tests.
#include "guest/job.h"

#include <poll.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): signal with SIGPIPE is POSIX's
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "catch.h"
#include "guest/command.h"

namespace mvr::guest {
namespace {

// As in the agent: a program that no longer reads must not end its writer.
const auto kBefore = ::signal(SIGPIPE, SIG_IGN);

// Changing the user needs root; becoming who one is does not, but setgroups does.
bool is_root() { return ::geteuid() == 0; }

SpawnSpec shell(const std::string& script) {
  SpawnSpec spec;
  spec.argv = {"sh", "-c", script};
  spec.env = {"PATH=/usr/bin:/bin", "GREETING=hello"};
  spec.user = User{"root", 0, 0, {0}, "/", "/bin/sh"};
  return spec;
}

// Runs to the end, feeding what waits; returns standard output, then standard error.
std::pair<std::string, std::string> finish(Job& job) {
  std::pair<std::string, std::string> texts;
  while (job.has_open_output()) {
    std::array<pollfd, 3> entries{
        {{job.output(), POLLIN, 0}, {job.error(), POLLIN, 0}, {job.input(), POLLOUT, 0}}};
    REQUIRE(::poll(entries.data(), entries.size(), 20'000) > 0);
    if (entries[0].revents != 0) texts.first += job.read_output();
    if (entries[1].revents != 0) texts.second += job.read_error();
    if (entries[2].revents != 0) job.write_input();
  }
  int status = 0;
  REQUIRE(::waitpid(job.pid(), &status, 0) == job.pid());
  job.reaped(status);
  return texts;
}

TEST_CASE("a program's output, error output and exit code come back") {
  if (!is_root()) return;
  auto job = Job::start(shell("echo $GREETING; echo bad >&2; exit 3"), false);
  REQUIRE(job);
  const auto texts = finish(*job);
  CHECK(texts.first == "hello\n");
  CHECK(texts.second == "bad\n");
  CHECK(job->result() == 3);
}

TEST_CASE("input larger than a pipe reaches the program whole") {
  if (!is_root()) return;
  auto job = Job::start(shell("cat"), true);
  REQUIRE(job);
  const std::string data(1 << 20, 'z');
  REQUIRE(job->add_input(data, true));
  CHECK(finish(*job).first == data);
  CHECK(job->result() == 0);
}

TEST_CASE("input without an end is bounded") {
  if (!is_root()) return;
  auto job = Job::start(shell("exec sleep 1000"), true);
  REQUIRE(job);
  const std::string chunk(1 << 20, 'z');
  int taken = 0;
  while (job->add_input(chunk, false)) ++taken;
  CHECK(taken == 16);
  job->kill();
  finish(*job);
  CHECK(job->result() == 137);
}

TEST_CASE("a program that closes its input is no error") {
  REQUIRE(kBefore != SIG_ERR);
  if (!is_root()) return;
  auto job = Job::start(shell("exec <&-; echo closed; read line"), true);
  REQUIRE(job);
  REQUIRE(job->add_input(std::string(1 << 20, 'z'), true));
  CHECK(finish(*job).first == "closed\n");
}

TEST_CASE("without input a program reads an empty one") {
  if (!is_root()) return;
  auto job = Job::start(shell("cat; echo end"), false);
  REQUIRE(job);
  CHECK(finish(*job).first == "end\n");
}

TEST_CASE("killing reaches the children too") {
  if (!is_root()) return;
  auto job = Job::start(shell("sleep 1000 & sleep 1000"), false);
  REQUIRE(job);
  job->kill();
  finish(*job);
  CHECK(job->result() == 137);
}

TEST_CASE("a program that does not exist is an error like a shell's") {
  if (!is_root()) return;
  SpawnSpec spec = shell("");
  spec.argv = {"no-such-program"};
  const auto missing = Job::start(spec, false);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().what.find("no-such-program") != std::string::npos);
  CHECK(exit_code_of_failed_start(missing.error()) == 127);
  spec.argv = {"/etc/passwd"};
  const auto denied = Job::start(spec, false);
  REQUIRE_FALSE(denied);
  CHECK(exit_code_of_failed_start(denied.error()) == 126);
}

TEST_CASE("a directory that does not exist is named") {
  if (!is_root()) return;
  SpawnSpec spec = shell("pwd");
  spec.directory = "/no/such/directory";
  const auto job = Job::start(spec, false);
  REQUIRE_FALSE(job);
  CHECK(job.error().what.find("/no/such/directory") != std::string::npos);
}

TEST_CASE("the user's ids and groups are all there is") {
  if (!is_root()) return;
  SpawnSpec spec = shell("id -u; id -g; id -G");
  spec.user = User{"x", 65'534, 65'533, {65'533, 65'532}, "/", "/bin/sh"};
  auto job = Job::start(spec, false);
  REQUIRE(job);
  CHECK(finish(*job).first == "65534\n65533\n65533 65532\n");
}

TEST_CASE("no descriptor but the three standard ones is inherited") {
  if (!is_root()) return;
  auto job = Job::start(shell("ls /proc/$$/fd"), true);
  REQUIRE(job);
  CHECK(finish(*job).first == "0\n1\n2\n");
}

}  // namespace
}  // namespace mvr::guest
