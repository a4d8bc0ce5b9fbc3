// Actions: made by plan(), carried out by the daemon. They hold all they need and are idempotent.
#pragma once

#include <string>
#include <variant>

#include "base/units.h"
#include "core/records.h"

namespace mvr::core {

struct Launch {  // prepare the host side and start the VMM
  Slot slot = 0;
  std::string vm;
  std::string profile;
  std::string scope;  // empty: to be kept warm
  Resources size;
  Limits limits;
  Egress egress;
  std::string repository;   // whose turn it is
  std::uint64_t share = 0;  // Shares::ends of the repository from now on
  Duration expected{};      // how long its job is expected to run
  friend bool operator==(const Launch&, const Launch&) = default;
};
// Register an ephemeral runner under this name and keep its JIT config for the claim. In
// kCommandScope: answer JitReady, with no runner, as soon as a command waits for a VM. For a warm
// VM nobody has asked for yet, this gives it to the scope.
struct RequestJit {
  Slot slot = 0;
  std::string scope;
  std::string runner;
  std::string repository;   // of a warm VM, as in Launch
  std::uint64_t share = 0;  // of a warm VM, as in Launch
  Duration expected{};      // of a warm VM, as in Launch
  friend bool operator==(const RequestJit&, const RequestJit&) = default;
};
// Tell the guest that its job is ended in `left`.
struct Warn {
  Slot slot = 0;
  Duration left{};
  friend bool operator==(const Warn&, const Warn&) = default;
};
struct Claim {
  Slot slot = 0;
  friend bool operator==(const Claim&, const Claim&) = default;
};
// Ask the guest to end its work and reboot within `grace`; kill follows when it did not. Stop
// and Kill may reach a VM whose launch is still going on: the answer is then LaunchFailed, or
// VmExited if the VMM had started.
struct Stop {
  Slot slot = 0;
  Duration grace{};
  EndCause cause = EndCause::none;  // why; observe(Dispatched) writes both into the record
  std::string text;
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
  EndCause cause = EndCause::none;  // an idle VM ends with this once the runner is gone
  friend bool operator==(const Deregister&, const Deregister&) = default;
};
// Keep a VM whose runner has exited, for somebody to look into. Given again, from now on.
struct Hold {
  Slot slot = 0;
  Duration time{};
  friend bool operator==(const Hold&, const Hold&) = default;
};
using Action = std::variant<Launch, RequestJit, Claim, Warn, Stop, Kill, Remove, Deregister, Hold>;

}  // namespace mvr::core
