// What the ends of VMs mean.
#include "base/text.h"
#include "core/rules.h"

namespace mvr::core {

bool is_failed_job(const Vm& vm) {
  if (vm.job.empty()) return false;
  const std::string result = ascii_lower(vm.result);
  return result != "succeeded" && result != "succeededwithissues" && result != "canceled" &&
         result != "skipped";
}

EndCause cause_of_exit(const Vm& vm, int code) {
  if (code == 0) return EndCause::unused;
  const bool is_deprecated = code == 7 && vm.scope != kCommandScope;
  return is_deprecated ? EndCause::runner_deprecated : EndCause::runner_failed;
}

bool is_boot_failure(EndCause cause, Phase phase) {
  switch (cause) {
    case EndCause::boot_timeout:
    case EndCause::launch_failed:
    case EndCause::host_full:
    case EndCause::image_unreadable:
      return true;
    case EndCause::agent_failed:
    case EndCause::runner_failed:
    case EndCause::runner_deprecated:
    case EndCause::listener_hung:
    case EndCause::network:
    case EndCause::guest_oom:
    case EndCause::disk_full:
      return phase != Phase::running;
    case EndCause::vm_died:
    case EndCause::vmm_crashed:
    case EndCause::host_oom:
    case EndCause::panicked:
      return phase < Phase::listening;
    case EndCause::none:
    case EndCause::finished:
    case EndCause::unused:
    case EndCause::cancelled:
    case EndCause::job_timeout:
    case EndCause::killed:
      return false;
  }
  return false;
}

bool is_unexplained(const Vm& vm, EndCause cause) {
  return cause == EndCause::vm_died || cause == EndCause::agent_failed ||
         cause == EndCause::runner_failed || cause == EndCause::listener_hung ||
         (cause == EndCause::finished && is_failed_job(vm));
}

}  // namespace mvr::core
