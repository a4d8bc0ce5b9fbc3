// One event on a world literal: phases, causes, late and unknown events.
#include "catch.h"
#include "fixture.h"

namespace mvr::core::test {
namespace {

const Instant kLater = kNow + seconds{5};
const Error kError{Errc::unavailable, "no answer"};

// The VM in slot 1 after the event.
Vm after(Vm before, const Event& event) {
  World holder = world_with(std::move(before));
  REQUIRE(observe(holder, event, kLater).empty());
  REQUIRE(holder.vms.contains(1));
  return holder.vms.at(1);
}

// An event that must change nothing, and say why.
void check_ignored(Vm before, const Event& event) {
  World holder = world_with(std::move(before));
  const World untouched = holder;
  INFO(event_name(event));
  CHECK_FALSE(observe(holder, event, kLater).empty());
  CHECK(holder == untouched);
}

}  // namespace

TEST_CASE("a dispatched launch makes the record") {
  World holder = world();
  const Launch launch = launch_of(vm(1, Phase::preparing));
  CHECK(observe(holder, Dispatched{launch}, kNow).empty());
  Vm expected = vm(1, Phase::preparing);
  expected.in_flight.launch = true;
  CHECK(holder.vms == std::map<Slot, Vm>{{1, expected}});
  CHECK(holder.launches == 1);
}

TEST_CASE("a VM goes through its phases, each with its start time") {
  World holder = world();
  const auto see = [&holder](const Event& event) {
    CHECK(observe(holder, event, kLater).empty());
    CHECK(holder.vms.at(1).since == kLater);
    return holder.vms.at(1).phase;
  };
  const Launch launch = launch_of(vm(1, Phase::preparing));
  CHECK(see(Dispatched{launch}) == Phase::preparing);
  CHECK(see(VmStarted{1}) == Phase::booting);
  CHECK(see(Dispatched{RequestJit{1, kScope, "mv-h1-00000001", "", 0, {}}}) == Phase::booting);
  CHECK(see(JitReady{1, Runner{9, "mv-h1-00000001"}}) == Phase::booting);
  CHECK(see(AgentReady{1}) == Phase::warm);
  CHECK(see(Dispatched{Claim{1}}) == Phase::claiming);
  CHECK(see(RunnerListening{1}) == Phase::listening);
  CHECK(see(JobStarted{1, "build"}) == Phase::running);
  CHECK(see(JobFinished{1, "Succeeded"}) == Phase::running);
  CHECK(see(RunnerExited{1, 0}) == Phase::ending);
  CHECK(see(Dispatched{Stop{1, seconds{15}, EndCause::finished, ""}}) == Phase::ending);
  CHECK(see(VmExited{1, ""}) == Phase::removing);
  CHECK(see(Dispatched{Remove{1}}) == Phase::removing);
  CHECK(see(Removed{1}) == Phase::removing);
  CHECK(see(Dispatched{Deregister{1, kScope, Runner{9, ""}, EndCause::finished}}) ==
        Phase::removing);
  CHECK(holder.vms.at(1).job == "build");
  CHECK(holder.vms.at(1).result == "Succeeded");
  CHECK(holder.vms.at(1).exit_code == 0);
  CHECK(holder.vms.at(1).cause == EndCause::finished);
  CHECK(observe(holder, Deregistered{1}, kLater).empty());
  CHECK(holder.vms.empty());
}

TEST_CASE("events about no VM are ignored with a reason") {
  const std::vector<Event> events{VmStarted{7},
                                  LaunchFailed{7, kError},
                                  AgentReady{7},
                                  JitReady{7, {}},
                                  JitFailed{7, kError, {}},
                                  ClaimFailed{7, kError},
                                  RunnerListening{7},
                                  JobStarted{7, "j"},
                                  JobFinished{7, "r"},
                                  RunnerExited{7, 0},
                                  AgentFailed{7, "t"},
                                  VmExited{7, "t"},
                                  StopFailed{7},
                                  Removed{7},
                                  RemoveFailed{7, kError},
                                  Deregistered{7},
                                  DeregisterFailed{7, kError, {}},
                                  KillRequested{7, "me"},
                                  Dispatched{Claim{7}},
                                  Dispatched{Stop{7, {}, EndCause::killed, ""}}};
  for (const Event& event : events) check_ignored(vm(1, Phase::running), event);
}

TEST_CASE("late and duplicate events change nothing") {
  check_ignored(vm(1, Phase::warm), AgentReady{1});
  check_ignored(vm(1, Phase::booting), VmStarted{1});
  check_ignored(vm(1, Phase::booting), LaunchFailed{1, kError});
  check_ignored(vm(1, Phase::warm), JitReady{1, Runner{3, "x"}});
  check_ignored(vm(1, Phase::warm), JitFailed{1, kError, kNow});
  check_ignored(vm(1, Phase::running), ClaimFailed{1, kError});
  check_ignored(vm(1, Phase::running), RunnerListening{1});
  check_ignored(vm(1, Phase::running), JobStarted{1, "again"});
  check_ignored(vm(1, Phase::listening), JobFinished{1, "Succeeded"});
  check_ignored(vm(1, Phase::removing), RunnerExited{1, 0});
  check_ignored(vm(1, Phase::removing), VmExited{1, ""});
  check_ignored(vm(1, Phase::removing), KillRequested{1, "me"});
  check_ignored(vm(1, Phase::removing), Removed{1});
  check_ignored(vm(1, Phase::running), Removed{1});
  check_ignored(vm(1, Phase::removing), RemoveFailed{1, kError});
  check_ignored(vm(1, Phase::running), StopFailed{1});
  check_ignored(vm(1, Phase::ending), AgentFailed{1, "late"});
  check_ignored(vm(1, Phase::running), Deregistered{1});
  check_ignored(vm(1, Phase::running), Dispatched{Claim{1}});
  check_ignored(vm(1, Phase::running), Dispatched{Kill{1}});
  check_ignored(vm(1, Phase::running), Dispatched{Remove{1}});
  check_ignored(vm(1, Phase::running), Adopted{vm(1, Phase::booting)});
  check_ignored(vm(1, Phase::running), DrainChanged{false, std::nullopt});
  check_ignored(vm(1, Phase::running), ProfileChecked{"small", "", ""});
  check_ignored(vm(1, Phase::running), Dispatched{launch_of(vm(1, Phase::preparing))});
}

TEST_CASE("a failed launch goes straight to removing") {
  Vm preparing = vm(1, Phase::preparing);
  preparing.in_flight.launch = true;
  const Vm failed = after(preparing, LaunchFailed{1, kError});
  CHECK(failed.phase == Phase::removing);
  CHECK(failed.cause == EndCause::launch_failed);
  CHECK(failed.cause_text == "no answer");
}

TEST_CASE("an agent may greet before the launch is reported") {
  CHECK(after(vm(1, Phase::preparing), AgentReady{1}).phase == Phase::warm);
}

TEST_CASE("the runner's exit tells how the VM is to end") {
  CHECK(after(vm(1, Phase::running), RunnerExited{1, 0}).cause == EndCause::finished);
  CHECK(after(vm(1, Phase::running), RunnerExited{1, 3}).cause == EndCause::finished);
  CHECK(after(vm(1, Phase::listening), RunnerExited{1, 0}).cause == EndCause::unused);
  CHECK(after(vm(1, Phase::listening), RunnerExited{1, 3}).cause == EndCause::runner_failed);
  CHECK(after(vm(1, Phase::claiming), RunnerExited{1, 1}).cause == EndCause::runner_failed);
  CHECK(after(vm(1, Phase::claiming), RunnerExited{1, 7}).cause == EndCause::runner_deprecated);
  CHECK(after(vm(1, Phase::listening), RunnerExited{1, 7}).cause == EndCause::runner_deprecated);
  CHECK(after(vm(1, Phase::running), RunnerExited{1, 7}).cause == EndCause::finished);
  Vm command = vm(1, Phase::claiming);  // its 7 is a word of its own
  command.scope = kCommandScope;
  CHECK(after(command, RunnerExited{1, 7}).cause == EndCause::runner_failed);
  CHECK(after(vm(1, Phase::running), RunnerExited{1, 3}).exit_code == 3);
}

TEST_CASE("a VMM that exits by itself is vm_died, with a cause the first stays") {
  for (const Phase phase : {Phase::booting, Phase::listening, Phase::running, Phase::held}) {
    const Vm died = after(vm(1, phase), VmExited{1, "panic"});
    CHECK(died.phase == Phase::removing);
    CHECK(died.cause == EndCause::vm_died);
  }
  Vm ending = vm(1, Phase::ending);
  ending.cause = EndCause::finished;
  CHECK(after(ending, VmExited{1, "ended"}).cause == EndCause::finished);
}

TEST_CASE("a broken agent and a failed claim end the VM") {
  CHECK(after(vm(1, Phase::booting), AgentFailed{1, "mount"}).cause == EndCause::agent_failed);
  Vm claiming = vm(1, Phase::claiming);
  claiming.in_flight.claim = true;
  CHECK(after(claiming, ClaimFailed{1, kError}).cause == EndCause::agent_failed);
}

TEST_CASE("an operator ends a VM in any phase before its end") {
  for (const Phase phase :
       {Phase::preparing, Phase::warm, Phase::listening, Phase::running, Phase::held}) {
    const Vm killed = after(vm(1, phase), KillRequested{1, "root"});
    CHECK(killed.phase == Phase::ending);
    CHECK(killed.cause == EndCause::killed);
    CHECK(killed.cause_text == "by root");
  }
}

TEST_CASE("an operator shortens the grace of an ending VM") {
  Vm ending = vm(1, Phase::ending);
  ending.cause = EndCause::finished;
  ending.kill_at = kNow + seconds{15};
  const Vm killed = after(ending, KillRequested{1, "root"});
  CHECK(killed.kill_at == kLater);
  CHECK(killed.cause == EndCause::finished);
}

TEST_CASE("what a guest says is made printable and cut") {
  const Vm started = after(vm(1, Phase::listening), JobStarted{1, "a\x1b[2Jb"});
  CHECK(started.job.find('\x1b') == std::string::npos);
  const Vm failed = after(vm(1, Phase::booting), AgentFailed{1, std::string(100'000, 'x')});
  CHECK(failed.cause_text.size() <= 400);
}

TEST_CASE("a JIT config that comes too late is still deregistered") {
  Vm ending = vm(1, Phase::ending);
  ending.cause = EndCause::killed;
  ending.in_flight.jit = true;
  const Vm answered = after(ending, JitReady{1, Runner{4, "late"}});
  CHECK(answered.runner == Runner{4, "late"});
  CHECK_FALSE(answered.jit_ready);
}

TEST_CASE("the name of a runner that is being registered is kept until the answer") {
  const Vm asked =
      after(vm(1, Phase::booting), Dispatched{RequestJit{1, kScope, "mv-h1-00000001", "", 0, {}}});
  CHECK(asked.requested == "mv-h1-00000001");
  CHECK(after(asked, VmExited{1, ""}).requested == asked.requested);
  CHECK(after(asked, JitReady{1, Runner{9, asked.requested}}).requested.empty());
  CHECK(after(asked, JitFailed{1, kError, kNow}).requested.empty());
}

TEST_CASE("a removed VM waits for the answer about its registration") {
  Vm removing = vm(1, Phase::removing);
  removing.cause = EndCause::killed;
  removing.in_flight.jit = true;
  removing.in_flight.remove = true;
  World holder = world_with(removing);
  CHECK(observe(holder, Removed{1}, kNow).empty());
  REQUIRE(holder.vms.contains(1));
  CHECK(used(holder) == Capacity{});
  CHECK(observe(holder, JitFailed{1, kError, kNow}, kNow).empty());
  CHECK(holder.vms.empty());
}

TEST_CASE("a command's VM waits for no registration") {
  Vm warm = vm(1, Phase::warm);
  warm.scope = kRun;
  warm.in_flight.jit = true;
  CHECK_FALSE(after(warm, VmExited{1, ""}).in_flight.jit);
}

TEST_CASE("the fifth failed registration in a row ends the VM") {
  Vm warm = vm(1, Phase::warm);
  warm.jit_failures = 3;
  warm.in_flight.jit = true;
  const Vm fourth = after(warm, JitFailed{1, kError, kNow});
  CHECK(fourth.phase == Phase::warm);
  CHECK(fourth.jit_retry_at == kLater + seconds{1});
  Vm last = fourth;
  last.in_flight.jit = true;
  CHECK(after(last, JitFailed{1, kError, kNow}).cause == EndCause::runner_failed);
}

TEST_CASE("a registration clears the failures before it") {
  Vm warm = vm(1, Phase::warm);
  warm.jit_failures = 4;
  warm.in_flight.jit = true;
  CHECK(after(warm, JitReady{1, Runner{4, "x"}}).jit_failures == 0);
}

TEST_CASE("boot failures are counted per profile, once per VM") {
  World holder = world_with(vm(1, Phase::booting));
  (void)observe(holder, AgentFailed{1, "mount"}, kLater);
  (void)observe(holder, VmExited{1, ""}, kLater + seconds{1});
  CHECK(holder.health.at("small") == Health{1, kLater, EndCause::agent_failed, "mount"});
}

TEST_CASE("a VM that listens or runs clears the failures of its profile") {
  for (const Event& event : {Event{RunnerListening{1}}, Event{JobStarted{1, "j"}}}) {
    World holder = world_with(vm(1, Phase::claiming));
    holder.health["small"].failures = 3;
    (void)observe(holder, event, kNow);
    CHECK(holder.health.empty());
  }
}

TEST_CASE("ends that are no boot failure leave the profile's health alone") {
  const std::vector<std::pair<Phase, Event>> ends{
      {Phase::listening, VmExited{1, ""}},      {Phase::running, VmExited{1, ""}},
      {Phase::running, AgentFailed{1, "oops"}}, {Phase::booting, KillRequested{1, "me"}},
      {Phase::listening, RunnerExited{1, 0}},   {Phase::running, RunnerExited{1, 2}}};
  for (const auto& [phase, event] : ends) {
    World holder = world_with(vm(1, phase));
    (void)observe(holder, event, kNow);
    CHECK(holder.health.empty());
  }
}

TEST_CASE("a stop that could not be sent makes the kill due") {
  Vm ending = vm(1, Phase::ending);
  ending.kill_at = kNow + seconds{10};
  ending.in_flight.stop = true;
  CHECK(after(ending, StopFailed{1}).kill_at == kLater);
}

TEST_CASE("a runner that is deleted under a running job changes nothing else") {
  const Vm running = after(with_runner(vm(1, Phase::running)), Deregistered{1});
  CHECK(running.phase == Phase::running);
  CHECK_FALSE(running.runner);
}

TEST_CASE("a listening VM whose runner is gone ends") {
  const Vm ended = after(with_runner(vm(1, Phase::listening)), Deregistered{1});
  CHECK(ended.phase == Phase::ending);
  CHECK(ended.cause == EndCause::unused);
}

TEST_CASE("host facts are taken over") {
  World holder = world();
  CHECK(observe(holder, CapacityMeasured{Capacity{gib(1), 1, gib(1), 1}}, kNow).empty());
  CHECK(observe(holder, ProfileChecked{"small", "not built", ""}, kNow).empty());
  CHECK(observe(holder, DrainChanged{true, std::nullopt}, kNow).empty());
  CHECK(holder.capacity == Capacity{gib(1), 1, gib(1), 1});
  CHECK(holder.missing_images.at("small") == "not built");
  CHECK(holder.draining);
  CHECK(observe(holder, ProfileChecked{"small", "", ""}, kNow).empty());
  CHECK(holder.missing_images.empty());
}

TEST_CASE("of a profile that is gone nothing is remembered, and other profiles lose nothing") {
  World holder = world();
  for (const char* name : {"trial-1", "small"}) {
    CHECK(observe(holder, ProfileChecked{name, "", "origin"}, kNow).empty());
    holder.health[name].failures = 1;
  }
  CHECK(observe(holder, ProfileGone{"trial-1"}, kNow).empty());
  CHECK_FALSE(observe(holder, ProfileGone{"trial-1"}, kNow).empty());
  CHECK(holder.origins.size() == 1);
  CHECK(holder.health.contains("small"));
  CHECK_FALSE(holder.health.contains("trial-1"));
}

}  // namespace mvr::core::test
