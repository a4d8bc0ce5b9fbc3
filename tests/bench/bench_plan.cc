// What deciding costs, and what the decisions are worth: plan() on a large world, a replay of
// 100,000 jobs, and the waits of three mixes of jobs beside what others would do. Needs no root.
#include <array>
#include <ctime>
#include <functional>
#include <iomanip>
#include <iostream>

#include "core/plan.h"
#include "core/replay.h"
#include "mixes.h"
#include "policies.h"

namespace mvr::bench {
namespace {

constexpr std::size_t kVms = 1'000;
constexpr std::size_t kQueued = 10'000;
constexpr std::size_t kRepositories = 50;
constexpr Instant kNow{Duration{100'000'000}};

// Of this process on a CPU: what else the machine does counts little.
double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double microseconds(int times, const std::function<void()>& what) {
  what();  // warms caches
  const double start = cpu_seconds();
  for (int n = 0; n < times; ++n) what();
  return (cpu_seconds() - start) * 1e6 / times;
}

// Mostly running; every 20th is on its way in or out.
core::Phase phase_of(std::size_t n) {
  constexpr std::array kOthers = {core::Phase::booting, core::Phase::claiming,
                                  core::Phase::listening, core::Phase::ending,
                                  core::Phase::removing};
  return n % 4 == 0 ? kOthers.at(n / 4 % kOthers.size()) : core::Phase::running;
}

core::Vm vm_of(const core::Config& config, std::size_t n) {
  const core::Profile& profile = config.profiles[n % config.profiles.size()];
  core::Vm vm;
  vm.slot = static_cast<core::Slot>(n);
  vm.phase = phase_of(n);
  vm.name = profile.name + "-abcdef";
  vm.profile = profile.name;
  vm.scope = "octo";
  vm.size = profile.size;
  vm.limits = profile.limits;
  vm.origin = "sha256:0123456789abcdef0123456789abcdef";
  vm.repository = "octo/repository-" + std::to_string(n % kRepositories);
  vm.workflow = "continuous integration";
  vm.created = kNow - Duration{60'000};
  vm.since = kNow - Duration{static_cast<std::int64_t>(n) * 10};
  vm.runner = core::Runner{static_cast<std::int64_t>(n) + 1, "mv-bench-0123abcd"};
  vm.jit_ready = vm.phase == core::Phase::booting;
  if (vm.phase == core::Phase::running) vm.job = "build and test";
  if (vm.phase == core::Phase::ending) vm.kill_at = kNow + Duration{10'000};
  if (vm.phase == core::Phase::removing) vm.in_flight.remove = true;
  return vm;
}

core::World large_world(const core::Config& config) {
  core::World world;
  for (std::size_t n = 0; n < kVms; ++n) world.vms[static_cast<core::Slot>(n)] = vm_of(config, n);
  core::ScopeState& scope = world.scopes["octo"];
  scope.as_of = kNow;
  std::vector<std::vector<core::JobHint>> jobs(config.profiles.size());
  for (std::size_t n = 0; n < kQueued; ++n) {
    core::JobHint job;
    job.id = static_cast<std::int64_t>(n);
    job.repository = "octo/repository-" + std::to_string(n * 7 % kRepositories);
    job.workflow = "continuous integration";
    job.name = "build and test";
    job.created = WallTime{Duration{static_cast<std::int64_t>(n) * 100}};
    job.seen = kNow - Duration{static_cast<std::int64_t>(kQueued - n) * 100};
    jobs[n % jobs.size()].push_back(job);
  }
  for (std::size_t n = 0; n < jobs.size(); ++n) {
    scope.demands.push_back(core::Demand{config.profiles[n].name, jobs[n], {}});
  }
  for (std::size_t n = 0; n < 2'000; ++n) {
    world.estimates.set("octo/repository\nci\n" + std::to_string(n), Duration{60'000});
  }
  world.capacity = core::used(world);
  world.capacity.vms = 2 * kVms;
  return world;
}

void time_plan(const std::string& name, const core::Config& config, const core::World& world) {
  const core::Plan made = core::plan(config, world, kNow);
  std::size_t launches = 0;
  for (const core::Action& action : made.actions) {
    launches += std::holds_alternative<core::Launch>(action) ? 1U : 0U;
  }
  const double time = microseconds(20, [&] { (void)core::plan(config, world, kNow); });
  std::cout << "  " << std::left << std::setw(44) << name << std::right << std::setw(9) << time
            << " us   (" << launches << " launches, " << made.actions.size() - launches
            << " other actions, " << made.waits.size() << " waits)\n";
}

void time_plans() {
  const core::Config config = mix_config();
  std::cout << "plan(): " << kVms << " VMs, " << kQueued << " queued jobs, " << kRepositories
            << " repositories, " << config.profiles.size() << " profiles\n";
  const core::World full = large_world(config);
  time_plan("saturated", config, full);
  core::World step = full;
  step.vms.begin()->second.in_flight = {};
  step.vms.begin()->second.phase = core::Phase::removing;
  time_plan("saturated, one VM needs a step", config, step);
  core::World room = full;
  room.capacity.memory += gib(20'000);
  room.capacity.vcpus += 10'000;
  room.capacity.disk += gib(100'000);
  time_plan("with room", config, room);
  core::World idle = full;
  idle.scopes["octo"].demands.clear();
  for (auto& [slot, vm] : idle.vms) vm.phase = core::Phase::running;
  time_plan("nothing queued, all running", config, idle);
}

void time_replay(const std::string& name, const Mix& mix) {
  const double start = cpu_seconds();
  const core::Replayed result =
      core::replay(mix.config, mix.capacity, mix.jobs, core::ReplaySettings{});
  const double seconds = cpu_seconds() - start;
  std::cout << "  " << std::left << std::setw(44) << name << std::right << std::setw(9) << seconds
            << " s    (" << mix.jobs.size() << " jobs, " << result.launches << " launches, "
            << result.makespan.count() / 3'600'000 << " h simulated)\n";
}

double seconds_of(Duration duration) { return static_cast<double>(duration.count()) / 1000; }

void print_policy(const std::string& name, const Waits& waits, Duration bound) {
  const core::WaitSummary sum = core::summary(waits);
  std::cout << "  " << std::left << std::setw(26) << name << std::right << std::setw(10)
            << seconds_of(sum.mean) << std::setw(10) << seconds_of(sum.p50) << std::setw(10)
            << seconds_of(sum.p95) << std::setw(10) << seconds_of(sum.p99) << std::setw(10)
            << seconds_of(sum.most) << std::setw(10) << seconds_of(sum.mean) / seconds_of(bound)
            << "\n";
}

void compare(const Mix& mix) {
  const core::ReplaySettings settings;
  core::ReplaySettings blind;
  blind.learns = false;
  const Waits first = first_fit(mix, settings);
  const core::Replayed ours = core::replay(mix.config, mix.capacity, mix.jobs, settings);
  const Duration bound = least_mean_wait(mix, settings, core::summary(first).mean);
  std::cout << mix.name << ": " << mix.jobs.size() << " jobs, " << ours.makespan.count() / 3'600'000
            << " h, memory " << ours.memory_used * 100 << " %, vCPUs " << ours.vcpus_used * 100
            << " % used by mvrunner\n"
            << "  wait in s                       mean       p50       p95       p99       max   "
               "/bound\n";
  print_policy("FIFO, equal slots", fifo_slots(mix, settings), bound);
  print_policy("FIFO, first fit", first, bound);
  print_policy("mvrunner", ours.waits, bound);
  print_policy("mvrunner, not learning",
               core::replay(mix.config, mix.capacity, mix.jobs, blind).waits, bound);
  print_policy("least work first (oracle)", least_work_first(mix, settings), bound);
  std::cout << "  " << std::left << std::setw(26) << "lower bound" << std::right << std::setw(10)
            << seconds_of(bound) << "\n";
}

}  // namespace
}  // namespace mvr::bench

int main() {
  using namespace mvr::bench;
  std::cout << std::fixed << std::setprecision(1);
  time_plans();
  std::cout << "replay()\n" << std::setprecision(2);
  time_replay("steady 70 %", steady(100'000, 70));
  time_replay("steady 80 %", steady(100'000, 80));
  time_replay("steady 90 %", steady(100'000, 90));
  time_replay("steady 95 %", steady(100'000, 95));
  std::cout << std::setprecision(1);
  for (const Mix& mix :
       {steady(4'000, 80), steady(4'000, 95), morning_burst(1'500), few_huge(4'000)}) {
    compare(mix);
  }
  return 0;
}
