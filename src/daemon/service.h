// What systemd is told of the daemon (Type=notify): that it is ready, reloads or stops, one line
// of status, and that the loop still turns.
#pragma once

#include <string>

#include "core/plan.h"
#include "core/world.h"
#include "sys/loop.h"
#include "sys/notify.h"

namespace mvr::daemon {

// "3 VMs, 2 jobs running, 5 waiting; draining" (pure).
std::string service_status(const core::World& world, const core::Plan& plan);

class ServiceLink {
 public:
  // `notifier` may speak to nobody: then all of this does nothing.
  ServiceLink(sys::Loop& loop, sys::Notifier notifier);

  // Serving: from here on the watchdog is fed by a timer of the loop, that is only while it turns.
  void ready();
  // Sends the status when it is another than before.
  void show(const std::string& status);
  // ready() ends it, whatever came of it.
  void reloading();
  void stopping();

 private:
  void send(const std::string& assignments);
  void feed_watchdog();

  sys::Loop& loop_;
  sys::Notifier notifier_;
  sys::Timer watchdog_;
  std::string shown_;
  bool is_lost_ = false;  // the manager does not listen; said once
};

}  // namespace mvr::daemon
