#include "guest/process.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigprocmask and kill are POSIX's
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "base/text.h"
#include "guest/files.h"
#include "guest/words.h"

namespace mvr::guest {
namespace {

constexpr const char* kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr rlim_t kSoftFiles = 65'536;
constexpr rlim_t kHardFiles = 1'048'576;
constexpr int kFirstPassed = 3;   // of the descriptors that sd_listen_fds(3) passes
constexpr int kOutOfTheWay = 16;  // above those

// How far the child came; sent with errno when it cannot go on.
enum class Step : int { stdio, cgroup, listener, user, directory, execute };

std::string step_text(Step step, const SpawnSpec& spec) {
  switch (step) {
    case Step::stdio:
      return "set up standard input and output";
    case Step::cgroup:
      return "join the cgroup " + spec.cgroup;
    case Step::listener:
      return "pass the listening socket";
    case Step::user:
      return "become the user '" + spec.user.name + "'";
    case Step::directory:
      return "enter the directory " + spec.directory;
    case Step::execute:
      return "execute " + spec.argv.front();
  }
  return {};
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  result.reserve(strings.size() + 1);
  // execve(2) takes char* const[] for historical reasons and changes nothing.
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast)
  for (const std::string& text : strings) result.push_back(const_cast<char*>(text.c_str()));
  result.push_back(nullptr);
  return result;
}

bool place(int number, int target, int fallback) {
  return ::dup2(number >= 0 ? number : fallback, target) == target;
}

bool set_stdio(const Stdio& stdio) {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  return null > 2 && place(stdio.in, 0, null) && place(stdio.out, 1, null) &&
         place(stdio.err, 2, null);
}

bool join_cgroup(const std::string& cgroup) {
  return cgroup.empty() || write_file(cgroup + "/cgroup.procs", "0").has_value();
}

bool become(const User& user) {
  return ::setgroups(user.groups.size(), user.groups.data()) == 0 &&
         ::setresgid(user.gid, user.gid, user.gid) == 0 &&
         ::setresuid(user.uid, user.uid, user.uid) == 0;
}

// Where one cannot be set, the kernel's own do as well.
void set_limits(Limits limits) {
  const bool is_service = limits == Limits::service;
  const rlimit files{is_service ? kHardFiles : kSoftFiles, kHardFiles};
  (void)::setrlimit(RLIMIT_NOFILE, &files);
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  (void)::setrlimit(RLIMIT_NPROC, &unlimited);
  if (!is_service) return;
  (void)::setrlimit(RLIMIT_CORE, &unlimited);
  (void)write_file("/proc/self/oom_score_adj", "-500");
}

// Replaces descriptor 3; `report`, should it be that one, moves out of the way.
bool pass_listener(int listener, std::vector<std::string>& env, int& report) {
  if (listener < 0) return true;
  report = ::fcntl(report, F_DUPFD_CLOEXEC, kOutOfTheWay);
  const int moved = ::fcntl(listener, F_DUPFD_CLOEXEC, kOutOfTheWay);
  env.emplace_back("LISTEN_FDS=1");
  env.emplace_back("LISTEN_PID=" + std::to_string(::getpid()));
  return report >= 0 && moved >= 0 && ::dup2(moved, kFirstPassed) == kFirstPassed;
}

void reset_process(Limits limits) {
  // All of ours are close-on-exec at birth; a kernel without this call loses nothing.
  (void)::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  set_limits(limits);
  (void)::signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::umask(022);
  ::setsid();
}

// The child after fork(): the agent has one thread, so anything may be called here.
[[noreturn]] void run_child(const SpawnSpec& spec, const Stdio& stdio, int report) {
  auto argv = pointers(spec.argv);
  std::vector<std::string> variables = spec.env;
  reset_process(spec.limits);
  Step step = Step::stdio;
  const auto reach = [&step](Step next) {
    step = next;
    return true;
  };
  const bool ready = set_stdio(stdio) && reach(Step::cgroup) && join_cgroup(spec.cgroup) &&
                     reach(Step::listener) && pass_listener(spec.listener, variables, report) &&
                     reach(Step::user) && become(spec.user) && reach(Step::directory) &&
                     ::chdir(spec.directory.c_str()) == 0 && reach(Step::execute);
  if (ready) {
    auto env = pointers(variables);
    environ = env.data();  // execvp looks for PATH there
    ::execvp(argv.front(), argv.data());
  }
  const std::array<int, 2> message{static_cast<int>(step), errno};
  const ssize_t told = ::write(report, message.data(), sizeof(message));
  ::_exit(told == sizeof(message) ? 127 : 126);
}

bool wait_readable(int descriptor, std::chrono::milliseconds limit) {
  pollfd entry{descriptor, POLLIN, 0};
  return ::poll(&entry, 1, static_cast<int>(limit.count())) == 1;
}

}  // namespace

Result<Pipe> make_pipe(int flags) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | flags) != 0) return fail_errno(errno, "create a pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

Result<pid_t> spawn(const SpawnSpec& spec, const Stdio& stdio) {
  TRY_ASSIGN(Pipe report, make_pipe());
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(errno, "fork");
  if (pid == 0) run_child(spec, stdio, report.write.get());
  report.write = Fd();
  std::array<int, 2> message{};
  // End of file means that execve closed the pipe: the program runs.
  const ssize_t got = ::read(report.read.get(), message.data(), sizeof(message));
  if (got == 0) return pid;
  ::waitpid(pid, nullptr, 0);
  if (got != sizeof(message)) return fail(Errc::io, "a child ended before it reported");
  return fail_errno(message[1], step_text(static_cast<Step>(message[0]), spec));
}

std::optional<std::string> find_program(const std::string& name) {
  for (const std::string_view directory : split(kPath, ':')) {
    std::string path = std::string(directory) + "/" + name;
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return std::nullopt;
}

User root_user() { return {"root", 0, 0, {0}, "/root", "/bin/sh"}; }

Result<void> run_tool(const std::vector<std::string>& argv, std::chrono::milliseconds limit) {
  SpawnSpec spec;
  spec.argv = argv;
  spec.user = root_user();
  spec.env = environment(spec.user, {});
  TRY_ASSIGN(const pid_t pid, spawn(spec, Stdio{}));
  // glibc 2.36 has pidfd_open(3); the system call serves older ones too.
  const Fd ended(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const bool in_time = wait_readable(ended.get(), limit);
  if (!in_time) ::kill(pid, SIGKILL);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (!in_time) return fail(Errc::timed_out, argv.front() + " takes too long");
  if (exit_code(status) == 0) return {};
  return fail(Errc::io, argv.front() + " ended with " + std::to_string(exit_code(status)));
}

std::vector<std::string> environment(const User& user,
                                     const std::map<std::string, std::string>& added) {
  std::map<std::string, std::string> variables{{"HOME", user.home},    {"USER", user.name},
                                               {"LOGNAME", user.name}, {"SHELL", user.shell},
                                               {"PATH", kPath},        {"LANG", "C.UTF-8"}};
  const auto image = parse_environment(read_file("/etc/environment").value_or(std::string()));
  for (const auto& [name, value] : image) variables[name] = value;
  for (const auto& [name, value] : added) variables[name] = value;
  std::vector<std::string> result;
  result.reserve(variables.size());
  for (const auto& [name, value] : variables) {
    result.push_back(name);
    result.back().append("=").append(value);
  }
  return result;
}

int exit_code(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

}  // namespace mvr::guest
