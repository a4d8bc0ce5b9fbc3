#include "catch.h"
#include "core/world.h"

namespace mvr::core {

TEST_CASE("phases and causes are read back from their names") {
  for (int n = 0; n <= static_cast<int>(Phase::held); ++n) {
    const auto phase = static_cast<Phase>(n);
    CHECK(parse_phase(phase_name(phase)) == phase);
  }
  for (int n = 0; n <= static_cast<int>(EndCause::killed); ++n) {
    const auto cause = static_cast<EndCause>(n);
    CHECK(parse_cause(cause_name(cause)) == cause);
  }
  CHECK_FALSE(parse_phase("Booting"));
  CHECK_FALSE(parse_cause(""));
}

TEST_CASE("events and actions have their names") {
  CHECK(event_name(DemandSeen{}) == "demand_seen");
  CHECK(event_name(VmStarted{}) == "vm_started");
  CHECK(event_name(JobStarted{}) == "job_started");
  CHECK(event_name(DeregisterFailed{}) == "deregister_failed");
  CHECK(event_name(KillRequested{}) == "kill_requested");
  CHECK(action_name(Launch{}) == "launch");
  CHECK(action_name(Deregister{}) == "deregister");
}

TEST_CASE("the slot of an event is known where it has one") {
  CHECK(slot_of(Event{VmStarted{3}}) == Slot{3});
  Vm vm;
  vm.slot = 4;
  CHECK(slot_of(Event{Adopted{vm}}) == Slot{4});
  CHECK(slot_of(Event{Dispatched{Claim{5}}}) == Slot{5});
  CHECK_FALSE(slot_of(Event{DrainChanged{true, std::nullopt}}));
  CHECK(slot_of(Action{Kill{6}}) == 6);
}

}  // namespace mvr::core
