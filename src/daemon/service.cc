#include "daemon/service.h"

#include <algorithm>
#include <utility>

#include "daemon/journal.h"

namespace mvr::daemon {
namespace {

std::string counted(std::size_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

}  // namespace

std::string service_status(const core::World& world, const core::Plan& plan) {
  const auto running = std::ranges::count_if(
      world.vms, [](const auto& entry) { return entry.second.phase == core::Phase::running; });
  std::size_t waiting = 0;
  for (const auto& wait : plan.waits) waiting += wait.jobs;
  std::string text = counted(world.vms.size(), "VM") + ", " +
                     counted(static_cast<std::size_t>(running), "job") + " running, " +
                     std::to_string(waiting) + " waiting";
  if (world.draining) text += "; draining";
  return text;
}

ServiceLink::ServiceLink(sys::Loop& loop, sys::Notifier notifier)
    : loop_(loop), notifier_(std::move(notifier)) {}

void ServiceLink::ready() {
  send("READY=1");
  feed_watchdog();
}

void ServiceLink::show(const std::string& status) {
  if (status == shown_) return;
  shown_ = status;
  send("STATUS=" + status);
}

void ServiceLink::reloading() {
  // The manager compares the time with that of its request.
  const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::steady_clock::now().time_since_epoch());
  send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(now.count()));
}

void ServiceLink::stopping() { send("STOPPING=1"); }

void ServiceLink::feed_watchdog() {
  const auto interval = notifier_.watchdog_interval();
  if (!interval) return;
  send("WATCHDOG=1");
  watchdog_ = loop_.call_at(loop_.now() + *interval, [this] { feed_watchdog(); });
}

void ServiceLink::send(const std::string& assignments) {
  auto sent = notifier_.send(assignments);
  if (!sent && !is_lost_) {
    log(Level::warn, "service_manager_deaf", {{"error", sent.error().what}});
  }
  is_lost_ = !sent;
}

}  // namespace mvr::daemon
