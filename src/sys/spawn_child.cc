#include "sys/spawn_child.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <limits>

namespace mvr::sys {
namespace {

constexpr std::array<std::string_view, 13> kStageNames{"setsid",
                                                       "reset the signals",
                                                       "enter the network namespace",
                                                       "arrange the descriptors",
                                                       "limit the file size",
                                                       "set the groups",
                                                       "set the gid",
                                                       "set the uid",
                                                       "keep the capabilities",
                                                       "arm the parent-death signal",
                                                       "the parent ended",
                                                       "change the directory",
                                                       "exec"};
static_assert(kStageNames.size() == static_cast<std::size_t>(SpawnStage::exec) + 1);

// 0, or the errno of the failed call.
int status_of(long result) { return result < 0 ? errno : 0; }

int reset_signals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) {
    (void)::sigaction(number, &action, nullptr);  // refused for KILL, STOP and libc's own
  }
  sigset_t none;
  (void)sigemptyset(&none);
  return status_of(::sigprocmask(SIG_SETMASK, &none, nullptr));
}

// Two passes: a mapping's target may be another one's source, so all sources first move to
// numbers above every target.
int arrange_descriptors(ChildPlan& plan) {
  plan.status_fd = ::fcntl(plan.status_fd, F_DUPFD_CLOEXEC, plan.first_free);
  if (plan.status_fd < 0) return errno;
  for (std::size_t i = 0; i < plan.fds.size(); ++i) {
    plan.high[i] = ::fcntl(plan.fds[i].from, F_DUPFD_CLOEXEC, plan.first_free);
    if (plan.high[i] < 0) return errno;
  }
  // Everything goes at the exec, the status pipe included, but for the targets made below.
  constexpr unsigned kAll = std::numeric_limits<unsigned>::max();
  if (::syscall(SYS_close_range, 0U, kAll, CLOSE_RANGE_CLOEXEC) < 0) return errno;
  for (std::size_t i = 0; i < plan.fds.size(); ++i) {
    if (::dup2(plan.high[i], plan.fds[i].to) < 0) return errno;
  }
  return 0;
}

int limit_file_size(std::uint64_t bytes) {
  if (bytes == 0) return 0;
  const rlimit limit{bytes, bytes};
  return status_of(::setrlimit(RLIMIT_FSIZE, &limit));
}

// Raw calls for the ids: libc's wrappers signal all threads of the parent image, which are not
// there after the clone.
int set_groups(const ChildPlan& plan) {
  if (!plan.uid && !plan.gid) return 0;
  return status_of(::syscall(SYS_setgroups, plan.groups.size(), plan.groups.data()));
}
int set_gid(const ChildPlan& plan) {
  if (!plan.gid) return 0;
  return status_of(::syscall(SYS_setresgid, *plan.gid, *plan.gid, *plan.gid));
}
int set_uid(const ChildPlan& plan) {
  if (!plan.uid) return 0;
  // Those that are kept are taken out of what the next step drops.
  if (plan.capabilities != 0 && ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return errno;
  return status_of(::syscall(SYS_setresuid, *plan.uid, *plan.uid, *plan.uid));
}

// Exactly these, and handed on through the exec (capabilities(7), "ambient").
int keep_capabilities(const ChildPlan& plan) {
  if (plan.capabilities == 0) return 0;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  for (std::size_t i = 0; i < data.size(); ++i) {
    const auto mask = static_cast<std::uint32_t>(plan.capabilities >> (32 * i));
    data[i] = {mask, mask, mask};
  }
  if (::syscall(SYS_capset, &header, data.data()) != 0) return errno;
  for (unsigned long one = 0; one < 64; ++one) {
    if ((plan.capabilities >> one & 1U) == 0) continue;
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, one, 0, 0) != 0) return errno;
  }
  return 0;
}

// After the change of ids, which clears the setting.
int arm_parent_death(const ChildPlan& plan) {
  if (!plan.die_with_parent) return 0;
  return status_of(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
}

// The parent may have ended before the signal was armed: nobody would ever send it then.
int check_parent(const ChildPlan& plan) {
  return plan.die_with_parent && ::getppid() != plan.parent ? ESRCH : 0;
}

int enter_netns(const ChildPlan& plan) {
  if (plan.netns_fd < 0) return 0;
  return status_of(::setns(plan.netns_fd, CLONE_NEWNET));
}

// Best effort: without it the child is only a worse neighbour. What it starts has the same.
void lower_priority(const ChildPlan& plan) {
  if (!plan.low_priority) return;
  constexpr int kNicest = 19;
  constexpr int kWhoProcess = 1;         // IOPRIO_WHO_PROCESS of linux/ioprio.h
  constexpr int kIdleClass = 3U << 13U;  // IOPRIO_CLASS_IDLE in its place
  (void)::setpriority(PRIO_PROCESS, 0, kNicest);
  (void)::syscall(SYS_ioprio_set, kWhoProcess, 0, kIdleClass);
}

void require(const ChildPlan& plan, SpawnStage stage, int error) {
  if (error == 0) return;
  const SpawnFailure failure{stage, error};
  (void)!::write(plan.status_fd, &failure, sizeof failure);  // nobody else to tell
  ::_exit(127);
}

}  // namespace

std::string_view spawn_stage_name(SpawnStage stage) {
  const auto at = static_cast<std::size_t>(stage);
  return at < kStageNames.size() ? kStageNames.at(at) : "unknown step";
}

void run_child(ChildPlan& plan) {
  if (!plan.same_session) require(plan, SpawnStage::session, status_of(::setsid()));
  lower_priority(plan);
  require(plan, SpawnStage::signals, reset_signals());
  require(plan, SpawnStage::network_namespace, enter_netns(plan));
  require(plan, SpawnStage::descriptors, arrange_descriptors(plan));
  require(plan, SpawnStage::file_size_limit, limit_file_size(plan.file_size_limit));
  require(plan, SpawnStage::groups, set_groups(plan));
  require(plan, SpawnStage::gid, set_gid(plan));
  require(plan, SpawnStage::uid, set_uid(plan));
  require(plan, SpawnStage::capabilities, keep_capabilities(plan));
  require(plan, SpawnStage::parent_death_signal, arm_parent_death(plan));
  require(plan, SpawnStage::parent_gone, check_parent(plan));
  require(plan, SpawnStage::directory, status_of(::chdir(plan.directory)));
  require(plan, SpawnStage::exec, status_of(::execve(plan.path, plan.argv, plan.env)));
  ::_exit(127);  // not reached: a successful execve does not return
}

}  // namespace mvr::sys
