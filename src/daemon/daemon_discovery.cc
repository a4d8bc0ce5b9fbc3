// What the daemon learns from GitHub by itself: queued jobs, and what became of its runners.
#include "core/names.h"
#include "core/room.h"
#include "daemon/daemon.h"
#include "daemon/journal.h"
#include "github/sweep.h"

namespace mvr::daemon {
namespace {

constexpr Duration kRunnersSwept{300'000};   // GitHub's list of our runners is looked at so often,
constexpr Duration kRunnersWatched{45'000};  // and so often while one listens
constexpr Duration kLongestLeave{6'000};

}  // namespace

// GitHub's list of our runners, every few minutes: those that belong to no VM here were lost in a
// crash and are deleted; those of listening VMs show whether GitHub still knows them.
void Daemon::look_at_runners() {
  if (!github_ || loop_->now() < runners_due_) return;
  bool listens = false;
  for (const auto& [slot, vm] : world_.vms) {
    listens = listens || vm.phase == core::Phase::listening;
  }
  runners_due_ = loop_->now() + (listens ? kRunnersWatched : kRunnersSwept);
  for (const auto& scope : config_.github.scopes) sweep(scope);
}

// Images that bring their own runner do not say which release it is: of these only the listeners
// that are turned away tell.
void Daemon::look_at_release() {
  if (options_.exit_when_idle) return;  // it serves one command
  releases_->tend(config_, github_.get(), configured_release(config_));
}

// A host that is being left, or is short of memory or disk, has nothing to spare for chores.
void Daemon::keep_up() {
  const bool is_unfit = options_.exit_when_idle || options_.leave || world_.draining;
  if (is_unfit || !world_.pressure.empty()) return;
  upkeep_->tend(config_);
}

// What a VM was turned away with counts for new VMs only while they would get the same.
void Daemon::note_refused(const core::Vm& before, const core::Vm& after) {
  if (before.cause == after.cause || after.cause != core::EndCause::runner_deprecated) return;
  const core::Profile* profile = config_.profile(after.profile);
  const auto origin = world_.origins.find(after.profile);
  if (profile == nullptr || origin == world_.origins.end() || origin->second != after.origin)
    return;
  const auto release = release_of(config_, *profile);
  if (!release) return;
  releases_->refused(*release);
  check_images();
}

// Why a new VM of this profile cannot run jobs.
std::string Daemon::why_not(const core::Profile& profile) const {
  std::string why = room_->why_not(profile);
  if (!why.empty() || !releases_->knows_any()) return why;
  const auto release = release_of(config_, profile);
  return release ? releases_->why_not(*release) : "";
}

void Daemon::discover() {
  facts_->use(github_.get());
  look_at_release();
  if (!github_) return;
  look_at_runners();
  if (discovery_) {
    discovery_->renew(config_);
  } else {
    const auto capacity = [this](const std::string& scope, const std::string& profile) {
      return core::room_for(config_, world_, scope, profile);
    };
    discovery_ = github::make_discovery(*loop_, config_, *github_, capacity);
    discovery_->start([this](core::Event event) { post(std::move(event)); });
  }
  follow_deliveries();
}

// What only one host may hold is given back, so that the next daemon need not wait for it.
Result<void> Daemon::end_discovery() {
  deliveries_.reset();
  if (!discovery_) return {};
  bool has_ended = false;
  discovery_->stop([&has_ended] { has_ended = true; });
  const Instant latest = loop_->now() + kLongestLeave;
  while (!has_ended && loop_->now() < latest) {
    TRY(loop_->run_once(latest - loop_->now()));
    turn();
  }
  discovery_.reset();
  return {};
}

void Daemon::sweep(const core::Scope& scope) {
  const auto is_live = [this](const std::string& name) {
    return core::is_runner_in_use(world_, name);
  };
  const auto done = [this, id = scope.id(),
                     as_of = loop_->now()](Result<github::SweepReport> report) {
    if (!report) {
      return log(Level::warn, "ghost_sweep_failed", with_error({{"scope", id}}, report.error()));
    }
    for (const auto& runner : report->deleted) {
      log(Level::info, "ghost_runner_deleted", {{"scope", id}, {"runner", runner.name}});
    }
    for (const auto& [runner, error] : report->failed) {
      log(Level::warn, "ghost_runner_kept",
          with_error({{"scope", id}, {"runner", runner.name}}, error));
    }
    core::RunnersSeen seen{id, as_of, {}};
    for (const auto& runner : report->live) {
      seen.runners.push_back(core::RunnerSeen{runner.id, runner.busy});
    }
    post(std::move(seen));
  };
  github::sweep_ghosts(*github_, scope, config_.host.id, is_live, done);
}

}  // namespace mvr::daemon
