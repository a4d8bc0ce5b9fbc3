// World and observe(): everything mvrunner knows, as one value, changed only by events.
//
// Invariants
//  * One record per VM; every count (capacity used, VMs per profile, ...) is derived from the
//    records. There is no counter that could disagree with them.
//  * observe() is total: events for unknown slots, late, duplicate and out-of-order events are
//    legal. It returns why an event was ignored, for the debug log.
//  * A phase only moves forward in the order of enum Phase, except into and out of `held`.
//  * Demand is a level: DemandSeen replaces all demand of one scope. A VM is never bound to a
//    job; which job it took becomes known by JobStarted.
//  * plan() emits an action once: the daemon reports each action it took on as Dispatched, which
//    marks the record; the action's one outcome event clears or advances it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "core/config.h"

namespace mvr::core {

using Slot = std::uint32_t;  // 0..max_vms-1; names everything a VM owns on the host

enum class Phase { preparing, booting, warm, claiming, listening, running, ending, removing, held };

// Why a VM ends; the first cause stays.
enum class EndCause {
  none,
  finished,   // the runner took a job and exited
  unused,     // the runner exited without a job, or was idle too long
  cancelled,  // demand went away before a job came
  boot_timeout,
  job_timeout,
  launch_failed,  // a preparing step failed
  vm_died,        // the VMM exited by itself: panic, crash, killed
  agent_failed,   // the agent reported a failure, or broke the channel's contract
  runner_failed,  // the listener could not start or register
  killed,         // by an operator
};

struct Runner {
  std::int64_t id = 0;  // GitHub's id; 0 = not yet known
  std::string name;
  friend bool operator==(const Runner&, const Runner&) = default;
};

// A queued job as discovery saw it.
struct JobHint {
  std::int64_t id = 0;
  std::int64_t run_id = 0;
  std::string repository;  // "owner/repo"
  std::string workflow;
  std::string name;
  std::vector<std::string> labels;
  WallTime created{};
  friend bool operator==(const JobHint&, const JobHint&) = default;
};

// One-off commands (`mvrunner run`) are demand too, in this scope.
inline constexpr std::string_view kCommandScope = "@run";

struct Demand {
  std::string profile;
  std::vector<JobHint> jobs;   // oldest first; its length is the level
  std::vector<Instant> taken;  // jobs our VMs took after as_of: still listed, not demand
  friend bool operator==(const Demand&, const Demand&) = default;
};

struct ScopeState {
  Instant as_of{};                 // when the listing was requested
  std::vector<Demand> demands;     // one per profile with demand
  std::vector<JobHint> unmatched;  // queued jobs no profile serves
  std::optional<Error> failure;    // discovery is failing since then
  Instant retry_at{};              // next try while failing
  friend bool operator==(const ScopeState&, const ScopeState&) = default;
};

// Requests in flight for a VM: set by Dispatched, cleared by the outcome.
struct InFlight {
  bool jit = false;
  bool claim = false;
  bool stop = false;
  bool kill = false;
  bool remove = false;
  bool deregister = false;
  friend bool operator==(const InFlight&, const InFlight&) = default;
};

struct Vm {
  Slot slot = 0;
  std::string name;  // unique over time: "<profile>-<6 base32>"
  std::string profile;
  std::string scope;  // Scope::id() or kCommandScope
  Resources size;
  Phase phase = Phase::preparing;
  Instant since{};  // of the phase
  Instant created{};
  std::optional<Runner> runner;  // registered at GitHub and not known to be gone
  bool jit_ready = false;        // the daemon holds its JIT config (or its command) for claim
  std::uint32_t jit_failures = 0;
  Instant jit_retry_at{};
  std::string job;               // display name, once running
  std::string result;            // as the runner reported it: "Succeeded", "Failed", ...
  std::optional<int> exit_code;  // of the listener or the one-off command
  EndCause cause = EndCause::none;
  std::string cause_text;          // for people; printable
  std::optional<Instant> kill_at;  // ending: when grace is over
  std::uint32_t remove_failures = 0;
  Instant remove_retry_at{};
  InFlight in_flight;
  friend bool operator==(const Vm&, const Vm&) = default;
};

// What the host can give to VMs: already minus the reserve, CPUs already times overcommit.
struct Capacity {
  Bytes memory;
  std::uint32_t vcpus = 0;
  Bytes disk;
  std::uint32_t vms = 0;
  friend bool operator==(const Capacity&, const Capacity&) = default;
};

// Boot health of a profile.
struct Health {
  std::uint32_t failures = 0;  // in a row
  Instant last_failure{};
  EndCause cause = EndCause::none;
  std::string text;
  friend bool operator==(const Health&, const Health&) = default;
};

struct World {
  std::map<Slot, Vm> vms;
  std::map<std::string, ScopeState> scopes;
  std::map<std::string, Health> health;               // by profile
  std::map<std::string, std::string> missing_images;  // profile -> why it cannot boot
  Capacity capacity;
  bool draining = false;
  std::uint64_t seed = 0;      // of names and jitter; set once by the daemon
  std::uint64_t launches = 0;  // names made so far
  friend bool operator==(const World&, const World&) = default;
};

// ---- Actions (made by plan, carried out by the daemon) -----------------------------------

struct Launch {  // prepare the host side and start the VMM; also asks for the JIT config
  Slot slot = 0;
  std::string vm;
  std::string profile;
  std::string scope;
  Resources size;
  friend bool operator==(const Launch&, const Launch&) = default;
};
struct RequestJit {
  Slot slot = 0;
  std::string scope;
  std::string runner;
  friend bool operator==(const RequestJit&, const RequestJit&) = default;
};
struct Claim {
  Slot slot = 0;
  friend bool operator==(const Claim&, const Claim&) = default;
};
// Ask the guest to end its work and reboot within `grace`; kill follows when it did not.
struct Stop {
  Slot slot = 0;
  Duration grace{};
  friend bool operator==(const Stop&, const Stop&) = default;
};
struct Kill {
  Slot slot = 0;
  friend bool operator==(const Kill&, const Kill&) = default;
};
struct Remove {
  Slot slot = 0;
  friend bool operator==(const Remove&, const Remove&) = default;
};
struct Deregister {
  Slot slot = 0;
  std::string scope;
  Runner runner;
  friend bool operator==(const Deregister&, const Deregister&) = default;
};
using Action = std::variant<Launch, RequestJit, Claim, Stop, Kill, Remove, Deregister>;

// ---- Events ---------------------------------------------------------------------------------

struct DemandSeen {
  std::string scope;
  Instant as_of{};
  std::vector<Demand> demands;
  std::vector<JobHint> unmatched;
};
struct DiscoveryFailed {
  std::string scope;
  Error error;
  Instant retry_at{};
};
struct CapacityMeasured {
  Capacity capacity;
};
struct ImageMissing {
  std::string profile;
  std::string why;
};  // why empty: available again
struct DrainChanged {
  bool draining = false;
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
};
struct VmExited {
  Slot slot = 0;
  std::string text;
};  // the VMM is gone; text: reason if known
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
struct RequestCancelled {
  std::int64_t id = 0;
};  // a one-off command's client went away
using Event =
    std::variant<DemandSeen, DiscoveryFailed, CapacityMeasured, ImageMissing, DrainChanged, Adopted,
                 Dispatched, VmStarted, LaunchFailed, AgentReady, JitReady, JitFailed, ClaimFailed,
                 RunnerListening, JobStarted, JobFinished, RunnerExited, AgentFailed, VmExited,
                 StopFailed, Removed, RemoveFailed, Deregistered, DeregisterFailed, KillRequested,
                 RequestCancelled>;

// Folds one event into the world. Returns empty, or why the event changed nothing.
std::string observe(World& world, const Event& event, Instant now);

std::string_view phase_name(Phase phase);  // "booting"
std::optional<Phase> parse_phase(std::string_view name);
std::string_view cause_name(EndCause cause);  // "boot_timeout"
std::optional<EndCause> parse_cause(std::string_view name);
std::string_view event_name(const Event& event);     // "vm_started"
std::string_view action_name(const Action& action);  // "launch"
// The slot an event or action is about, if any.
std::optional<Slot> slot_of(const Event& event);
Slot slot_of(const Action& action);

}  // namespace mvr::core
