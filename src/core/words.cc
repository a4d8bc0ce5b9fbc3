// The stable names of phases, causes, events and actions, and which slot each is about.
#include <array>
#include <type_traits>
#include <utility>

#include "core/world.h"

namespace mvr::core {
namespace {

constexpr std::array<std::pair<Phase, std::string_view>, 9> kPhases{{
    {Phase::preparing, "preparing"},
    {Phase::booting, "booting"},
    {Phase::warm, "warm"},
    {Phase::claiming, "claiming"},
    {Phase::listening, "listening"},
    {Phase::running, "running"},
    {Phase::ending, "ending"},
    {Phase::removing, "removing"},
    {Phase::held, "held"},
}};

constexpr std::array<std::pair<EndCause, std::string_view>, 21> kCauses{{
    {EndCause::none, "none"},
    {EndCause::finished, "finished"},
    {EndCause::unused, "unused"},
    {EndCause::cancelled, "cancelled"},
    {EndCause::boot_timeout, "boot_timeout"},
    {EndCause::job_timeout, "job_timeout"},
    {EndCause::launch_failed, "launch_failed"},
    {EndCause::vm_died, "vm_died"},
    {EndCause::vmm_crashed, "vmm_crashed"},
    {EndCause::host_oom, "host_oom"},
    {EndCause::panicked, "panicked"},
    {EndCause::guest_oom, "guest_oom"},
    {EndCause::disk_full, "disk_full"},
    {EndCause::network, "network"},
    {EndCause::host_full, "host_full"},
    {EndCause::image_unreadable, "image_unreadable"},
    {EndCause::agent_failed, "agent_failed"},
    {EndCause::runner_failed, "runner_failed"},
    {EndCause::listener_hung, "listener_hung"},
    {EndCause::runner_deprecated, "runner_deprecated"},
    {EndCause::killed, "killed"},
}};

template <class Table, class Key>
std::string_view name_in(const Table& table, Key key) {
  for (const auto& [value, name] : table) {
    if (value == key) return name;
  }
  return "unknown";
}

template <class Value, class Table>
std::optional<Value> value_in(const Table& table, std::string_view text) {
  for (const auto& [value, name] : table) {
    if (name == text) return value;
  }
  return std::nullopt;
}

// In the order of the alternatives of Event.
constexpr std::array<std::string_view, 31> kEvents{
    "demand_seen",   "discovery_failed", "capacity_measured", "profile_checked", "profile_gone",
    "drain_changed", "pressure_changed", "learned",           "runners_seen",    "adopted",
    "dispatched",    "vm_started",       "launch_failed",     "agent_ready",     "jit_ready",
    "jit_failed",    "claim_failed",     "runner_listening",  "job_started",     "job_finished",
    "runner_exited", "agent_failed",     "vm_exited",         "stop_failed",     "removed",
    "remove_failed", "deregistered",     "deregister_failed", "kill_requested",  "vm_troubled",
    "hold_requested"};
static_assert(kEvents.size() == std::variant_size_v<Event>);

// In the order of the alternatives of Action.
constexpr std::array<std::string_view, 9> kActions{
    "launch", "request_jit", "claim", "warn", "stop", "kill", "remove", "deregister", "hold"};
static_assert(kActions.size() == std::variant_size_v<Action>);

template <class T>
concept HasSlot = requires(const T& value) {
  value.slot;
};

struct EventSlot {
  std::optional<Slot> operator()(const Adopted& event) const { return event.vm.slot; }
  std::optional<Slot> operator()(const Dispatched& event) const { return slot_of(event.action); }
  template <class T>
  std::optional<Slot> operator()(const T& event) const {
    if constexpr (HasSlot<T>) {
      return event.slot;
    } else {
      return std::nullopt;
    }
  }
};

}  // namespace

std::string_view phase_name(Phase phase) { return name_in(kPhases, phase); }
std::optional<Phase> parse_phase(std::string_view name) { return value_in<Phase>(kPhases, name); }
std::string_view cause_name(EndCause cause) { return name_in(kCauses, cause); }
std::optional<EndCause> parse_cause(std::string_view name) {
  return value_in<EndCause>(kCauses, name);
}

std::string_view event_name(const Event& event) { return kEvents.at(event.index()); }
std::string_view action_name(const Action& action) { return kActions.at(action.index()); }

std::optional<Slot> slot_of(const Event& event) { return std::visit(EventSlot{}, event); }
Slot slot_of(const Action& action) {
  return std::visit([](const auto& each) { return each.slot; }, action);
}

}  // namespace mvr::core
