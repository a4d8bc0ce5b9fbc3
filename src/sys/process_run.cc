// run() and run_ok() of process.h.
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>

#include "base/text.h"
#include "sys/loop.h"
#include "sys/process.h"

namespace mvr::sys {
namespace {

enum class Keep { first, last };

// One output of the child: the pipe's read end and what came out of it.
struct Capture {
  Fd fd;
  std::string text;
  Keep keep = Keep::first;
};

void append_bounded(Capture& capture, std::string_view data, std::size_t max) {
  if (capture.keep == Keep::first) {
    const std::size_t room = max - std::min(max, capture.text.size());
    capture.text.append(data.substr(0, room));
    return;
  }
  capture.text.append(data);
  if (capture.text.size() > 2 * max) capture.text.erase(0, capture.text.size() - max);
}

// Reads what is there without waiting; closes the end at end of file or error. Bounded, for a
// child may write faster than we read.
void drain(Capture& capture, std::size_t max) {
  std::array<char, 16384> buffer{};
  for (int round = 0; round < 64 && capture.fd; ++round) {
    const ssize_t count = ::read(capture.fd.get(), buffer.data(), buffer.size());
    if (count > 0) {
      append_bounded(capture, std::string_view(buffer.data(), static_cast<std::size_t>(count)),
                     max);
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    capture.fd = Fd();
  }
}

// Gives the child its output `number`: ours, or a pipe into `capture`. Returns the pipe's other
// end, which must stay open until the spawn and be closed then.
Result<Fd> attach(SpawnOptions& spawn, int number, bool is_ours, Capture& capture) {
  if (is_ours) {
    spawn.fds.push_back(FdMapping{number, number});
    return Fd();
  }
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  capture.fd = Fd(ends[0]);
  Fd other(ends[1]);
  if (::fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) return fail_errno(errno, "set a pipe's mode");
  spawn.fds.push_back(FdMapping{other.get(), number});
  return other;
}

// The input as a file: no pipe to fill while the child fills another one, no SIGPIPE, and
// programs may open /dev/stdin again.
Result<Fd> make_input(const std::string& data) {
  Fd fd(::memfd_create("mvrunner-input", MFD_CLOEXEC));
  if (!fd) return fail_errno(errno, "make a memory file");
  for (std::size_t done = 0; done < data.size();) {
    const ssize_t count = ::write(fd.get(), data.data() + done, data.size() - done);
    if (count < 0) return fail_errno(errno, "fill a memory file");
    done += static_cast<std::size_t>(count);
  }
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "rewind a memory file");
  return fd;
}

struct Running {
  Process process;
  Capture out{Fd(), "", Keep::first};
  Capture err{Fd(), "", Keep::last};
};

Result<Running> start(const RunOptions& options) {
  Running running;
  SpawnOptions spawn;
  spawn.argv = options.argv;
  spawn.env = options.env;
  spawn.directory = options.directory;
  spawn.netns_fd = options.netns_fd;
  spawn.die_with_parent = true;
  Fd input;
  if (!options.input.empty()) {
    TRY_ASSIGN(input, make_input(options.input));
    spawn.fds.push_back(FdMapping{input.get(), STDIN_FILENO});
  }
  TRY_ASSIGN(const Fd out, attach(spawn, STDOUT_FILENO, options.pass_stdout, running.out));
  TRY_ASSIGN(const Fd err, attach(spawn, STDERR_FILENO, options.pass_stderr, running.err));
  TRY_ASSIGN(running.process, Process::spawn(spawn));
  return running;
}

// The child leads a session of its own: what it started goes with it. Not reaped yet, so the
// number cannot name anybody else's group.
void kill_group(Process& process) {
  (void)::kill(-process.pid(), SIGKILL);
  (void)process.signal(SIGKILL);
  (void)process.wait(Duration(5000));
}

// Waits for output or the end, collects output; false when the time is over.
Result<bool> step(Running& running, Instant deadline, std::size_t max_output) {
  const auto left = (deadline - monotonic_now()).count();
  if (left <= 0) return false;
  std::array<pollfd, 3> entries{{{running.process.pidfd(), POLLIN, 0},
                                 {running.out.fd.get(), POLLIN, 0},
                                 {running.err.fd.get(), POLLIN, 0}}};
  const int count = ::poll(entries.data(), entries.size(),
                           static_cast<int>(std::min<std::int64_t>(left, INT_MAX)));
  if (count < 0 && errno != EINTR) return fail_errno(errno, "poll");
  drain(running.out, max_output);
  drain(running.err, max_output);
  return true;
}

}  // namespace

Result<RunResult> run(const RunOptions& options) {
  TRY_ASSIGN(Running running, start(options));
  const Instant deadline = monotonic_now() + options.limit;
  while (true) {
    auto exit = running.process.reap();
    if (exit && *exit) {
      // A grandchild may hold the pipes open: take what is there, wait for nothing.
      drain(running.out, options.max_output);
      drain(running.err, options.max_output);
      std::string& err = running.err.text;
      if (err.size() > options.max_output) err.erase(0, err.size() - options.max_output);
      return RunResult{**exit, std::move(running.out.text), std::move(err)};
    }
    Result<bool> stepped = fail(Errc::io, "");
    if (exit) {
      stepped = step(running, deadline, options.max_output);
    } else {
      stepped = fail(exit.error());
    }
    if (stepped && *stepped) continue;
    kill_group(running.process);
    if (!stepped) return fail(with_context(stepped.error(), "run " + options.argv.front()));
    return fail(Errc::timed_out,
                options.argv.front() + " did not finish within " + format_duration(options.limit));
  }
}

Result<std::string> run_ok(const RunOptions& options) {
  TRY_ASSIGN(RunResult result, run(options));
  if (result.exit.ok()) return std::move(result.out);
  std::string_view text = result.err;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  const std::size_t line = text.find_last_of('\n');
  if (line != std::string_view::npos) text.remove_prefix(line + 1);
  std::string what = options.argv.front() + ": " + result.exit.to_text();
  if (!text.empty()) what += ": " + printable(text, 512);
  return fail(Errc::io, std::move(what));
}

}  // namespace mvr::sys
