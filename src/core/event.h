// Events: everything that can happen to a World. See observe() in world.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "core/action.h"
#include "core/records.h"

namespace mvr::core {

struct DemandSeen {
  std::string scope;
  Instant as_of{};  // when the oldest part that has jobs was requested
  std::vector<Demand> demands;
  std::vector<JobHint> unmatched;
  bool is_partial = false;  // repositories of the scope have not been looked at yet
  Instant newest{};         // when the newest part was requested, where that is after as_of
  // Of a part that cannot be seen; the next try is at retry_at.
  std::optional<Error> failure = std::nullopt;
  Instant retry_at{};
};
// Nothing of the scope can be seen.
struct DiscoveryFailed {
  std::string scope;
  Error error;
  Instant retry_at{};
};
struct CapacityMeasured {
  Capacity capacity;
};
// What a profile's VMs boot from: image, kernel, runner release and settings, as one digest.
struct ProfileChecked {
  std::string profile;
  std::string why;     // it cannot boot; empty: it can
  std::string origin;  // empty when it cannot
};
// No VM of this profile will come any more: what is known of it is forgotten.
struct ProfileGone {
  std::string profile;
};
struct DrainChanged {
  bool draining = false;
  std::optional<Instant> deadline;
};
struct PressureChanged {
  std::string why;
};  // empty: it is over
// Medians of history; each replaces what was known for the same job or profile.
struct Learned {
  std::vector<Estimate> estimates;
};
// GitHub's list of this host's runners in a scope.
struct RunnerSeen {
  std::int64_t id = 0;
  bool busy = false;
};
struct RunnersSeen {
  std::string scope;
  Instant as_of{};  // when it was requested
  std::vector<RunnerSeen> runners;
};
struct Adopted {
  Vm vm;
};  // start-up: a VM that outlived the daemon
struct Dispatched {
  Action action;
};  // the daemon took the action on
struct VmStarted {
  Slot slot = 0;
};  // outcome of Launch: the VMM process runs
struct LaunchFailed {
  Slot slot = 0;
  Error error;
};
struct AgentReady {
  Slot slot = 0;
};  // hello
struct JitReady {
  Slot slot = 0;
  Runner runner;
};  // runner.id 0 and empty name for a command
struct JitFailed {
  Slot slot = 0;
  Error error;
  Instant retry_at{};
};
struct ClaimFailed {
  Slot slot = 0;
  Error error;
};
struct RunnerListening {
  Slot slot = 0;
};
// For a command it comes before the DemandSeen that no longer lists the command.
struct JobStarted {
  Slot slot = 0;
  std::string job;
};
struct JobFinished {
  Slot slot = 0;
  std::string result;
};
struct RunnerExited {
  Slot slot = 0;
  int code = 0;
};  // the listener or the command ended
struct AgentFailed {
  Slot slot = 0;
  std::string text;
  EndCause cause = EndCause::agent_failed;  // or image_unreadable
};
struct VmExited {
  Slot slot = 0;
  std::string text;
  EndCause cause = EndCause::vm_died;  // or panicked
};                                     // the VMM is gone; text: reason if known
struct StopFailed {
  Slot slot = 0;
};  // could not ask; kill at once
struct Removed {
  Slot slot = 0;
};
struct RemoveFailed {
  Slot slot = 0;
  Error error;
};
struct Deregistered {
  Slot slot = 0;
};  // deleted, or it was gone already
struct DeregisterFailed {
  Slot slot = 0;
  Error error;
  Instant retry_at{};
};  // busy: it runs a job
struct KillRequested {
  Slot slot = 0;
  std::string by;
};  // operator
// What the guest or the host says of it that would explain a bad end. none: what was the matter
// with the network is over.
struct VmTroubled {
  Slot slot = 0;
  EndCause cause = EndCause::none;
  std::string text;
};
// Keep it for this long once its runner has exited, or from now on when it is held. 0: let it
// go.
struct HoldRequested {
  Slot slot = 0;
  Duration time{};
};
using Event =
    std::variant<DemandSeen, DiscoveryFailed, CapacityMeasured, ProfileChecked, ProfileGone,
                 DrainChanged, PressureChanged, Learned, RunnersSeen, Adopted, Dispatched,
                 VmStarted, LaunchFailed, AgentReady, JitReady, JitFailed, ClaimFailed,
                 RunnerListening, JobStarted, JobFinished, RunnerExited, AgentFailed, VmExited,
                 StopFailed, Removed, RemoveFailed, Deregistered, DeregisterFailed, KillRequested,
                 VmTroubled, HoldRequested>;

}  // namespace mvr::core
