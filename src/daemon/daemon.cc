#include "daemon/daemon.h"

#include <sys/random.h>

#include <csignal>

#include <malloc.h>

#include "base/overloaded.h"
#include "base/text.h"
#include "core/names.h"
#include "daemon/journal.h"
#include "daemon/survey_host.h"
#include "github/sweep.h"
#include "sys/files.h"
#include "sys/host.h"

namespace mvr::daemon {
namespace {

constexpr Duration kHousekeeping{5'000};
constexpr int kMaxTurns = 64;  // plans in one wake-up; more would mean that planning never settles

std::uint64_t random_seed() {
  std::uint64_t seed = 0;
  while (::getrandom(&seed, sizeof seed, 0) != static_cast<ssize_t>(sizeof seed)) {
  }
  return seed;
}

}  // namespace

Daemon::Daemon(core::Config config, DaemonOptions options)
    : config_(std::move(config)), options_(options), narrator_(config_) {
  world_.seed = random_seed();
}

Daemon::~Daemon() {
  // Members that call back into others go first.
  discovery_.reset();
  github_.reset();
  control_.reset();
  performer_.reset();
}

Result<std::unique_ptr<Daemon>> Daemon::start(core::Config config, DaemonOptions options) {
  std::unique_ptr<Daemon> daemon(new Daemon(std::move(config), options));
  TRY(daemon->open_host());
  TRY(daemon->open_github());
  TRY(daemon->take_over());
  TRY_ASSIGN(daemon->control_, Control::open(*daemon));
  if (sys::exists(daemon->draining_mark())) daemon->post(core::DrainChanged{true});
  daemon->measure();
  daemon->check_images();
  daemon->warm_up();
  Daemon* raw = daemon.get();
  if (daemon->github_) {
    daemon->sweep_ghosts();
    daemon->discovery_ =
        github::make_poll_discovery(*daemon->loop_, daemon->config_, *daemon->github_);
    daemon->discovery_->start([raw](core::Event event) { raw->post(std::move(event)); });
  }
  return daemon;
}

Result<void> Daemon::open_host() {
  TRY(sys::make_directories(config_.state_dir, 0755));
  auto lock = sys::lock_file(core::host_names(config_).lock, true);
  if (!lock && lock.error().code == Errc::busy) {
    return fail(Errc::busy, "another mvrunner daemon uses " + config_.state_dir +
                                ": stop it, or set another state_dir");
  }
  TRY_ASSIGN(lock_, std::move(lock));
  TRY_ASSIGN(loop_, sys::Loop::create());
  TRY(loop_->on_signals({SIGTERM, SIGINT, SIGPIPE}, [this](int number) {
    if (number == SIGPIPE) return;
    log(Level::info, "stopping",
        {{"signal", std::to_string(number)},
         {"vms_left_running", std::to_string(world_.vms.size())}});
    stop_requested_ = true;
  }));
  TRY_ASSIGN(room_, MachineRoom::open(config_));
  TRY_ASSIGN(history_, history::History::open(config_.state_dir + "/history.sqlite"));
  return {};
}

Result<void> Daemon::open_github() {
  if (config_.github.scopes.empty()) return {};
  TRY_ASSIGN(Secret token, github::load_token(config_.github));
  TRY_ASSIGN(github_, github::Client::create(*loop_, config_.github, std::move(token)));
  return {};
}

// Adopts what lives; what does not becomes a record in phase removing, so that the plan erases it
// by the same road as any other VM.
Result<void> Daemon::take_over() {
  TRY_ASSIGN(const auto leftovers, survey_host(config_));
  const Instant now = loop_->now();
  const core::SurveyPlan found = core::survey(leftovers, now);
  std::vector<core::Slot> slots;
  for (const auto& vm : found.adopt) slots.push_back(vm.slot);
  TRY_ASSIGN(Network network, Network::up(config_, slots));
  network_ = std::make_unique<Network>(std::move(network));
  TRY_ASSIGN(resolver_, Resolver::start(*loop_, config_));
  performer_ = std::make_unique<Performer>(
      Performer::Parts{*loop_, config_, *room_, *network_, commands_, github_.get()}, make_hooks());
  for (const auto& leftover : leftovers) take_over_one(leftover, found);
  return {};
}

void Daemon::take_over_one(const core::Leftover& leftover, const core::SurveyPlan& found) {
  core::Vm record;
  for (const auto& vm : found.adopt) {
    if (vm.slot == leftover.slot) record = vm;
  }
  const bool adopt = !record.name.empty();
  if (adopt) {
    auto adopted = performer_->adopt(*leftover.saved);
    if (adopted) {
      log(Level::info, "vm_adopted",
          {{"vm", record.name},
           {"phase", std::string(core::phase_name(record.phase))},
           {"job", record.job}});
      return post(core::Adopted{record});
    }
    log(Level::warn, "vm_not_adopted", {{"vm", record.name}, {"error", adopted.error().what}});
  }
  if (leftover.saved) record = leftover.saved->vm;
  record.slot = leftover.slot;
  record.phase = core::Phase::removing;
  record.since = loop_->now();
  if (record.cause == core::EndCause::none) record.cause = core::EndCause::vm_died;
  if (record.cause_text.empty()) record.cause_text = "it had ended when the daemon started";
  log(Level::info, "leftover_erased", {{"slot", std::to_string(record.slot)}, {"vm", record.name}});
  post(core::Adopted{record});
}

// Runners of ours at GitHub that belong to no VM here: registered, then lost in a crash.
void Daemon::sweep_ghosts() {
  const auto is_live = [this](const std::string& name) {
    for (const auto& [slot, vm] : world_.vms) {
      if (vm.in_flight.jit || (vm.runner && vm.runner->name == name)) return true;
    }
    return false;
  };
  for (const auto& scope : config_.github.scopes) {
    github::sweep_ghosts(
        *github_, scope, config_.host.id, is_live,
        [id = scope.id()](Result<github::SweepReport> done) {
          if (!done)
            return log(Level::warn, "ghost_sweep_failed",
                       {{"scope", id}, {"error", done.error().what}});
          for (const auto& runner : done->deleted) {
            log(Level::info, "ghost_runner_deleted", {{"scope", id}, {"runner", runner.name}});
          }
          for (const auto& [runner, error] : done->failed) {
            log(Level::warn, "ghost_runner_kept",
                {{"scope", id}, {"runner", runner.name}, {"error", error.what}});
          }
        });
  }
}

VmHooks Daemon::make_hooks() {
  VmHooks hooks;
  hooks.report = [this](core::Event event) { post(std::move(event)); };
  hooks.output = [this](core::Slot slot, const channel::Output& output) {
    if (CommandRequest* request = commands_.find(slot); request != nullptr) {
      request->on_output(output.stream, output.data);
    }
  };
  hooks.key_authorized = [this](core::Slot slot, const channel::KeyAuthorized& key) {
    control_->key_authorized(slot, key);
  };
  hooks.refused = [this](core::Slot slot, const std::string& what) {
    const auto vm = world_.vms.find(slot);
    if (vm == world_.vms.end()) return;
    log(Level::warn, "agent_reports", {{"vm", vm->second.name}, {"text", what}});
    if (control_->key_refused(slot, what)) return;
    post(core::AgentFailed{slot, what});
  };
  return hooks;
}

Result<void> Daemon::run() {
  turn();
  log(Level::info, "started",
      {{"version", MVR_VERSION},
       {"host", config_.host.id},
       {"memory", format_bytes(world_.capacity.memory)},
       {"vcpus", std::to_string(world_.capacity.vcpus)},
       {"profiles", std::to_string(config_.profiles.size())},
       {"scopes", std::to_string(config_.github.scopes.size())}});
  while (!stop_requested_ && !is_done()) {
    TRY(loop_->run_once());
    turn();
  }
  if (world_.vms.empty()) leave_host();
  return {};
}

// No VM needs what all share: the host is left as it was found.
void Daemon::leave_host() {
  resolver_.reset();
  auto down = Network::down(config_);
  if (down && room_->cgroups()) down = room_->cgroups()->remove_self();
  if (!down) log(Level::warn, "host_not_left_clean", {{"error", down.error().what}});
}

bool Daemon::is_done() const {
  return options_.exit_when_idle && was_busy_ && commands_.empty() && world_.vms.empty() &&
         control_->idle();
}

void Daemon::turn() {
  for (int round = 0; round < kMaxTurns; ++round) {
    while (!inbox_.empty()) {
      const core::Event event = std::move(inbox_.front());
      inbox_.pop_front();
      fold(event);
    }
    plan_ = core::plan(config_, world_, loop_->now());
    for (const auto& action : plan_.actions) {
      fold(core::Dispatched{action});
      performer_->perform(action, world_);
    }
    if (plan_.actions.empty() && inbox_.empty()) break;
  }
  performer_->save(world_);
  was_busy_ = was_busy_ || !commands_.empty();
  control_->flush();
  arm();
}

void Daemon::fold(const core::Event& event) {
  const auto slot = core::slot_of(event);
  std::optional<core::Vm> before;
  if (slot) {
    if (const auto it = world_.vms.find(*slot); it != world_.vms.end()) before = it->second;
  }
  narrator_.before(event, world_);
  const std::string ignored = core::observe(world_, event, loop_->now());
  if (!ignored.empty()) {
    log(Level::debug, "event_ignored",
        {{"what", std::string(core::event_name(event))}, {"why", ignored}});
    return;
  }
  if (std::holds_alternative<core::DrainChanged>(event)) keep_draining(world_.draining);
  if (!before) return;
  const auto it = world_.vms.find(before->slot);
  const core::Vm& after = it == world_.vms.end() ? *before : it->second;
  narrator_.after(event, *before, after, loop_->now());
  serve_command(event, *before, after);
  const bool removed = std::holds_alternative<core::Removed>(event);
  if (!removed) return;
  if (auto recorded = history_->record(narrator_.finished(after)); !recorded) {
    log(Level::warn, "history_not_written", {{"vm", after.name}, {"error", recorded.error().what}});
  }
}

// Tells the client of a one-off command what became of it.
void Daemon::serve_command(const core::Event& event, const core::Vm& before,
                           const core::Vm& after) {
  if (after.scope != core::kCommandScope) return;
  if (std::holds_alternative<core::JobStarted>(event)) {
    commands_.mark_started(after.slot, after.name);
    return commands_changed();
  }
  const bool ended = before.phase < core::Phase::ending && after.phase >= core::Phase::ending;
  if (!ended) return;
  // A VM that failed before it got its command takes the oldest waiting one down with it: the
  // person at the terminal learns why instead of waiting for the back-off.
  const bool failed =
      after.cause != core::EndCause::cancelled && after.cause != core::EndCause::unused;
  if (failed) (void)commands_.assign(after.profile, after.slot);
  const std::string why = std::string(core::cause_name(after.cause)) +
                          (after.cause_text.empty() ? "" : ": " + after.cause_text);
  commands_.finish(after.slot, after.exit_code, why);
  commands_changed();
}

// Draining outlives the daemon: a host that is being emptied stays so over a restart.
std::string Daemon::draining_mark() const { return config_.state_dir + "/draining"; }

void Daemon::keep_draining(bool draining) {
  auto kept = draining ? sys::write_file_atomic(draining_mark(), "", 0600)
                       : sys::remove_file(draining_mark());
  if (!kept) log(Level::error, "draining_not_saved", {{"error", kept.error().what}});
  log(Level::info, draining ? "draining" : "drain_ended",
      {{"vms", std::to_string(world_.vms.size())}});
}

void Daemon::measure() {
  auto facts = sys::host_facts();
  auto disk = sys::disk_space(config_.state_dir);
  if (!facts || !disk) {
    log(Level::warn, "host_not_measured",
        {{"error", facts ? disk.error().what : facts.error().what}});
    return;
  }
  Bytes scratch;
  for (const auto& [slot, vm] : world_.vms) {
    scratch += sys::allocated_size(core::slot_names(config_, slot).scratch);
  }
  core::Capacity capacity;
  capacity.memory = config_.host.memory.value_or(facts->memory) - config_.host.reserve_memory;
  const double cpus = static_cast<double>(config_.host.cpus.value_or(facts->cpus));
  capacity.vcpus = static_cast<std::uint32_t>(cpus * config_.host.cpu_overcommit);
  capacity.disk = std::min(config_.host.disk.value_or(disk->free + scratch), disk->free + scratch) -
                  config_.host.reserve_disk;
  capacity.vms = config_.host.max_vms;
  if (capacity != world_.capacity) post(core::CapacityMeasured{capacity});
}

void Daemon::check_images() {
  for (const auto& profile : config_.profiles) {
    const std::string why = room_->why_not(profile);
    const auto known = world_.missing_images.find(profile.name);
    const std::string before = known == world_.missing_images.end() ? "" : known->second;
    if (why == before) continue;
    if (!why.empty())
      log(Level::warn, "profile_cannot_boot", {{"profile", profile.name}, {"why", why}});
    post(core::ImageMissing{profile.name, why});
  }
}

// The first use of a kernel makes its initramfs and probes the accelerator, which takes seconds,
// and the first use of a disk size formats a template: now, not when a job waits.
void Daemon::warm_up() {
  for (const auto& profile : config_.profiles) {
    if (!room_->why_not(profile).empty()) continue;  // said by check_images()
    if (auto ready = room_->kernel(profile.kernel); !ready) {
      log(Level::error, "kernel_not_ready",
          {{"profile", profile.name}, {"error", ready.error().what}});
    }
    if (auto blank = room_->scratch_template(profile.size.disk); !blank) {
      log(Level::error, "scratch_not_ready",
          {{"profile", profile.name}, {"error", blank.error().what}});
    }
  }
  (void)::malloc_trim(0);  // unpacked kernel modules: some 10 MiB the daemon would keep for good
}

void Daemon::arm() {
  if (plan_.wake_at) wake_ = loop_->call_at(*plan_.wake_at, [] {});
  if (housekeeping_due_ > loop_->now()) return;
  housekeeping_due_ = loop_->now() + kHousekeeping;
  housekeeping_ = loop_->call_at(housekeeping_due_, [this] {
    measure();
    check_images();
    performer_->bound_logs();
  });
}

}  // namespace mvr::daemon
