#include "simulation.h"

#include <algorithm>
#include <sstream>
#include <utility>

namespace mvr::sim {
namespace {

constexpr std::size_t kLogged = 50;
constexpr Duration kSecond{1'000};
constexpr Duration kMinute{60'000};

const std::vector<std::string>& scopes() {
  static const std::vector<std::string> kScopes{"octo/app", "acme"};
  return kScopes;
}

core::Profile profile(std::string name, core::Resources size, std::uint32_t max) {
  core::Profile made;
  made.name = std::move(name);
  made.labels = {made.name};
  made.size = size;
  made.max = max;
  made.limits.boot = kMinute;
  made.limits.listen = 3 * kMinute;
  made.limits.job = 10 * kMinute;
  return made;
}

core::Config make_config() {
  core::Config config;
  config.host.id = "sim";
  config.network.subnet = "10.90.0.0/24";
  config.instance = "mvr";
  core::Profile flex = profile("flex", {gib(1), 1, gib(4)}, 3);
  flex.labels = {"flex-{cpus}cpu-{memory}gb"};
  flex.most = core::Resources{gib(8), 4, gib(4)};
  flex.priority = 2;
  core::Profile small = profile("small", {gib(1), 1, gib(4)}, 0);
  small.warm = 1;
  small.warm_max_age = 20 * kMinute;
  config.profiles = {small, profile("large", {gib(4), 2, gib(16)}, 2),
                     profile("huge", {gib(64), 32, gib(16)}, 0), flex};
  core::Scope repository;
  repository.owner = "octo";
  repository.repository = "app";
  repository.max = 4;
  core::Scope organisation;
  organisation.kind = core::ScopeKind::organization;
  organisation.owner = "acme";
  organisation.max_per_repo = 3;
  config.github.scopes = {repository, organisation};
  config.scheduling.weights["acme/b"] = 2;
  return config;
}

core::Capacity full_capacity() { return core::Capacity{gib(9), 8, gib(100), 7}; }

bool is_within(const core::Capacity& used, const core::Capacity& all) {
  return used.memory <= all.memory && used.vcpus <= all.vcpus && used.disk <= all.disk &&
         used.vms <= all.vms;
}

}  // namespace

Simulation::Simulation(std::uint64_t seed)
    : seed_(seed), config_(make_config()), stage_(seed), github_(stage_), host_(stage_, github_) {
  stage_.deliver = [this](const core::Event& event) { return deliver(event); };
  stage_.violation = [this](const char* what) { violation(what); };
  world_.seed = seed;
  deliver(core::CapacityMeasured{full_capacity()});
  for (const std::string& scope : scopes()) {
    poll(scope);
    list_runners(scope);
  }
}

std::string Simulation::run(std::uint32_t ticks) {
  while (tick_ < ticks && failure_.empty()) {
    world_happens();
    tick();
  }
  if (failure_.empty()) settle();
  return failure_;
}

void Simulation::tick() {
  ++tick_;
  advance();
  stage_.run_due();
  github_.assign();
  plan_and_perform();
  check_world();
}

// To the next thing that happens, or to the planned wake-up: nothing else would wake the daemon.
void Simulation::advance() {
  Instant next = stage_.now + kMinute;
  if (wake_at_) next = std::min(next, *wake_at_);
  if (const auto due = stage_.next_due()) next = std::min(next, *due);
  if (stage_.fault(50)) next += stage_.rng.between(0, 3'000);  // the host is slow
  stage_.now = std::max(stage_.now, next);
}

void Simulation::poll(const std::string& scope) {
  const Duration lag = stage_.faults ? stage_.rng.between(0, 8'000) : Duration::zero();
  // Some repositories were asked before others.
  const Duration older = stage_.faults ? stage_.rng.between(0, 2'000) : Duration::zero();
  core::DemandSeen seen{scope, stage_.now - older, github_.listing(scope, lag), {}};
  seen.newest = stage_.now;
  const bool fails = stage_.faults && (is_discovery_down_ || stage_.fault(50));
  // Answers may overtake each other, and come twice.
  stage_.after(stage_.rng.between(100, 4'000), [this, seen, fails] {
    if (fails) {
      const Error error{Errc::unavailable, "simulated outage"};
      (void)deliver(core::DiscoveryFailed{seen.scope, error, stage_.now + 10 * kSecond});
    } else {
      (void)deliver(seen);
    }
  });
  stage_.after(stage_.rng.between(2'000, 12'000), [this, scope] { poll(scope); });
}

void Simulation::list_runners(const std::string& scope) {
  if (!stage_.fault(100)) {
    const core::RunnersSeen seen{scope, stage_.now, github_.list_runners(scope)};
    stage_.after(stage_.rng.between(50, 5'000), [this, seen] { (void)deliver(seen); });
    github_.sweep(world_);
  }
  stage_.after(stage_.rng.between(20'000, 60'000), [this, scope] { list_runners(scope); });
}

void Simulation::queue_job() {
  Prng& rng = stage_.rng;
  const bool is_long = stage_.fault(30);
  const Duration length = is_long ? 11 * kMinute : rng.between(1'000, 90'000);
  const std::uint64_t kind = rng.below(20);
  const char* name = kind == 0  ? "huge"
                     : kind < 5 ? "large"
                     : kind < 8 ? "flex-2cpu-3gb"
                     : kind < 9 ? "flex-4cpu-8gb"
                                : "small";
  const std::string& scope = scopes()[rng.below(scopes().size())];
  const std::string repository =
      scope == "acme" ? (rng.below(3) == 0 ? "acme/a" : "acme/b") : scope;
  github_.add_job(scope, repository, name, length);
}

// A reload: other limits, more or no warm VMs, a profile that is gone for a while.
void Simulation::reload() {
  config_ = make_config();
  const std::uint64_t kind = stage_.rng.below(4);
  if (kind == 0) config_.profiles.front().warm = 3;
  if (kind == 1) config_.profiles.front().warm = 0;
  if (kind == 2) config_.profiles.pop_back();
  for (core::Profile& each : config_.profiles) each.limits.job += kind * kMinute;
}

// What the host and its operator do.
void Simulation::host_happens() {
  Prng& rng = stage_.rng;
  if (stage_.fault(4)) reload();
  if (stage_.fault(6)) deliver(core::PressureChanged{rng.below(2) == 0 ? "memory is short" : ""});
  if (!world_.pressure.empty() && stage_.fault(50)) deliver(core::PressureChanged{});
  if (stage_.fault(6)) deliver(core::ProfileChecked{"small", "", rng.below(2) == 0 ? "a" : "b"});
  if (stage_.fault(20)) {
    const Duration typical = rng.between(1'000, 900'000);
    deliver(core::Learned{{core::Estimate{"small", "", "", "", typical}}});
    deliver(core::Learned{{core::Estimate{"", "acme/b", "ci", "job", typical / 2}}});
  }
  if (stage_.fault(2)) {
    deliver(core::DrainChanged{true, stage_.now + rng.between(1'000, 300'000)});
  }
  // Everything stands still for a while; the monotonic clock does not count a host's sleep.
  if (stage_.fault(2)) stage_.now += rng.between(1'000, 20'000);
}

void Simulation::world_happens() {
  Prng& rng = stage_.rng;
  if (rng.below(12) == 0 && github_.queued() < 12) queue_job();
  host_happens();
  if (stage_.fault(10)) github_.lose_job();
  if (stage_.fault(10)) github_.drop_jobs("huge");  // their authors give up
  if (stage_.fault(15)) host_.add_command();
  if (stage_.fault(4)) host_.cancel_command();
  if (stage_.fault(5)) deliver(core::DrainChanged{!world_.draining, std::nullopt});
  if (world_.draining && stage_.fault(30)) deliver(core::DrainChanged{false, std::nullopt});
  if (stage_.fault(4)) is_discovery_down_ = !is_discovery_down_;
  if (is_discovery_down_ && stage_.fault(20)) is_discovery_down_ = false;
  if (stage_.fault(5))
    deliver(core::ProfileChecked{"large", rng.below(2) == 0 ? "not built" : "", "a"});
  if (stage_.fault(5)) {
    core::Capacity capacity = full_capacity();
    if (rng.below(2) == 0) capacity = core::Capacity{gib(5), 4, gib(60), 4};
    deliver(core::CapacityMeasured{capacity});
  }
  if (stage_.fault(100)) host_.disturb(world_);
  if (stage_.fault(4)) restart_daemon();
  if (stage_.fault(20)) deliver(core::VmExited{900, "of no VM"});
}

void Simulation::restart_daemon() {
  note("daemon restarts", std::nullopt, {});
  const std::vector<core::Leftover> leftovers = host_.crash_daemon(world_);
  const core::Capacity capacity = world_.capacity;
  world_ = core::World{};
  world_.seed = stage_.rng.next();
  world_.capacity = capacity;
  const core::SurveyPlan plan = core::survey(leftovers, stage_.now);
  for (const core::Vm& vm : plan.adopt) deliver(core::Adopted{vm});
  host_.recover(plan);
}

bool Simulation::is_served() const {
  return github_.queued() == 0 && host_.commands() == 0 && world_.vms.empty() &&
         host_.machines() == 0;
}

// Faults off: what is queued must be served, and all must be given back, within a bound.
void Simulation::settle() {
  note("faults off", std::nullopt, {});
  stage_.faults = false;
  is_discovery_down_ = false;
  github_.drop_jobs("huge");
  deliver(core::DrainChanged{false, std::nullopt});
  deliver(core::ProfileChecked{"large", "", "a"});
  deliver(core::PressureChanged{});
  deliver(core::CapacityMeasured{full_capacity()});
  config_ = make_config();
  config_.profiles.front().warm = 0;
  const Instant limit = stage_.now + 180 * kMinute;
  while (failure_.empty() && !is_served()) {
    if (stage_.now > limit) return violation("demand was not served, or a VM not given back");
    tick();
  }
  // GitHub calls a runner busy for a while after its VM died.
  const Instant quiet = stage_.now + 2 * kMinute;
  while (failure_.empty() && stage_.now < quiet) tick();
  // What is left at GitHub are registrations whose answer was lost: the sweep's work.
  github_.sweep(world_);
  if (failure_.empty() && github_.runners() > 0) violation("a runner stays registered");
}

void Simulation::plan_and_perform() {
  const core::Plan plan = core::plan(config_, world_, stage_.now);
  check_plan(plan);
  for (const core::Action& action : plan.actions) {
    check_action(action);
    deliver(core::Dispatched{action});
    note(core::action_name(action), core::slot_of(action), {});
  }
  for (const core::Action& action : core::plan(config_, world_, stage_.now).actions) {
    const auto* launch = std::get_if<core::Launch>(&action);
    violation("planning again adds " + std::string(core::action_name(action)) + " of slot " +
              std::to_string(core::slot_of(action)) +
              (launch == nullptr ? "" : ", " + launch->scope + " " + launch->profile));
  }
  for (const core::Action& action : plan.actions) host_.perform(action);
  wake_at_ = plan.wake_at;
}

void Simulation::check_plan(const core::Plan& plan) {
  if (plan.actions.size() > core::kMaxActions) violation("too many actions");
  if (!plan.wake_at || *plan.wake_at <= stage_.now) violation("wake_at is not in the future");
  std::set<core::Slot> slots;
  bool launches = false;
  core::Capacity used = core::used(world_);
  for (const core::Action& action : plan.actions) {
    if (!slots.insert(core::slot_of(action)).second) violation("two actions on one VM");
    const auto* launch = std::get_if<core::Launch>(&action);
    if (launch == nullptr) continue;
    launches = true;
    used.memory += launch->size.memory;
    used.vcpus += launch->size.vcpus;
    used.disk += launch->size.disk;
    ++used.vms;
  }
  if (launches && world_.draining) violation("a launch while draining");
  if (launches && !world_.pressure.empty()) violation("a launch under pressure");
  if (launches && !is_within(used, world_.capacity)) violation("the capacity is exceeded");
}

void Simulation::check_action(const core::Action& action) {
  const auto vm = world_.vms.find(core::slot_of(action));
  if (const auto* launch = std::get_if<core::Launch>(&action)) {
    ++launches_;
    if (vm != world_.vms.end()) violation("a launch into a used slot");
    if (launch->slot >= world_.capacity.vms) violation("a slot beyond the limit");
    if (!vm_names_.insert(launch->vm).second) violation("a VM name is used twice");
    return;
  }
  if (vm == world_.vms.end()) return violation("an action on no VM");
  if (vm->second.phase == core::Phase::running) check_running(vm->second, action);
}

// Only its own limit, or the deadline of a drain, touches a VM that runs a job.
void Simulation::check_running(const core::Vm& vm, const core::Action& action) {
  const Duration run = stage_.now - vm.since;
  if (std::holds_alternative<core::Warn>(action)) {
    if (vm.warned || run < vm.limits.job * 8 / 10) violation("a warning too soon or twice");
    return;
  }
  const auto* stop = std::get_if<core::Stop>(&action);
  if (stop == nullptr) return violation("a running VM is touched");
  const bool is_limit = stop->cause == core::EndCause::job_timeout && run >= vm.limits.job;
  const bool is_drained = stop->cause == core::EndCause::killed && world_.draining &&
                          world_.drain_deadline && *world_.drain_deadline <= stage_.now;
  if (!is_limit && !is_drained) violation("a running VM is stopped");
}

void Simulation::check_world() {
  std::set<std::string> runners;
  std::map<std::string, std::uint32_t> of_profile;
  std::map<std::string, std::uint32_t> of_scope;
  std::map<std::string, std::uint32_t> of_repository;  // of "acme", as planned
  for (const auto& [slot, vm] : world_.vms) {
    if (slot != vm.slot) violation("a record is under another slot");
    if (vm.runner && !runners.insert(vm.runner->name).second) violation("two VMs have one runner");
    const bool is_over = vm.phase == core::Phase::ending || vm.phase == core::Phase::removing;
    if (is_over != (vm.cause != core::EndCause::none)) violation("an end without a cause");
    if (vm.removed) continue;
    ++of_profile[vm.profile.starts_with("flex") ? "flex" : vm.profile];
    ++of_scope[vm.scope];
    // Which job a VM got is known only later, and may be of another repository.
    if (vm.scope == "acme" && vm.phase < core::Phase::running) ++of_repository[vm.repository];
  }
  for (const core::Profile& each : config_.profiles) {
    if (each.max > 0 && of_profile[each.name] > each.max) violation("over the profile's limit");
  }
  for (const auto& [repository, count] : of_repository) {
    if (count > 3) violation("over the limit of " + repository);
  }
  for (const core::Scope& each : config_.github.scopes) {
    if (each.max > 0 && of_scope[each.id()] > each.max) violation("over the scope's limit");
  }
}

bool Simulation::deliver(const core::Event& event) {
  std::string ignored = core::observe(world_, event, stage_.now);
  const bool is_taken_on = ignored.empty();
  note(core::event_name(event), core::slot_of(event), std::move(ignored));
  const bool is_action = std::holds_alternative<core::Dispatched>(event);
  // Some come twice.
  if (!is_action && stage_.fault(20)) (void)core::observe(world_, event, stage_.now);
  return is_taken_on;
}

void Simulation::note(std::string_view what, std::optional<core::Slot> slot, std::string ignored) {
  if (what == "dispatched") return;  // the action is noted
  log_.push_back(LogLine{tick_, stage_.now, what, slot, std::move(ignored)});
  if (log_.size() > kLogged) log_.pop_front();
}

void Simulation::violation(std::string what) {
  if (failure_.empty()) failure_ = std::move(what);
}

std::string Simulation::report() const {
  std::ostringstream out;
  out << "seed " << seed_ << ", tick " << tick_ << ": " << failure_ << "\n";
  for (const LogLine& line : log_) {
    out << "  " << line.tick << "  " << line.at.time_since_epoch().count() << "  " << line.what;
    if (line.slot) out << " slot " << *line.slot;
    if (!line.ignored.empty()) out << " (" << line.ignored << ")";
    out << "\n";
  }
  for (const auto& [slot, vm] : world_.vms) {
    out << "  vm " << slot << " " << vm.name << " " << core::phase_name(vm.phase) << " since "
        << vm.since.time_since_epoch().count() << " cause " << core::cause_name(vm.cause)
        << (vm.removed ? " removed" : "") << (vm.runner ? " runner" : "") << "\n";
  }
  out << "  queued " << github_.queued() << ", commands " << host_.commands() << ", machines "
      << host_.machines() << "\n";
  for (const core::Wait& wait : core::plan(config_, world_, stage_.now).waits) {
    out << "  wait " << wait.scope << " " << wait.profile << " " << wait.jobs << " "
        << core::reason_text(wait.reason, stage_.now) << "\n";
  }
  return out.str();
}

}  // namespace mvr::sim
