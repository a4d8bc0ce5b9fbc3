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

#include <optional>
#include <string>
#include <string_view>

#include "base/units.h"
#include "core/action.h"
#include "core/event.h"
#include "core/records.h"

namespace mvr::core {

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
