// What of a drain outlives the daemon.
#include <algorithm>

#include "base/text.h"
#include "daemon/daemon.h"
#include "daemon/fail_point.h"
#include "daemon/journal.h"
#include "sys/files.h"

namespace mvr::daemon {
namespace {

// A deadline that passed meanwhile: the agents of adopted VMs have to be heard before they can be
// asked to end their jobs in good order.
constexpr Duration kAdoptionGrace{15'000};
constexpr std::size_t kMaxMark = 64;

}  // namespace

// Draining outlives the daemon: a host that is being emptied stays so over a restart.
std::string Daemon::draining_mark() const { return config_.state_dir + "/draining"; }

void Daemon::keep_draining() {
  if (options_.leave) return;  // for this daemon only: mvrunner may be installed again
  const bool draining = world_.draining;
  std::string until;
  if (world_.drain_deadline) {
    until = format_iso8601(sys::wall_now() + (*world_.drain_deadline - loop_->now()));
  }
  fail_point("before draining mark");
  auto kept = draining ? sys::write_file_atomic(draining_mark(), until, 0600)
                       : sys::remove_file(draining_mark());
  fail_point("draining mark changed");
  if (!kept) log(Level::error, "draining_not_saved", {{"error", kept.error().what}});
  log(Level::info, draining ? "draining" : "drain_ended",
      {{"vms", std::to_string(world_.vms.size())}, {"deadline", until}});
}

// The deadline is kept in wall-clock time: the host may have been booted meanwhile.
void Daemon::resume_draining() {
  if (!sys::exists(draining_mark())) return;
  core::DrainChanged drain{true, std::nullopt};
  const auto text = sys::read_file(draining_mark(), kMaxMark);
  if (!text || !text->empty()) {
    const auto until = text ? parse_iso8601(*text) : fail(text.error());
    if (until) {
      const Instant deadline = loop_->now() + (*until - sys::wall_now());
      drain.deadline = std::max(deadline, loop_->now() + kAdoptionGrace);
    } else {
      log(Level::warn, "drain_deadline_lost", {{"error", until.error().what}});
    }
  }
  post(drain);
}

}  // namespace mvr::daemon
