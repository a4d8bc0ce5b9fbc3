#include "sys/process.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "helpers.h"

namespace mvr::sys {
namespace {

constexpr Duration kLong(10'000);

SpawnOptions shell(const std::string& script) {
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", script};
  return options;
}

Exit exit_of(const SpawnOptions& options) {
  auto process = Process::spawn(options);
  REQUIRE(process);
  const auto exit = process->wait(kLong);
  REQUIRE(exit);
  return *exit;
}

// What the script prints with the given options; its descriptor 1 is a pipe of ours.
std::string output_of(SpawnOptions options) {
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  options.fds.push_back(FdMapping{writer.get(), 1});
  auto process = Process::spawn(options);
  REQUIRE(writer.close());
  REQUIRE(process);
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t count = 1; count > 0;) {
    count = ::read(reader.get(), buffer.data(), buffer.size());
    if (count > 0) text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  REQUIRE(process->wait(kLong));
  return text;
}

std::string failure_of(const SpawnOptions& options) {
  const auto process = Process::spawn(options);
  REQUIRE_FALSE(process);
  return process.error().what;
}

RunOptions script(const std::string& text) {
  RunOptions options;
  options.argv = {"/bin/sh", "-c", text};
  return options;
}

TEST_CASE("a process ends with its exit code") {
  CHECK(exit_of(shell("exit 0")) == Exit{0, 0});
  CHECK(exit_of(shell("exit 3")) == Exit{3, 0});
  CHECK(exit_of(shell("exit 3")).to_text() == "exit 3");
}

TEST_CASE("a process that was killed says by what") {
  auto process = Process::spawn(shell("exec sleep 100"));
  REQUIRE(process);
  CHECK_FALSE(process->reap().value().has_value());
  REQUIRE(process->signal(SIGKILL));
  const auto exit = process->wait(kLong);
  REQUIRE(exit);
  CHECK(*exit == Exit{0, SIGKILL});
  CHECK_FALSE(exit->ok());
  CHECK(exit->to_text() == "killed by SIGKILL");
}

TEST_CASE("the exit stays known and late signals are harmless") {
  auto process = Process::spawn(shell("exit 7"));
  REQUIRE(process);
  REQUIRE(process->wait(kLong));
  CHECK(process->reap().value() == Exit{7, 0});
  CHECK(process->signal(SIGKILL));
}

TEST_CASE("waiting is bounded") {
  auto process = Process::spawn(shell("exec sleep 100"));
  REQUIRE(process);
  CHECK(process->wait(Duration(10)).error().code == Errc::timed_out);
  REQUIRE(process->signal(SIGTERM));
  CHECK(process->wait(kLong) == Exit{0, SIGTERM});
}

TEST_CASE("no process at all can be neither signalled nor reaped") {
  Process nobody;
  CHECK_FALSE(static_cast<bool>(nobody));
  CHECK_FALSE(nobody.signal(SIGTERM));
  CHECK_FALSE(nobody.reap());
}

TEST_CASE("a step that fails before the exec is named") {
  SpawnOptions options;
  options.argv = {"/nowhere/program"};
  CHECK(failure_of(options) == "spawn /nowhere/program: exec: No such file or directory");
  options = shell("true");
  options.directory = "/nowhere";
  CHECK(failure_of(options) == "spawn /bin/sh: change the directory: No such file or directory");
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  options = shell("true");
  options.netns_fd = null.get();
  CHECK(failure_of(options) == "spawn /bin/sh: enter the network namespace: Invalid argument");
}

TEST_CASE("a program that cannot be found, or options that make no sense, are refused early") {
  SpawnOptions options;
  CHECK(Process::spawn(options).error().code == Errc::invalid);
  options.argv = {"no-such-program-anywhere"};
  CHECK(Process::spawn(options).error().code == Errc::not_found);
  options = shell("true");
  options.uid = 1;
  CHECK(Process::spawn(options).error().code == Errc::invalid);
  options = shell("true");
  options.fds = {FdMapping{-1, 3}};
  CHECK(Process::spawn(options).error().code == Errc::invalid);
  options.fds = {FdMapping{0, 3}, FdMapping{1, 3}};
  CHECK(Process::spawn(options).error().code == Errc::invalid);
}

TEST_CASE("the environment is exactly what was given") {
  SpawnOptions options;
  options.argv = {"/usr/bin/env"};
  options.env = {"A=1", "B=two words"};
  CHECK(output_of(options) == "A=1\nB=two words\n");
  options.env = {};
  CHECK(output_of(options).rfind("PATH=", 0) == 0);
}

TEST_CASE("descriptors swap places without getting lost") {
  const TempDir dir;
  REQUIRE(write_file(dir / "a", "A"));
  REQUIRE(write_file(dir / "b", "B"));
  const Fd a(::open((dir / "a").c_str(), O_RDONLY | O_CLOEXEC));
  const Fd b(::open((dir / "b").c_str(), O_RDONLY | O_CLOEXEC));
  SpawnOptions options;
  const std::string first = std::to_string(a.get());
  const std::string second = std::to_string(b.get());
  options.argv = {"/bin/bash", "-c", "cat <&" + first + "; cat <&" + second};
  options.fds = {FdMapping{a.get(), b.get()}, FdMapping{b.get(), a.get()}};
  CHECK(output_of(options) == "BA");
}

TEST_CASE("only the mapped descriptors reach the child") {
  const Fd inherited(::open("/dev/null", O_RDONLY));  // NOLINT(android-cloexec-open): the point
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  SpawnOptions options;
  options.argv = {"/bin/ls", "/proc/self/fd"};
  options.fds = {FdMapping{null.get(), 7}, FdMapping{null.get(), 40}};
  // 3 is the directory that ls itself opens.
  CHECK(output_of(options) == "0\n1\n2\n3\n40\n7\n");
}

TEST_CASE("a descriptor may keep its own number") {
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  SpawnOptions options = shell("readlink /proc/self/fd/" + std::to_string(null.get()));
  options.fds = {FdMapping{null.get(), null.get()}};
  CHECK(output_of(options) == "/dev/null\n");
}

TEST_CASE("a child starts in its own session, at the root, with no signal blocked or ignored") {
  SpawnOptions options = shell("grep -E '^Sig(Blk|Ign)' /proc/self/status; pwd");
  sigset_t blocked;
  sigset_t before;
  (void)sigemptyset(&blocked);
  (void)sigaddset(&blocked, SIGUSR1);
  REQUIRE(::pthread_sigmask(SIG_BLOCK, &blocked, &before) == 0);
  const auto old = std::signal(SIGPIPE, SIG_IGN);
  const std::string output = output_of(options);
  (void)std::signal(SIGPIPE, old);
  REQUIRE(::pthread_sigmask(SIG_SETMASK, &before, nullptr) == 0);
  CHECK(output == "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n/\n");
  auto process = Process::spawn(shell("exec sleep 100"));
  REQUIRE(process);
  CHECK(::getsid(process->pid()) == process->pid());
  REQUIRE(process->signal(SIGKILL));
  REQUIRE(process->wait(kLong));
}

TEST_CASE("the ids and groups are dropped completely") {
  MVR_NEEDS_ROOT();
  SpawnOptions options = shell("id -u; id -g; id -G; grep CapEff /proc/self/status");
  options.uid = 12345;
  options.gid = 12346;
  options.groups = {12346, 12347};
  CHECK(output_of(options) == "12345\n12346\n12346 12347\nCapEff:\t0000000000000000\n");
}

TEST_CASE("another user's program has the capabilities it was given, and no others") {
  MVR_NEEDS_ROOT();
  SpawnOptions options = shell("id -u; grep -E 'Cap(Eff|Prm|Amb)' /proc/self/status");
  options.uid = 12345;
  options.gid = 12345;
  options.capabilities = 1ULL << CAP_NET_ADMIN;
  options.die_with_parent = true;
  CHECK(output_of(options) ==
        "12345\nCapPrm:\t0000000000001000\nCapEff:\t0000000000001000\n"
        "CapAmb:\t0000000000001000\n");
}

TEST_CASE("a file size limit holds") {
  const TempDir dir;
  SpawnOptions options = shell("head -c 10000 /dev/zero > " + dir / "f");
  options.file_size_limit = 4096;
  (void)exit_of(options);
  CHECK(read_file(dir / "f").value().size() == 4096);
}

TEST_CASE("a child of low priority gets what nobody else wants") {
  SpawnOptions options = shell(R"sh([ "$(nice)" = 19 ] && [ "$(ionice)" = idle ])sh");
  options.low_priority = true;
  CHECK(exit_of(options) == Exit{0, 0});
}

TEST_CASE("a child asked to dies with its parent") {
  // The middle process spawns one such child, writes down its pid and is killed.
  const TempDir dir;
  const pid_t middle = ::fork();
  REQUIRE(middle >= 0);
  if (middle == 0) {
    SpawnOptions options = shell("exec sleep 100");
    options.die_with_parent = true;
    const auto child = Process::spawn(options);
    if (child) (void)write_file_atomic(dir / "pid", std::to_string(child->pid()));
    (void)::raise(SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(middle, &status, 0) == middle);
  const auto text = read_file(dir / "pid");
  REQUIRE(text);
  const pid_t pid = std::stoi(*text);
  const auto start = process_start_time(pid);
  if (start) {  // else it is gone and reaped already
    auto orphan = Process::adopt(pid, *start);
    if (orphan) CHECK(orphan->wait(kLong));
  }
}

TEST_CASE("the end of a process is an event of the loop") {
  auto loop = Loop::create();
  REQUIRE(loop);
  auto process = Process::spawn(shell("exit 5"));
  REQUIRE(process);
  std::optional<Exit> exit;
  const auto watch = (*loop)->watch(process->pidfd(), EPOLLIN,
                                    [&](std::uint32_t) { exit = process->reap().value(); });
  REQUIRE(watch);
  REQUIRE(run_until(**loop, [&] { return exit.has_value(); }));
  CHECK(*exit == Exit{5, 0});
}

TEST_CASE("a process that is not ours is adopted by pid and start time") {
  auto child = Process::spawn(shell("exec sleep 100"));
  REQUIRE(child);
  CHECK(process_start_time(child->pid()) == child->start_time());
  CHECK(Process::adopt(child->pid(), child->start_time() + 1).error().code == Errc::not_found);
  auto adopted = Process::adopt(child->pid(), child->start_time());
  REQUIRE(adopted);
  CHECK_FALSE(adopted->reap().value().has_value());
  REQUIRE(adopted->signal(SIGKILL));
  CHECK(adopted->wait(kLong) == Exit{0, 0});
  CHECK(Process::adopt(child->pid(), child->start_time()).error().code == Errc::not_found);
  REQUIRE(child->wait(kLong));
}

TEST_CASE("nobody is adopted where there is nobody") {
  auto child = Process::spawn(shell("exit 0"));
  REQUIRE(child);
  REQUIRE(child->wait(kLong));
  CHECK(Process::adopt(child->pid(), child->start_time()).error().code == Errc::not_found);
  CHECK(Process::adopt(0, 1).error().code == Errc::invalid);
  CHECK(Process::adopt(-1, 1).error().code == Errc::invalid);
}

TEST_CASE("the start time is found behind any program name") {
  const TempDir dir;
  const std::string name = dir / "a) S 1 2 (";
  REQUIRE(::symlink("/bin/sleep", name.c_str()) == 0);
  SpawnOptions options;
  options.argv = {name, "100"};
  auto process = Process::spawn(options);
  REQUIRE(process);
  const auto own = process_start_time(::getpid());
  REQUIRE(own);
  CHECK(process->start_time() >= *own);
  REQUIRE(process->signal(SIGKILL));
  REQUIRE(process->wait(kLong));
}

TEST_CASE("run feeds the input and collects both outputs") {
  RunOptions options = script("cat; echo oops >&2; exit 2");
  options.input = "some input";
  const auto result = run(options);
  REQUIRE(result);
  CHECK(result->exit == Exit{2, 0});
  CHECK(result->out == "some input");
  CHECK(result->err == "oops\n");
}

TEST_CASE("run is not blocked by large input that nobody reads, nor by large output") {
  RunOptions options = script("head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2");
  options.input = std::string(2'000'000, 'i');
  options.max_output = 1000;
  const auto result = run(options);
  REQUIRE(result);
  CHECK(result->exit.ok());
  CHECK(result->out == std::string(1000, 'x'));
  CHECK(result->err == "end\n");
}

TEST_CASE("of too much on stderr the end is kept: it says what went wrong") {
  RunOptions options = script("i=0; while [ $i -lt 200 ]; do echo line $i >&2; i=$((i+1)); done");
  options.max_output = 20;
  const auto result = run(options);
  REQUIRE(result);
  CHECK(result->err == "7\nline 198\nline 199\n");
}

TEST_CASE("run kills what takes too long, with what it started") {
  const TempDir dir;
  RunOptions options = script("sleep 100 & echo $! > " + dir / "pid" + "; wait");
  options.limit = Duration(300);
  const auto result = run(options);
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::timed_out);
  CHECK(result.error().what == "/bin/sh did not finish within 300ms");
  const auto text = read_file(dir / "pid");
  REQUIRE(text);
  const pid_t pid = std::stoi(*text);
  const auto start = process_start_time(pid);
  if (start) {
    auto grandchild = Process::adopt(pid, *start);
    if (grandchild) CHECK(grandchild->wait(kLong));
  }
}

TEST_CASE("run does not wait for a grandchild that holds the output open") {
  const TempDir dir;
  const Instant start = monotonic_now();
  const auto result = run(script("sleep 100 & echo $! > " + dir / "pid" + "; echo done"));
  REQUIRE(result);
  CHECK(result->out == "done\n");
  CHECK(monotonic_now() - start < Duration(50'000));
  const pid_t pid = std::stoi(read_file(dir / "pid").value());
  auto grandchild = Process::adopt(pid, process_start_time(pid).value());
  REQUIRE(grandchild);
  REQUIRE(grandchild->signal(SIGKILL));
  CHECK(grandchild->wait(kLong));
}

TEST_CASE("run starts in the directory given") {
  RunOptions options = script("pwd");
  options.directory = "/usr";
  CHECK(run_ok(options) == "/usr\n");
}

TEST_CASE("run_ok passes the output on, or the last line of stderr") {
  CHECK(run_ok(script("echo out")) == "out\n");
  const auto failed = run_ok(script("echo first >&2; echo 'the reason' >&2; echo >&2; exit 4"));
  REQUIRE_FALSE(failed);
  CHECK(failed.error().what == "/bin/sh: exit 4: the reason");
  CHECK(run_ok(script("exit 4")).error().what == "/bin/sh: exit 4");
  CHECK(run_ok(script("kill -9 $$")).error().what == "/bin/sh: killed by SIGKILL");
  RunOptions absent;
  absent.argv = {"no-such-program-anywhere"};
  CHECK(run_ok(absent).error().code == Errc::not_found);
}

TEST_CASE("the boot has an id") {
  CHECK(boot_id().size() == 36);
  CHECK(boot_id() == boot_id());
}

}  // namespace
}  // namespace mvr::sys
