// Process::spawn: everything is prepared here, then one clone3, then the answer of the child.
#include <fcntl.h>
#include <linux/sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "base/text.h"
#include "sys/process.h"
#include "sys/spawn_child.h"

namespace mvr::sys {
namespace {

constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string search_path() {
  const char* path = std::getenv("PATH");
  return path != nullptr && *path != '\0' ? path : kDefaultPath;
}

bool is_program(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

// An absolute path, since the child changes its directory before the exec.
Result<std::string> find_program(const std::string& name) {
  if (name.empty()) return fail(Errc::invalid, "no program given");
  if (name.find('/') != std::string::npos) {
    std::error_code error;
    const auto path = std::filesystem::absolute(name, error);
    return error ? name : path.string();
  }
  const std::string path = search_path();
  for (const std::string_view directory : split(path, ':')) {
    if (directory.empty() || directory.front() != '/') continue;
    std::string candidate = std::string(directory) + "/" + name;
    if (is_program(candidate)) return candidate;
  }
  return fail(Errc::not_found, "no such program in PATH (" + path + "): install it");
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  list.reserve(texts.size() + 1);
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

// Adds /dev/null for each of 0, 1 and 2 that is not given, and checks the rest.
Result<std::vector<FdMapping>> complete_mappings(std::vector<FdMapping> fds, const Fd& null) {
  constexpr int kHighestTarget = 255;
  for (const FdMapping& one : fds) {
    if (one.from < 0) return fail(Errc::invalid, "a descriptor to pass is not open");
    if (one.to < 0 || one.to > kHighestTarget) {
      return fail(Errc::invalid, "descriptor number " + std::to_string(one.to) + " in the child");
    }
  }
  for (int number = 0; number < 3; ++number) {
    const bool is_given =
        std::any_of(fds.begin(), fds.end(), [&](const FdMapping& one) { return one.to == number; });
    if (!is_given) fds.push_back(FdMapping{null.get(), number});
  }
  std::sort(fds.begin(), fds.end(),
            [](const FdMapping& a, const FdMapping& b) { return a.to < b.to; });
  for (std::size_t i = 1; i < fds.size(); ++i) {
    if (fds[i].to == fds[i - 1].to) {
      return fail(Errc::invalid, "descriptor " + std::to_string(fds[i].to) + " is given twice");
    }
  }
  return fds;
}

// All signals are blocked over the clone: no handler of ours may run in the child.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    (void)sigfillset(&all);
    (void)::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { (void)::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

struct Cloned {
  pid_t pid = 0;
  Fd pidfd;
};

Result<Cloned> clone_child(ChildPlan& plan, int cgroup_fd) {
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_PIDFD;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): clone3 takes pointers as numbers
  args.pidfd = static_cast<__u64>(reinterpret_cast<std::uintptr_t>(&pidfd));
  args.exit_signal = SIGCHLD;
  if (cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<__u64>(cgroup_fd);
  }
  plan.parent = ::getpid();
  const SignalsBlocked blocked;
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
  if (pid == 0) run_child(plan);
  if (pid < 0) return fail_errno(errno, cgroup_fd >= 0 ? "clone into the cgroup" : "clone");
  return Cloned{pid, Fd(pidfd)};
}

// Empty when the exec took place.
Result<std::optional<SpawnFailure>> read_status(const Fd& status) {
  SpawnFailure failure;
  while (true) {
    const ssize_t count = ::read(status.get(), &failure, sizeof failure);
    if (count == 0) return std::nullopt;
    if (count == static_cast<ssize_t>(sizeof failure)) return failure;
    if (count < 0 && errno == EINTR) continue;
    return fail(Errc::io, "the child's status could not be read");
  }
}

struct Pipe {
  Fd read_end;
  Fd write_end;
};
Result<Pipe> make_pipe() {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

ChildPlan make_plan(const SpawnOptions& options) {
  ChildPlan plan;
  plan.directory = options.directory.empty() ? "/" : options.directory.c_str();
  plan.netns_fd = options.netns_fd;
  plan.die_with_parent = options.die_with_parent;
  plan.capabilities = options.capabilities;
  plan.low_priority = options.low_priority;
  plan.same_session = options.same_session;
  plan.file_size_limit = options.file_size_limit;
  plan.uid = options.uid;
  plan.gid = options.gid;
  plan.groups = options.groups;
  return plan;
}

// Clones and waits for the exec: EOF on the status pipe.
Result<Cloned> launch(ChildPlan& plan, int cgroup_fd) {
  TRY_ASSIGN(Pipe status, make_pipe());
  plan.status_fd = status.write_end.get();
  TRY_ASSIGN(Cloned child, clone_child(plan, cgroup_fd));
  TRY(status.write_end.close());
  TRY_ASSIGN(const std::optional<SpawnFailure> failure, read_status(status.read_end));
  if (!failure) return child;
  siginfo_t info{};  // it ends by itself after the report
  (void)::waitid(P_PIDFD, static_cast<id_t>(child.pidfd.get()), &info, WEXITED);
  return fail_errno(failure->error, spawn_stage_name(failure->stage));
}

Result<Cloned> spawn_child(const SpawnOptions& options) {
  if (options.argv.empty()) return fail(Errc::invalid, "no program given");
  if (options.uid.has_value() != options.gid.has_value()) {
    return fail(Errc::invalid, "uid and gid go together");
  }
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return fail_errno(errno, "open /dev/null");
  ChildPlan plan = make_plan(options);
  TRY_ASSIGN(const std::string path, find_program(options.argv.front()));
  TRY_ASSIGN(plan.fds, complete_mappings(options.fds, null));
  plan.high.resize(plan.fds.size(), -1);
  plan.first_free = plan.fds.back().to + 1;
  std::vector<std::string> arguments = options.argv;
  std::vector<std::string> environment = options.env;
  if (environment.empty()) environment.push_back("PATH=" + search_path());
  const std::vector<char*> argv = pointers(arguments);
  const std::vector<char*> env = pointers(environment);
  plan.path = path.c_str();
  plan.argv = argv.data();
  plan.env = env.data();
  return launch(plan, options.cgroup_fd);
}

}  // namespace

Result<Process> Process::spawn(const SpawnOptions& options) {
  const std::string name = options.argv.empty() ? "" : options.argv.front();
  auto child = spawn_child(options);
  if (!child) return fail(with_context(child.error(), "spawn " + name));
  Process process;
  process.pid_ = child->pid;
  process.pidfd_ = std::move(child->pidfd);
  process.is_child_ = true;
  // Not reaped yet, so the number is still its own even when it has ended.
  const auto start_time = process_start_time(process.pid_);
  if (!start_time) {  // a process we could not find again after a restart: do not begin with it
    (void)process.signal(SIGKILL);
    (void)process.wait(Duration(1000));
    return fail(with_context(start_time.error(), "spawn " + name));
  }
  process.start_time_ = *start_time;
  return process;
}

}  // namespace mvr::sys
