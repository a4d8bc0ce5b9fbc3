#include "image/program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
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

// What a terminal or a supervisor asks us to stop with, held back and readable while it lives.
class StopSignals {
 public:
  StopSignals() {
    ::sigemptyset(&set_);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&set_, number);
    (void)::pthread_sigmask(SIG_BLOCK, &set_, &before_);
    fd_ = Fd(::signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  StopSignals(StopSignals&&) = delete;
  StopSignals& operator=(StopSignals&&) = delete;
  ~StopSignals() { (void)::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool came() const {
    signalfd_siginfo info{};
    return fd_ && ::read(fd_.get(), &info, sizeof info) == sizeof info;
  }

 private:
  sigset_t set_{};
  sigset_t before_{};
  Fd fd_;
};

// Ends a program and all of its process group: a builder's steps are in there.
Result<void> end_group(sys::Process& process) {
  constexpr Duration grace = std::chrono::seconds(10);
  (void)::kill(-process.pid(), SIGTERM);  // gone already is as good
  const auto ended = process.wait(grace);
  (void)::kill(-process.pid(), SIGKILL);
  if (!ended) TRY(process.wait(grace));
  return {};
}

class Lines {
 public:
  explicit Lines(const std::function<void(const std::string&)>& sink) : sink_(sink) {}

  void add(std::string_view text) {
    tail_.append(text);
    if (tail_.size() > 2 * kTail) tail_.erase(0, tail_.size() - kTail);
    for (const char c : text) {
      if (c == '\n' || line_.size() >= kTail) flush();
      if (c != '\n' && c != '\r') line_ += c;
    }
  }
  // Also what has no end of line.
  std::string finish() {
    if (!line_.empty()) flush();
    return std::move(tail_);
  }

 private:
  void flush() {
    if (sink_) sink_(line_);
    line_.clear();
  }
  const std::function<void(const std::string&)>& sink_;
  std::string line_;
  std::string tail_;
};

// Takes in all that can be read now; false at the end of the output.
bool drain(int fd, Lines& lines) {
  std::array<char, 8192> buffer{};
  while (true) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    lines.add(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
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

Result<LiveRun> run_live(const LiveOptions& live) {
  TRY_ASSIGN(Pipe pipe, make_pipe());
  const StopSignals stop;
  sys::SpawnOptions options;
  options.argv = live.argv;
  options.env = inherited_environment();
  options.env.insert(options.env.end(), live.extra_environment.begin(),
                     live.extra_environment.end());
  options.fds = {{pipe.write.get(), STDOUT_FILENO}, {pipe.write.get(), STDERR_FILENO}};
  options.die_with_parent = true;
  TRY_ASSIGN(sys::Process process, sys::Process::spawn(options));
  TRY(pipe.write.close());
  LiveRun result;
  Lines lines(live.line);
  std::optional<sys::Exit> exit;
  while (!exit) {
    std::array<pollfd, 3> ready{
        {{pipe.read.get(), POLLIN, 0}, {process.pidfd(), POLLIN, 0}, {stop.fd(), POLLIN, 0}}};
    if (::poll(ready.data(), ready.size(), -1) < 0 && errno != EINTR) {
      return fail_errno(errno, "poll");
    }
    if (stop.came()) {
      TRY(end_group(process));
      return fail(Errc::cancelled, "stopped; what was there before is untouched");
    }
    TRY_ASSIGN(exit, process.reap());
    // After the end of the output only the process is waited for.
    if (pipe.read && !drain(pipe.read.get(), lines)) pipe.read = Fd();
  }
  result.tail = lines.finish();
  result.exit = *exit;
  return result;
}

}  // namespace mvr::image
