#include "image/program.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "base/fd.h"
#include "base/text.h"

namespace mvr::image {
namespace {

constexpr std::size_t kTail = 64U << 10U;

bool is_executable(const std::string& path) { return ::access(path.c_str(), X_OK) == 0; }

struct Pipe {
  Fd read;
  Fd write;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  Pipe made{Fd(ends[0]), Fd(ends[1])};
  // Reading must never wait: what a program leaves behind in the background may hold the other end.
  if (::fcntl(made.read.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno(errno, "pipe");
  return made;
}

void show(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // a closed stderr does not stop a build
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

// Shows and keeps all that can be read now; false at the end of the output.
bool drain(int fd, std::string& tail) {
  std::array<char, 8192> buffer{};
  while (true) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    const std::string_view text(buffer.data(), static_cast<std::size_t>(got));
    show(text);
    tail.append(text);
    if (tail.size() > 2 * kTail) tail.erase(0, tail.size() - kTail);
  }
}

}  // namespace

Result<std::string> find_program(const std::string& name, const std::string& package) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing of ours changes the environment.
  const char* path = std::getenv("PATH");
  const std::string directories = path == nullptr ? "/usr/bin:/bin" : path;
  for (const std::string_view directory : split(directories, ':')) {
    // An empty or relative entry means the current directory: never run a program from there.
    if (directory.empty() || directory.front() != '/') continue;
    std::string candidate = std::string(directory) + "/" + name;
    if (is_executable(candidate)) return candidate;
  }
  for (const char* directory : {"/usr/local/sbin", "/usr/sbin", "/sbin"}) {
    std::string candidate = std::string(directory) + "/" + name;
    if (is_executable(candidate)) return candidate;
  }
  return fail(Errc::not_found, name + " is not installed: apt-get install " + package);
}

std::vector<std::string> inherited_environment() {
  std::vector<std::string> copy;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    copy.emplace_back(*entry);
  }
  return copy;
}

std::string last_words(const std::string& output) {
  std::vector<std::string> lines;
  for (const std::string_view line : split(output, '\n')) {
    const std::string shown = printable(line, 400);
    if (shown.find_first_not_of(' ') != std::string::npos) lines.push_back(shown);
  }
  constexpr std::size_t kept = 3;
  if (lines.size() > kept) lines.erase(lines.begin(), lines.end() - kept);
  return lines.empty() ? "(no output)" : join(lines, " | ");
}

Result<std::string> run_quiet(const std::vector<std::string>& argv, Duration limit) {
  sys::RunOptions options;
  options.argv = argv;
  options.env = inherited_environment();
  options.limit = limit;
  options.max_output = 8U << 20U;
  TRY_ASSIGN(sys::RunResult result, sys::run(options));
  if (result.exit.ok()) return std::move(result.out);
  return fail(Errc::unavailable,
              argv.front() + ": " + result.exit.to_text() + ": " + last_words(result.err));
}

Result<LiveRun> run_live(const std::vector<std::string>& argv) {
  TRY_ASSIGN(Pipe pipe, make_pipe());
  sys::SpawnOptions options;
  options.argv = argv;
  options.env = inherited_environment();
  options.fds = {{pipe.write.get(), STDOUT_FILENO}, {pipe.write.get(), STDERR_FILENO}};
  TRY_ASSIGN(sys::Process process, sys::Process::spawn(options));
  TRY(pipe.write.close());
  LiveRun result;
  std::optional<sys::Exit> exit;
  while (!exit) {
    std::array<pollfd, 2> ready{{{pipe.read.get(), POLLIN, 0}, {process.pidfd(), POLLIN, 0}}};
    if (::poll(ready.data(), ready.size(), -1) < 0 && errno != EINTR) {
      return fail_errno(errno, "poll");
    }
    TRY_ASSIGN(exit, process.reap());
    // After the end of the output only the process is waited for.
    if (pipe.read && !drain(pipe.read.get(), result.tail)) pipe.read = Fd();
  }
  result.exit = *exit;
  return result;
}

}  // namespace mvr::image
