// A world literal, one plan: the steps and deadlines of each phase.
#include "catch.h"
#include "core/names.h"
#include "fixture.h"

namespace mvr::core::test {
namespace {

const Error kError{Errc::unavailable, "no answer"};

std::vector<Action> none() { return {}; }

Stop stop(EndCause cause, std::string text) { return Stop{1, seconds{10}, cause, std::move(text)}; }

Deregister deregister(EndCause cause) {
  return Deregister{1, kScope, *with_runner(vm(1, Phase::warm)).runner, cause};
}

Vm ending(EndCause cause) {
  Vm made = vm(1, Phase::ending);
  made.cause = cause;
  return made;
}

// What is done with the VM in slot 1, whatever is launched beside it.
std::vector<Action> about_1(std::vector<Action> actions) {
  std::erase_if(actions, [](const Action& action) { return slot_of(action) != 1; });
  return actions;
}

}  // namespace

TEST_CASE("a preparing VM asks for no runner yet") {
  CHECK(actions_of(world_with(vm(1, Phase::preparing))) == none());
}

TEST_CASE("a booting or warm VM asks for a runner with a fresh name") {
  for (const Phase phase : {Phase::booting, Phase::warm}) {
    World holder = world_with(vm(1, phase));
    const std::string first = runner_name("h1", 7, 0);
    CHECK(act(holder) == std::vector<Action>{RequestJit{1, kScope, first, "", 0, {}}});
    CHECK(holder.vms.at(1).in_flight.jit);
    CHECK(actions_of(holder) == none());
  }
}

TEST_CASE("two VMs get two runner names in one plan") {
  World holder = world_with(vm(0, Phase::booting), 2);
  put(holder, vm(1, Phase::booting));
  CHECK(act(holder) ==
        std::vector<Action>{RequestJit{0, kScope, runner_name("h1", 7, 0), "", 0, {}},
                            RequestJit{1, kScope, runner_name("h1", 7, 1), "", 0, {}}});
}

TEST_CASE("a failed registration is tried again in time under another name") {
  World holder = world_with(vm(1, Phase::warm));
  (void)act(holder);
  (void)observe(holder, JitFailed{1, kError, kNow + seconds{5}}, kNow);
  CHECK(actions_of(holder, kNow + seconds{4}) == none());
  CHECK(plan(config(), holder, kNow).wake_at == kNow + seconds{5});
  CHECK(actions_of(holder, kNow + seconds{5}) ==
        std::vector<Action>{RequestJit{1, kScope, runner_name("h1", 7, 1), "", 0, {}}});
}

TEST_CASE("a VM for a command asks for a command, not for a runner") {
  Vm warm = vm(1, Phase::warm);
  warm.scope = kRun;
  World holder = world();
  put(holder, warm);
  holder.scopes[kRun].demands = {Demand{"small", jobs(1), {}}};
  CHECK(act(holder) == std::vector<Action>{RequestJit{1, kRun, "", "", 0, {}}});
  CHECK(holder.runners == 0);
  (void)observe(holder, JitReady{1, {}}, kNow);
  CHECK(act(holder) == std::vector<Action>{Claim{1}});
}

TEST_CASE("a warm VM with its JIT config is claimed") {
  Vm warm = with_runner(vm(1, Phase::warm));
  warm.jit_ready = true;
  World holder = world_with(warm);
  CHECK(act(holder) == std::vector<Action>{Claim{1}});
  CHECK(actions_of(holder) == none());
}

TEST_CASE("a booting VM with its JIT config is not claimed before its hello") {
  Vm booting = with_runner(vm(1, Phase::booting));
  booting.jit_ready = true;
  CHECK(actions_of(world_with(booting)) == none());
}

TEST_CASE("a VM that does not say hello in time is stopped") {
  for (const Phase phase : {Phase::preparing, Phase::booting}) {
    Vm slow = with_runner(vm(1, phase));
    slow.since = kNow + seconds{30};  // the limit counts from the launch
    World holder = world_with(slow);
    CHECK(actions_of(holder, kNow + milliseconds{59'999}) == none());
    const Instant late = kNow + seconds{60};
    CHECK(act(holder, late) ==
          std::vector<Action>{stop(EndCause::boot_timeout, "no hello from the guest within 1m")});
    CHECK(holder.vms.at(1).phase == Phase::ending);
    CHECK(holder.vms.at(1).cause == EndCause::boot_timeout);
    CHECK(holder.vms.at(1).kill_at == late + seconds{10});
    CHECK(holder.health.at("small").failures == 1);
  }
}

TEST_CASE("a claim that leads to no listener in time ends the VM") {
  const World holder = world_with(with_runner(vm(1, Phase::claiming)));
  CHECK(actions_of(holder, kNow + seconds{59}) == none());
  CHECK(actions_of(holder, kNow + seconds{60}).front() ==
        Action{stop(EndCause::runner_failed, "the runner did not listen within 1m")});
}

TEST_CASE("a listener without a job is deregistered before it is stopped") {
  World holder = world_with(with_runner(vm(1, Phase::listening)));
  holder.scopes[kScope].as_of = kNow + minutes{5};
  CHECK(actions_of(holder, kNow + milliseconds{299'999}) == none());
  const Instant late = kNow + minutes{5};
  REQUIRE(act(holder, late).front() == Action{deregister(EndCause::unused)});
  CHECK(holder.vms.at(1).phase == Phase::listening);
  (void)observe(holder, Deregistered{1}, late);
  CHECK(act(holder, late).front() == Action{stop(EndCause::unused, "its runner was deregistered")});
}

TEST_CASE("a listener that turns out to be busy is left alone until the next try") {
  World holder = world_with(with_runner(vm(1, Phase::listening)));
  holder.capacity.vms = 1;  // no room for another VM
  const Instant late = kNow + minutes{5};
  (void)act(holder, late);
  (void)observe(holder, DeregisterFailed{1, Error{Errc::busy, "422"}, late + seconds{30}}, late);
  CHECK(holder.vms.at(1).phase == Phase::listening);
  CHECK(holder.vms.at(1).runner);
  const std::vector<Action> retried = actions_of(holder, late + seconds{30});
  CHECK(actions_of(holder, late + seconds{29}) == none());
  CHECK(retried == std::vector<Action>{deregister(EndCause::unused)});
  (void)observe(holder, JobStarted{1, "j"}, late + seconds{31});
  CHECK(actions_of(holder, late + seconds{60}) == none());
}

TEST_CASE("a listener that is busy for ever without a word is ended at last") {
  Vm busy = with_runner(vm(1, Phase::listening));
  busy.in_flight.deregister = true;
  const std::vector<Action> actions = actions_of(world_with(busy), kNow + minutes{65});
  REQUIRE_FALSE(actions.empty());
  REQUIRE(std::holds_alternative<Stop>(actions.front()));
  CHECK(std::get<Stop>(actions.front()).cause == EndCause::job_timeout);
}

TEST_CASE("a listener whose registration is unknown is stopped when its time is over") {
  const World holder = world_with(vm(1, Phase::listening));
  CHECK(actions_of(holder, kNow + minutes{5}).front() ==
        Action{stop(EndCause::unused, "no job for 5m")});
}

TEST_CASE("a job that runs too long is stopped") {
  World holder = world_with(with_runner(vm(1, Phase::running)), 0);
  CHECK(actions_of(holder, kNow + milliseconds{3'239'999}) == none());
  CHECK(act(holder, kNow + minutes{54}) == std::vector<Action>{Warn{1, minutes{6}}});
  CHECK(actions_of(holder, kNow + milliseconds{3'599'999}) == none());
  CHECK(actions_of(holder, kNow + minutes{60}) ==
        std::vector<Action>{
            Stop{1, seconds{40}, EndCause::job_timeout, "the job ran longer than 1h"}});
}

TEST_CASE("a running VM is touched by nothing else") {
  World holder = world_with(with_runner(vm(1, Phase::running)), 0);
  holder.draining = true;
  holder.missing_images["small"] = "gone";
  holder.capacity = Capacity{};
  holder.pressure = "no memory";
  holder.vms.at(1).warned = true;
  CHECK(actions_of(holder, kNow + minutes{59}) == none());
  Config without = config();
  without.profiles.clear();
  without.github.scopes.clear();
  CHECK(plan(without, holder, kNow + minutes{59}).actions == none());
  Config shorter = config();
  for (Profile& profile : shorter.profiles) profile.limits = Limits{};
  CHECK(plan(shorter, holder, kNow + minutes{59}).actions == none());
}

TEST_CASE("the deadline of a drain ends running jobs with time to say why") {
  World holder = world_with(with_runner(vm(1, Phase::running)), 0);
  CHECK(observe(holder, DrainChanged{true, kNow + minutes{5}}, kNow).empty());
  CHECK(actions_of(holder, kNow + minutes{4}) == none());
  CHECK(actions_of(holder, kNow + minutes{5}) ==
        std::vector<Action>{
            Stop{1, seconds{40}, EndCause::killed, "the deadline of the drain came"}});
  CHECK(observe(holder, DrainChanged{false, std::nullopt}, kNow).empty());
  CHECK(actions_of(holder, kNow + minutes{5}) == none());
}

TEST_CASE("a listener GitHub has forgotten is given back: the deletion decides") {
  World holder = world_with(with_runner(vm(1, Phase::listening)), 1);
  const RunnersSeen none_listed{kScope, kNow + seconds{30}, {}};
  CHECK(observe(holder, none_listed, kNow + seconds{31}).empty());
  CHECK(about_1(actions_of(holder, kNow + seconds{31})) == none());
  CHECK(observe(holder, none_listed, kNow + seconds{60}).empty());
  CHECK(about_1(actions_of(holder, kNow + seconds{60})) ==
        std::vector<Action>{
            Deregister{1, kScope, Runner{5, "mv-h1-00000005"}, EndCause::listener_hung}});
  (void)observe(holder, RunnersSeen{kScope, kNow + seconds{61}, {{5, false}}}, kNow + seconds{61});
  CHECK(about_1(actions_of(holder, kNow + seconds{61})) == none());
}

TEST_CASE("a listing from before the VM listened says nothing about it") {
  World holder = world_with(with_runner(vm(1, Phase::listening)), 1);
  CHECK_FALSE(observe(holder, RunnersSeen{kScope, kNow, {}}, kNow + seconds{1}).empty());
}

TEST_CASE("a job that GitHub gave and the guest does not start ends the VM, but not at once") {
  World holder = world_with(with_runner(vm(1, Phase::listening)), 1);
  const RunnersSeen busy{kScope, kNow + seconds{10}, {{5, true}}};
  CHECK(observe(holder, busy, kNow + seconds{10}).empty());
  CHECK(about_1(actions_of(holder, kNow + seconds{99})) == none());
  const Deregister deletion{1, kScope, Runner{5, "mv-h1-00000005"}, EndCause::listener_hung};
  CHECK(about_1(act(holder, kNow + seconds{100})) == std::vector<Action>{deletion});
  const DeregisterFailed refused{1, Error{Errc::busy, "runs a job"}, {}};
  CHECK(observe(holder, refused, kNow + seconds{101}).empty());
  CHECK(about_1(actions_of(holder, kNow + seconds{190})) == std::vector<Action>{deletion});
  CHECK(about_1(actions_of(holder, kNow + seconds{191})) ==
        std::vector<Action>{
            stop(EndCause::listener_hung, "GitHub gave it a job that it does not start")});
  CHECK(observe(holder, JobStarted{1, "late"}, kNow + seconds{191}).empty());
  CHECK(about_1(actions_of(holder, kNow + seconds{191})) == none());
}

TEST_CASE("a held VM is left alone until its time is over") {
  Vm held = vm(1, Phase::held);
  held.cause = EndCause::finished;
  held.held_until = kNow + minutes{30};
  World holder = world_with(held, 0);
  CHECK(actions_of(holder, kNow + minutes{29}) == none());
  CHECK(actions_of(holder, kNow + minutes{30}) ==
        std::vector<Action>{Stop{1, seconds{15}, EndCause::finished, ""}});
  holder.draining = true;
  CHECK(actions_of(holder, kNow).size() == 1);
}

TEST_CASE("a VM is held when its job has failed and its profile says so") {
  Config settings = config();
  settings.profiles[0].hold_on_failure = HoldSettings{minutes{30}, 1};
  const auto exits = [](const char* result) {
    World holder = world_with(with_runner(vm(1, Phase::running)), 0);
    holder.vms.at(1).job = "build";
    CHECK(observe(holder, JobFinished{1, result}, kNow).empty());
    CHECK(observe(holder, RunnerExited{1, 0}, kNow).empty());
    return holder;
  };
  World holder = exits("Failed");
  CHECK(plan(settings, holder, kNow).actions.front() == Action{Hold{1, minutes{30}}});
  CHECK(observe(holder, Dispatched{Hold{1, minutes{30}}}, kNow).empty());
  CHECK(holder.vms.at(1).phase == Phase::held);
  CHECK(holder.vms.at(1).cause == EndCause::finished);
  // Its runner goes, and it stays.
  CHECK(std::get<Deregister>(plan(settings, holder, kNow).actions.front()).runner.id == 5);
  CHECK(observe(holder, Deregistered{1}, kNow).empty());
  CHECK(holder.vms.at(1).phase == Phase::held);
  CHECK(plan(settings, holder, kNow + minutes{29}).actions.empty());
  // It is ended once, and not held again.
  CHECK(observe(holder, KillRequested{1, "root"}, kNow).empty());
  CHECK(std::holds_alternative<Stop>(plan(settings, holder, kNow).actions.front()));
  for (const char* result : {"Succeeded", "Canceled", "SucceededWithIssues"}) {
    CHECK(std::holds_alternative<Stop>(plan(settings, exits(result), kNow).actions.front()));
  }
  settings.profiles[0].hold_on_failure.max = 0;
  CHECK(std::holds_alternative<Stop>(plan(settings, exits("Failed"), kNow).actions.front()));
}

TEST_CASE("no more VMs of a profile are held at once than it allows") {
  Config settings = config();
  settings.profiles[0].hold_on_failure = HoldSettings{minutes{30}, 2};
  World holder = world_with(vm(1, Phase::held), 0);
  holder.vms.at(1).held_until = kNow + minutes{10};
  for (const Slot slot : {2U, 3U}) {
    Vm failed = vm(slot, Phase::ending);
    failed.job = "build";
    failed.result = "Failed";
    failed.exit_code = 0;
    failed.cause = EndCause::finished;
    holder.vms[slot] = failed;
  }
  std::size_t holds = 0;
  for (const Action& action : plan(settings, holder, kNow).actions) {
    holds += std::holds_alternative<Hold>(action) ? 1U : 0U;
  }
  CHECK(holds == 1);
}

TEST_CASE("an operator's hold outlives a job that succeeds, and can be taken back") {
  World holder = world_with(vm(1, Phase::running), 0);
  holder.vms.at(1).job = "build";
  CHECK(observe(holder, HoldRequested{1, minutes{5}}, kNow).empty());
  CHECK(observe(holder, JobFinished{1, "Succeeded"}, kNow).empty());
  CHECK(observe(holder, RunnerExited{1, 0}, kNow).empty());
  CHECK(act(holder) == std::vector<Action>{Hold{1, minutes{5}}});
  CHECK(holder.vms.at(1).held_until == kNow + minutes{5});
  // Longer, then at once.
  CHECK(observe(holder, HoldRequested{1, minutes{60}}, kNow).empty());
  CHECK(act(holder) == std::vector<Action>{Hold{1, minutes{60}}});
  CHECK(holder.vms.at(1).held_until == kNow + minutes{60});
  CHECK(observe(holder, HoldRequested{1, Duration{0}}, kNow).empty());
  CHECK(act(holder).front() ==
        Action{Stop{1, seconds{15}, EndCause::finished, "the runner exited with code 0"}});
  CHECK(!observe(holder, HoldRequested{1, minutes{5}}, kNow).empty());
  World booting = world_with(vm(1, Phase::booting), 0);
  CHECK(!observe(booting, HoldRequested{1, minutes{5}}, kNow).empty());
}

TEST_CASE("what troubled a VM explains its bad end, and only that") {
  const auto end = [](const char* result, const Event& trouble) {
    World holder = world_with(vm(1, Phase::running), 0);
    holder.vms.at(1).job = "build";
    (void)observe(holder, trouble, kNow);
    (void)observe(holder, JobFinished{1, result}, kNow);
    (void)observe(holder, RunnerExited{1, 0}, kNow);
    return std::pair(holder.vms.at(1).cause, holder.vms.at(1).cause_text);
  };
  const VmTroubled killed{1, EndCause::guest_oom, "the kernel killed cc1plus"};
  CHECK(end("Failed", killed) == std::pair(EndCause::guest_oom, killed.text));
  CHECK(end("Succeeded", killed).first == EndCause::finished);
  CHECK(end("Canceled", killed).first == EndCause::finished);

  World holder = world_with(vm(1, Phase::running), 0);
  CHECK(observe(holder, VmTroubled{1, EndCause::network, "no route"}, kNow).empty());
  CHECK(observe(holder, VmTroubled{1, EndCause::none, ""}, kNow).empty());
  CHECK(holder.vms.at(1).trouble == EndCause::none);
  CHECK(observe(holder, VmTroubled{1, EndCause::disk_full, "full"}, kNow).empty());
  CHECK(!observe(holder, VmTroubled{1, EndCause::network, "no route"}, kNow).empty());
  CHECK(!observe(holder, VmTroubled{1, EndCause::none, ""}, kNow).empty());
  CHECK(observe(holder, VmExited{1, "guest-reset", EndCause::vm_died}, kNow).empty());
  CHECK(holder.vms.at(1).cause == EndCause::disk_full);
  holder = world_with(vm(1, Phase::running), 0);
  CHECK(observe(holder, killed, kNow).empty());
  CHECK(observe(holder, VmExited{1, "", EndCause::host_oom}, kNow).empty());
  CHECK(holder.vms.at(1).cause == EndCause::host_oom);
}

TEST_CASE("a finished VM gets time to reboot by itself, others less") {
  World holder = world_with(ending(EndCause::finished), 0);
  CHECK(act(holder) == std::vector<Action>{Stop{1, seconds{15}, EndCause::finished, ""}});
  CHECK(holder.vms.at(1).kill_at == kNow + seconds{15});
  holder = world_with(ending(EndCause::killed), 0);
  CHECK(act(holder) == std::vector<Action>{stop(EndCause::killed, "")});
  CHECK(actions_of(holder) == none());
}

TEST_CASE("a VM that does not end within the grace is killed, and again") {
  World holder = world_with(ending(EndCause::killed), 0);
  (void)act(holder);
  CHECK(plan(config(), holder, kNow).wake_at == kNow + seconds{10});
  CHECK(actions_of(holder, kNow + milliseconds{9'999}) == none());
  CHECK(act(holder, kNow + seconds{10}) == std::vector<Action>{Kill{1}});
  CHECK(act(holder, kNow + seconds{19}) == none());
  CHECK(act(holder, kNow + seconds{20}) == std::vector<Action>{Kill{1}});
}

TEST_CASE("a VM that could not be stopped is killed at once") {
  World holder = world_with(ending(EndCause::killed), 0);
  (void)act(holder);
  (void)observe(holder, StopFailed{1}, kNow);
  CHECK(act(holder) == std::vector<Action>{Kill{1}});
}

TEST_CASE("an ended VM is removed, then deregistered, then forgotten") {
  World holder = world_with(with_runner(ending(EndCause::finished)), 0);
  (void)observe(holder, VmExited{1, ""}, kNow);
  CHECK(act(holder) == std::vector<Action>{Remove{1}});
  CHECK(actions_of(holder) == none());
  (void)observe(holder, Removed{1}, kNow);
  CHECK(used(holder) == Capacity{});
  CHECK(act(holder) == std::vector<Action>{deregister(EndCause::finished)});
  CHECK(actions_of(holder) == none());
  (void)observe(holder, Deregistered{1}, kNow);
  CHECK(holder.vms.empty());
}

TEST_CASE("removal is retried for ever, ever more slowly") {
  World holder = world_with(vm(1, Phase::removing), 0);
  Instant now = kNow;
  Duration waited{};
  for (int n = 0; n < 12; ++n) {
    REQUIRE(act(holder, now) == std::vector<Action>{Remove{1}});
    (void)observe(holder, RemoveFailed{1, kError}, now);
    CHECK(actions_of(holder, now) == none());
    waited = holder.vms.at(1).remove_retry_at - now;
    now = holder.vms.at(1).remove_retry_at;
  }
  CHECK(waited >= seconds{30});
  CHECK(waited <= seconds{60});
}

TEST_CASE("a registration that cannot be deleted is left to the sweep after ten tries") {
  Vm removed = with_runner(vm(1, Phase::removing));
  removed.removed = true;
  World holder = world_with(removed, 0);
  Instant now = kNow;
  for (int n = 0; n < 10; ++n) {
    REQUIRE(act(holder, now).size() == 1);
    (void)observe(holder, DeregisterFailed{1, kError, now}, now);
    now += seconds{1};
  }
  CHECK(holder.vms.empty());
}

TEST_CASE("a VM on which an operator and a deadline agree gets one action") {
  World holder = world_with(vm(1, Phase::booting));
  (void)observe(holder, KillRequested{1, "root"}, kNow);
  CHECK(act(holder, kNow + minutes{10}).front() == Action{stop(EndCause::killed, "by root")});
  CHECK(holder.vms.at(1).cause == EndCause::killed);
}

TEST_CASE("an idle world wakes within a minute") {
  CHECK(plan(config(), world(), kNow).wake_at == kNow + seconds{60});
}

TEST_CASE("the earliest deadline is the time to wake") {
  World holder = world_with(vm(1, Phase::preparing), 1);
  put(holder, vm(2, Phase::running));
  CHECK(plan(config(), holder, kNow + seconds{30}).wake_at == kNow + seconds{60});
}

}  // namespace mvr::core::test
