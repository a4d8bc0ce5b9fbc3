// What the daemon writes down of the past, and learns from it.
#include <utility>

#include "daemon/daemon.h"
#include "daemon/fail_point.h"
#include "daemon/journal.h"

namespace mvr::daemon {

// What ended goes to history, and what history says about how long jobs take goes to the plan.
// Before anything of the VM is removed: while its directory is there, a daemon that dies leaves
// this to its successor. What is done twice so, or because the removal failed, history takes once.
void Daemon::remember(const core::Vm& vm) {
  if (vm.name.empty()) return;  // a directory without a readable spec.json
  history::FinishedJob job = narrator_.finished(vm);
  job.wanted = facts_->wanted_of(job, vm.run);
  fail_point("before history");
  if (auto recorded = history_->record(job); !recorded) {
    log(Level::warn, "history_not_written", {{"vm", job.vm}, {"error", recorded.error().what}});
    return;
  }
  fail_point("history written");
  if (job.job.empty()) return;
  facts_->fetch(job);
  if (auto estimates = history_->estimates_of(job)) post(core::Learned{std::move(*estimates)});
}

void Daemon::learn() {
  auto estimates = history_->estimates();
  if (estimates) return post(core::Learned{std::move(*estimates)});
  log(Level::warn, "no_run_times", {{"error", estimates.error().what}});
}

}  // namespace mvr::daemon
