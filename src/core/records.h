// The values World is made of: VMs, capacity, health; see demand.h for demand and world.h for the
// invariants.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "core/config.h"
#include "core/demand.h"

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
  launch_failed,      // a preparing step failed
  vm_died,            // the VMM exited by itself, and nothing tells why
  vmm_crashed,        // the VMM was ended by a signal that was not ours
  host_oom,           // the host's kernel killed the VMM for lack of memory
  panicked,           // the guest's kernel panicked
  guest_oom,          // the guest's kernel killed processes for lack of memory
  disk_full,          // the guest's disk was full
  network,            // the runner could not reach GitHub
  host_full,          // no space on the host for what the VM needs
  image_unreadable,   // the guest could not mount its root
  agent_failed,       // the agent reported a failure, or broke the channel's contract
  runner_failed,      // the listener could not start or register
  listener_hung,      // GitHub gave it a job, or forgot it, and it did nothing
  runner_deprecated,  // GitHub no longer accepts the listener's release
  killed,             // by an operator
};

struct Runner {
  std::int64_t id = 0;  // GitHub's id; 0 = not yet known
  std::string name;
  friend bool operator==(const Runner&, const Runner&) = default;
};

// Requests in flight for a VM: set by Dispatched, cleared by the outcome.
struct InFlight {
  bool launch = false;
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
  Phase phase = Phase::preparing;
  std::string name;  // unique over time: "<profile>-<6 base32>"
  std::string profile;
  std::string scope;  // Scope::id() or kCommandScope; empty: a warm VM nobody has asked for yet
  Resources size;
  Limits limits;
  Egress egress;           // the profile's at its launch, which holds as long as it lives
  std::string origin;      // what it was booted from: World::origins at its launch
  std::string repository;  // whose job it was made for; once running: whose job it runs, if known
  std::string workflow;    // of the job it runs, if known
  std::optional<WallTime> queued;  // when that job was created, if known
  std::int64_t run = 0;            // and the id of its run, if known
  Instant since{};                 // of the phase
  Instant created{};
  std::optional<Runner> runner;       // registered at GitHub and not known to be gone
  std::string requested;              // name of the runner whose registration is in flight
  bool jit_ready = false;             // the daemon holds its JIT config (or its command) for claim
  bool adopted = false;               // taken over at start and its agent has not answered yet
  bool warned = false;                // told that its job will soon be ended
  std::optional<Instant> busy_since;  // listening, and the list of GitHub says it has a job
  std::optional<Instant> refused_since;  // listening, and GitHub refused to delete its runner
  std::uint32_t unlisted = 0;            // listings in a row that lack its runner
  Duration expected{};                   // how long its job is expected to run
  bool removed = false;  // the host side is gone; the record only waits for its registration
  std::uint32_t jit_failures = 0;  // in a row
  Instant jit_retry_at{};
  std::string job;               // display name, once running
  std::string result;            // as the runner reported it: "Succeeded", "Failed", ...
  std::optional<int> exit_code;  // of the listener or the one-off command
  EndCause cause = EndCause::none;
  EndCause release_cause = EndCause::none;  // why it ends once its runner is deregistered
  std::string cause_text;                   // for people; printable
  EndCause trouble = EndCause::none;        // what would explain it, should it end badly
  std::string trouble_text;
  Duration hold{};                    // asked for: kept so long once its runner has exited
  std::optional<Instant> held_until;  // set: it is or was held
  std::optional<Instant> kill_at;     // ending: when grace is over; set = the stop was sent
  std::uint32_t remove_failures = 0;
  std::uint32_t deregister_failures = 0;
  Instant remove_retry_at{};
  Instant deregister_retry_at{};
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
  std::map<std::string, std::string> origins;         // profile -> what new VMs boot from
  Estimates estimates;
  Shares shares;
  Capacity capacity;
  std::string pressure;  // why the host should take no more VMs for now; empty: it can
  bool draining = false;
  std::optional<Instant> drain_deadline;  // then running jobs are ended too
  std::uint64_t seed = 0;                 // of names and jitter; set once by the daemon
  std::uint64_t launches = 0;             // VM names made so far
  std::uint64_t runners = 0;              // runner names made so far
  friend bool operator==(const World&, const World&) = default;
};

}  // namespace mvr::core
