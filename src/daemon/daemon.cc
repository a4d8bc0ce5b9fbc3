#include "daemon/daemon.h"

#include <sys/random.h>

#include <algorithm>
#include <csignal>

#include <malloc.h>

#include "base/overloaded.h"
#include "base/text.h"
#include "config/load.h"
#include "core/names.h"
#include "daemon/capacity.h"
#include "daemon/fail_point.h"
#include "daemon/journal.h"
#include "daemon/post_mortem.h"
#include "daemon/pressure.h"
#include "daemon/survey_host.h"
#include "github/clock.h"
#include "sys/files.h"
#include "sys/host.h"

namespace mvr::daemon {
namespace {

constexpr Duration kHousekeeping{5'000};
constexpr Duration kGiveBack{600'000};
constexpr int kMaxTurns = 64;  // plans in one wake-up; more would mean that planning never settles

std::uint64_t random_seed() {
  std::uint64_t seed = 0;
  while (::getrandom(&seed, sizeof seed, 0) != static_cast<ssize_t>(sizeof seed)) {
  }
  return seed;
}

}  // namespace

Daemon::Daemon(core::Config config, DaemonOptions options)
    : config_(std::move(config)),
      options_(options),
      egress_notes_(config_.state_dir),
      narrator_(config_) {
  world_.seed = random_seed();
}

Daemon::~Daemon() {
  // Members that call back into others go first.
  facts_.reset();
  deliveries_.reset();
  webhook_.reset();
  discovery_.reset();
  github_.reset();
  web_.reset();
  control_.reset();
  performer_.reset();
}

Result<std::unique_ptr<Daemon>> Daemon::start(core::Config config, DaemonOptions options) {
  std::unique_ptr<Daemon> daemon(new Daemon(std::move(config), options));
  TRY(daemon->open_host());
  TRY(daemon->open_github());
  TRY(daemon->take_over());
  TRY_ASSIGN(daemon->control_, Control::open(*daemon));
  fail_point("control socket open");
  TRY(daemon->open_web());
  if (daemon->options_.leave) daemon->post(core::DrainChanged{true, std::nullopt});
  daemon->resume_draining();
  daemon->measure();
  daemon->measure_pressure();
  daemon->check_images();
  daemon->learn();
  daemon->warm_up();
  daemon->discover();
  daemon->facts_->resume();
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
  fail_point("locked");
  TRY_ASSIGN(loop_, sys::Loop::create());
  TRY_ASSIGN(sys::Notifier notifier, sys::Notifier::from_environment());
  // The daemon of a `mvrunner run` is nobody's service, whoever started that.
  if (options_.exit_when_idle) notifier = {};
  service_ = std::make_unique<ServiceLink>(*loop_, std::move(notifier));
  releases_ = std::make_unique<ReleaseWatch>(*loop_, [this] { check_images(); });
  upkeep_ = std::make_unique<Upkeep>(*loop_, options_.config_path, config_.state_dir, [this] {
    look_at_release();
    check_images();
  });
  actions_ = std::make_unique<ActionLearner>(config_.state_dir);
  TRY(loop_->on_signals({SIGTERM, SIGINT, SIGPIPE, SIGHUP}, [this](int number) {
    if (number == SIGPIPE) return;
    if (number == SIGHUP && !options_.exit_when_idle) return (void)reload();  // it logs
    log(Level::info, "stopping",
        {{"signal", std::to_string(number)},
         {"vms_left_running", std::to_string(world_.vms.size())}});
    stop_requested_ = true;
  }));
  TRY_ASSIGN(room_, MachineRoom::open(config_));
  fail_point("cgroup of all made");
  TRY_ASSIGN(history_, history::History::open(config_.state_dir + "/history.sqlite"));
  fail_point("history open");
  facts_ = std::make_unique<JobFactFetcher>(*loop_, config_, *history_);
  return {};
}

Result<void> Daemon::open_github() {
  if (config_.github.scopes.empty()) return {};
  TRY_ASSIGN(github::Keyring keyring, github::load_keyring(config_.github));
  TRY_ASSIGN(github_, make_client(config_.github, std::move(keyring)));
  return {};
}

Result<std::unique_ptr<github::Client>> Daemon::make_client(const core::GithubSettings& settings,
                                                            github::Keyring keyring) {
  TRY_ASSIGN(auto client, github::Client::create(*loop_, settings, std::move(keyring)));
  client->on_clock_skew([](Duration offset) {
    log(Level::warn, "clock_skewed", {{"text", github::clock_text(offset)}});
  });
  return client;
}

// Adopts what lives; what does not becomes a record in phase removing, so that the plan erases it
// by the same road as any other VM.
Result<void> Daemon::take_over() {
  TRY_ASSIGN(const auto leftovers, survey_host(config_));
  fail_point("surveyed");
  const Instant now = loop_->now();
  const core::SurveyPlan found = core::survey(leftovers, now);
  std::vector<Guest> guests;
  for (const auto& vm : found.adopt) guests.push_back({vm.slot, vm.egress});
  TRY_ASSIGN(Network network, Network::up(config_, guests));
  network_ = std::make_unique<Network>(std::move(network));
  TRY_ASSIGN(resolver_, Resolver::start(*loop_, ResolverSpec{resolver_arguments(config_), -1, {}}));
  fail_point("resolver started");
  gate_resolvers_ = std::make_unique<GateResolvers>(
      *loop_, *network_, [this](const Gate& gate, const Query& query) { asked(gate, query); });
  TRY(gate_resolvers_->follow(config_));
  if (config_.registry_mirror.enabled) {
    TRY_ASSIGN(mirror_, RegistryMirror::start(*loop_, config_));
    fail_point("registry mirror started");
  }
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
  fail_point("before taking one over");
  const bool adopt = !record.name.empty();
  if (adopt) {
    auto adopted = performer_->adopt(*leftover.saved);
    if (adopted) {
      fail_point("adopted", core::phase_name(record.phase));
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

Reloaded Daemon::reload() {
  service_->reloading();
  Reloaded reloaded = read_again();
  service_->ready();
  return reloaded;
}

Reloaded Daemon::read_again() {
  Reloaded reloaded;
  if (options_.exit_when_idle) {
    reloaded.problems = {"this daemon serves one `mvrunner run` only, and ends after it"};
    return reloaded;
  }
  const auto facts = sys::host_facts();
  config::Loaded loaded = config::load(options_.config_path, facts ? facts->hostname : "host");
  for (const auto& problem : loaded.problems) reloaded.problems.push_back(problem.to_text());
  if (reloaded.problems.empty()) {
    if (auto done = try_reload(std::move(loaded.config), reloaded); !done) {
      reloaded.problems.push_back(options_.config_path + ": " + done.error().what);
    }
  }
  for (const auto& problem : reloaded.problems) {
    log(Level::error, "reload_refused", {{"problem", problem}, {"effect", "nothing changed"}});
  }
  if (!reloaded.problems.empty()) return reloaded;
  log(Level::info, "reloaded", {{"changes", std::to_string(reloaded.changes.size())}});
  for (const auto& change : reloaded.changes) {
    log(change.applied ? Level::info : Level::warn, "config_changed",
        {{"key", change.key}, {"applied", change.applied ? "yes" : "needs a restart"}});
  }
  return reloaded;
}

// All that can fail comes before the first thing that changes. Between turns nothing points into
// the configuration: it is replaced in place.
Result<void> Daemon::try_reload(core::Config config, Reloaded& reloaded) {
  ReloadPlan plan = plan_reload(config_, config);
  const bool has_scopes = !plan.config.github.scopes.empty();
  std::optional<github::Keyring> renewal;
  std::unique_ptr<github::Client> client;
  if (has_scopes && config.github.url == config_.github.url) {
    TRY_ASSIGN(github::Keyring keyring, github::load_keyring(plan.config.github));
    if (github_) {
      renewal = std::move(keyring);
    } else {
      TRY_ASSIGN(client, make_client(plan.config.github, std::move(keyring)));
    }
  }
  TRY_ASSIGN(Secret webhook_secret, github::load_webhook_secret(plan.config.github.webhook));
  TRY(change_policy(plan.config));
  TRY(set_log_level(plan.config.log_level));
  plan.config.trials = std::move(config_.trials);
  config_ = std::move(plan.config);
  reloaded.changes = std::move(plan.changes);
  // Without scopes the client stays: VMs of former ones have runners to delete.
  if (client) {
    github_ = std::move(client);
    performer_->set_github(github_.get());
  } else if (renewal && github_->renew(config_.github, std::move(*renewal))) {
    reloaded.changes.push_back(Change{"a GitHub token or key", true});
  }
  commands_.finish_unserved(config_);
  commands_changed();
  listen(std::move(webhook_secret));
  runners_due_ = loop_->now();
  discover();
  measure();
  check_images();
  warm_up();
  return {};
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
  hooks.stream = [this](core::Slot slot, const channel::FromAgent& message) {
    GuestStreams& streams = control_->streams();
    std::visit(Overloaded{[&](const channel::StreamData& data) { streams.handle(slot, data); },
                          [&](const channel::StreamAck& ack) { streams.handle(slot, ack); },
                          [&](const channel::Close& close) { streams.handle(slot, close); },
                          [](const auto&) {}},
               message);
  };
  hooks.actions = [this](const std::string& vm, const std::vector<ActionRef>& used) {
    if (config_.action_cache.enabled) actions_->note(vm, used, sys::wall_now());
  };
  hooks.launched = [this](Duration host_side) { tally_.launched(host_side); };
  hooks.refused = [this](core::Slot slot, const std::string& what) {
    const auto vm = world_.vms.find(slot);
    if (vm == world_.vms.end()) return;
    log(Level::warn, "agent_reports", {{"vm", vm->second.name}, {"text", what}});
    if (control_->key_refused(slot, what)) return;
    post(core::AgentFailed{slot, what, cause_of_failure(what)});
  };
  return hooks;
}

Result<void> Daemon::run() {
  turn();
  refill_samples();
  log(Level::info, "started",
      {{"version", MVR_VERSION},
       {"host", config_.host.id},
       {"memory", format_bytes(world_.capacity.memory)},
       {"vcpus", std::to_string(world_.capacity.vcpus)},
       {"profiles", std::to_string(config_.profiles.size())},
       {"scopes", std::to_string(config_.github.scopes.size())}});
  service_->ready();
  while (!stop_requested_ && !is_done()) {
    TRY(loop_->run_once());
    turn();
  }
  service_->stopping();
  actions_->save();
  TRY(end_discovery());
  // A record may only wait for GitHub's word; the next daemon's sweep sees to its runner.
  const bool in_use =
      std::ranges::any_of(world_.vms, [](const auto& vm) { return !vm.second.removed; });
  if (!in_use) leave_host();
  return {};
}

// No VM needs what all share: the host is left as it was found.
void Daemon::leave_host() {
  mirror_.reset();
  gate_resolvers_.reset();
  resolver_.reset();
  fail_point("resolver ended");
  auto down = Network::down(config_);
  // The name of the namespace stands in another view of the file system, and goes there: the unit
  // sees to it, with `serve --tidy`.
  if (!down && down.error().code == Errc::busy) down = {};
  if (down && room_->cgroups()) down = room_->cgroups()->remove_self();
  fail_point("host left");
  if (!down) log(Level::warn, "host_not_left_clean", {{"error", down.error().what}});
}

bool Daemon::is_done() const {
  if (options_.leave) return world_.vms.empty();
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
      const auto* removal = std::get_if<core::Remove>(&action);
      if (removal != nullptr) remember(world_.vms.at(removal->slot));
      performer_->perform(action, world_);
    }
    if (plan_.actions.empty() && inbox_.empty()) break;
  }
  performer_->save(world_);
  end_trials();
  was_busy_ = was_busy_ || !commands_.empty();
  control_->flush();
  service_->show(service_status(world_, plan_));
  arm();
}

void Daemon::fold(const core::Event& event) {
  const auto slot = core::slot_of(event);
  std::optional<core::Vm> before;
  if (slot) {
    if (const auto it = world_.vms.find(*slot); it != world_.vms.end()) before = it->second;
  }
  narrator_.before(event, world_);
  if (const auto* seen = std::get_if<core::DemandSeen>(&event)) facts_->note(*seen);
  const std::string ignored = core::observe(world_, event, loop_->now());
  if (!ignored.empty()) {
    log(Level::debug, "event_ignored",
        {{"what", std::string(core::event_name(event))}, {"why", ignored}});
    return;
  }
  if (std::holds_alternative<core::DrainChanged>(event)) keep_draining();
  if (!before) return;
  const auto it = world_.vms.find(before->slot);
  const core::Vm& after = it == world_.vms.end() ? *before : it->second;
  if (std::holds_alternative<core::Removed>(event)) {
    tally_.ended(config_, narrator_.finished(after));  // the narrator forgets it now
    end_egress(after);
  }
  narrator_.after(event, *before, after, loop_->now());
  const bool starts = before->phase < core::Phase::running && after.phase == core::Phase::running;
  if (starts && after.queued) samples_.note_wait(*after.queued, sys::wall_now());
  note_refused(*before, after);
  const bool is_gone =
      before->phase != core::Phase::removing && after.phase == core::Phase::removing && control_;
  if (is_gone) control_->streams().vm_gone(after.slot);
  serve_command(event, *before, after);
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
  const std::string why = "the VM failed: " + std::string(core::cause_name(after.cause)) +
                          (after.cause_text.empty() ? "" : ": " + after.cause_text);
  commands_.finish(after.slot, after.name, after.exit_code, why);
  commands_changed();
}

void Daemon::measure() {
  std::vector<core::Slot> slots;
  for (const auto& [slot, vm] : world_.vms) slots.push_back(slot);
  const auto measures = measure_host(config_, slots);
  if (!measures) return log(Level::warn, "host_not_measured", {{"error", measures.error().what}});
  const core::Capacity capacity = capacity_of(config_.host, *measures);
  if (capacity != world_.capacity) post(core::CapacityMeasured{capacity});
}

void Daemon::measure_pressure() {
  const auto facts = pressure_facts(config_.state_dir);
  if (!facts) return;  // measure() has said so
  std::string why = pressure_of(*facts, config_.host, !world_.pressure.empty());
  if (why.empty() != world_.pressure.empty()) {
    log(Level::warn, why.empty() ? "pressure_over" : "pressure", {{"why", why}});
  }
  post(core::PressureChanged{std::move(why)});
}

void Daemon::check_images() {
  for (const auto& profile : config_.profiles) check_image(profile);
  for (const auto& trial : config_.trials) check_image(trial);
}

void Daemon::check_image(const core::Profile& profile) {
  const std::string why = why_not(profile);
  const auto missing = world_.missing_images.find(profile.name);
  const std::string before = missing == world_.missing_images.end() ? "" : missing->second;
  if (!why.empty() && why != before) {
    log(Level::warn, "profile_cannot_boot", {{"profile", profile.name}, {"why", why}});
  }
  post(core::ProfileChecked{profile.name, why, why.empty() ? room_->origin(profile) : ""});
}

// The first use of a kernel makes its initramfs and probes the accelerator, which takes seconds,
// and the first use of a disk size formats a template: now, not when a job waits.
void Daemon::warm_up() {
  for (const auto& profile : config_.profiles) {
    if (!room_->why_not(profile).empty()) continue;  // said by check_images()
    if (auto ready = room_->kernel(profile); !ready) {
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
    samples_.note_use(core::used(world_), world_.capacity, sys::wall_now());
    measure_pressure();
    check_images();
    performer_->bound_logs();
    performer_->measure(loop_->now());
    shrink_history();
    tend_web();
    look_at_runners();
    look_at_release();
    actions_->save();
    keep_up();
    give_back_memory();
  });
}

// What the busiest minute needed the C library would keep for good.
void Daemon::give_back_memory() {
  if (loop_->now() < give_back_due_) return;
  give_back_due_ = loop_->now() + kGiveBack;
  (void)::malloc_trim(0);
}

}  // namespace mvr::daemon
