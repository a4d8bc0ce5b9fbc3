// What the daemon writes down of the past, and learns from it.
#include <utility>

#include <malloc.h>

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
  const LiveVm* live = performer_->find(vm.slot);
  if (live != nullptr && live->usage()) {
    const channel::Usage& usage = *live->usage();
    job.used = history::Used{Bytes{usage.memory_peak}, Bytes{usage.disk_peak},
                             Duration{static_cast<std::int64_t>(usage.cpu_ms)}};
  }
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

void Daemon::shrink_history() {
  constexpr Duration kEvery{3'600'000};
  if (shrink_due_ > loop_->now()) return;
  shrink_due_ = loop_->now() + kEvery;
  const core::HistorySettings& keep = config_.history;
  const auto done = history_->shrink(sys::wall_now() - keep.max_age, keep.max_size);
  if (!done) log(Level::warn, "history_not_shrunk", {{"error", done.error().what}});
}

void Daemon::learn() {
  auto estimates = history_->estimates();
  if (estimates) return post(core::Learned{std::move(*estimates)});
  log(Level::warn, "no_run_times", {{"error", estimates.error().what}});
}

// The day before this daemon, for the page; of the busiest hosts only its later part.
void Daemon::refill_samples() {
  if (options_.exit_when_idle) return;  // nobody looks at it
  constexpr std::size_t kMostEntries = 20'000;
  if (const auto past = history_->recent(kMostEntries)) {
    samples_.refill(*past, world_, loop_->now(), sys::wall_now());
  } else {
    log(Level::warn, "no_past_use", {{"error", past.error().what}});
  }
  (void)::malloc_trim(0);  // the entries, which the daemon would keep for good
}

}  // namespace mvr::daemon
