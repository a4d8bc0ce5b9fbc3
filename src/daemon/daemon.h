// The daemon: wait -> observe -> plan -> perform.
//
// Each turn of the loop collects the events of all ready descriptors, folds them into the world,
// plans once, carries the actions out (each is Dispatched and saved first), and arms one timer
// for the plan's wake_at. Nothing here waits for anything else.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "base/result.h"
#include "core/config.h"
#include "core/plan.h"
#include "core/survey.h"
#include "core/world.h"
#include "daemon/action_learner.h"
#include "daemon/commands.h"
#include "daemon/control.h"
#include "daemon/egress_notes.h"
#include "daemon/gate_resolvers.h"
#include "daemon/job_facts.h"
#include "daemon/machine_room.h"
#include "daemon/narrator.h"
#include "daemon/network.h"
#include "daemon/perform.h"
#include "daemon/registry_mirror.h"
#include "daemon/reload.h"
#include "daemon/resolver.h"
#include "daemon/runner_release.h"
#include "daemon/samples.h"
#include "daemon/service.h"
#include "daemon/tally.h"
#include "daemon/upkeep.h"
#include "daemon/web.h"
#include "daemon/webhook.h"
#include "github/client.h"
#include "github/deliveries.h"
#include "github/discovery.h"
#include "history/history.h"
#include "sys/loop.h"

namespace mvr::daemon {

struct DaemonOptions {
  std::string config_path;  // read again by reload()
  // End by itself once it was busy and is idle again: how `mvrunner run` works without a daemon.
  bool exit_when_idle = false;
  // Take no jobs, and end once no VM is left: how a host is left by a package that is removed.
  bool leave = false;
};

class Daemon {
 public:
  // Takes the lock on the state directory (Err busy: another daemon has it), adopts what a former
  // daemon left, opens the control socket.
  static Result<std::unique_ptr<Daemon>> start(core::Config config, DaemonOptions options);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Until SIGTERM or SIGINT. Running VMs go on; a later daemon adopts them. When none is left,
  // the network and the cgroup of all VMs go too.
  Result<void> run();

  // Reads the configuration again; SIGHUP does the same. What is valid holds for new VMs and for
  // GitHub from now on, see plan_reload(); with any problem, all stays as it was.
  Reloaded reload();

  // What control requests need.
  [[nodiscard]] const core::Config& config() const { return config_; }
  [[nodiscard]] const core::World& world() const { return world_; }
  [[nodiscard]] const core::Plan& last_plan() const { return plan_; }
  [[nodiscard]] sys::Loop& loop() const { return *loop_; }
  [[nodiscard]] Performer& performer() const { return *performer_; }
  [[nodiscard]] Network& network() { return *network_; }
  [[nodiscard]] Commands& commands() { return commands_; }
  [[nodiscard]] history::History& history() { return *history_; }
  void post(core::Event event) { inbox_.push_back(std::move(event)); }
  void commands_changed() { post(commands_.demand(loop_->now())); }
  // Takes a profile for one command in, under a name it returns; gone when command and VM are. Err
  // not_found: it cannot boot.
  Result<std::string> add_trial(core::Profile trial);

 private:
  Daemon(core::Config config, DaemonOptions options);
  Result<void> open_host();
  Result<void> open_github();
  Result<std::unique_ptr<github::Client>> make_client(const core::GithubSettings& settings,
                                                      github::Keyring keyring);
  Result<void> take_over();
  Reloaded read_again();
  Result<void> try_reload(core::Config config, Reloaded& reloaded);
  void discover();
  Result<void> end_discovery();
  void look_at_runners();
  void sweep(const core::Scope& scope);
  void look_at_release();
  void keep_up();
  void note_refused(const core::Vm& before, const core::Vm& after);
  [[nodiscard]] std::string why_not(const core::Profile& profile) const;
  VmHooks make_hooks();
  void turn();
  void fold(const core::Event& event);
  void take_over_one(const core::Leftover& leftover, const core::SurveyPlan& found);
  void serve_command(const core::Event& event, const core::Vm& before, const core::Vm& after);
  [[nodiscard]] std::string draining_mark() const;
  void keep_draining();
  void resume_draining();
  void measure();
  void measure_pressure();
  void learn();
  void refill_samples();
  void remember(const core::Vm& vm);
  void shrink_history();
  // What VMs may reach, if `wanted` says something else than the configuration so far.
  Result<void> change_policy(const core::Config& wanted);
  void asked(const Gate& gate, const Query& query);
  void end_egress(const core::Vm& vm);
  void check_images();
  void check_image(const core::Profile& profile);
  void end_trials();
  void warm_up();
  Result<void> open_web();
  std::string page();
  [[nodiscard]] std::optional<ActionCacheState> action_cache() const;
  void listen(Secret webhook_secret);
  void tend_web();
  void follow_deliveries();
  void arm();
  void give_back_memory();
  void leave_host();
  [[nodiscard]] bool is_done() const;

  core::Config config_;
  DaemonOptions options_;
  Fd lock_;
  std::unique_ptr<sys::Loop> loop_;
  std::unique_ptr<ServiceLink> service_;
  std::unique_ptr<MachineRoom> room_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<GateResolvers> gate_resolvers_;
  EgressNotes egress_notes_;
  std::unique_ptr<RegistryMirror> mirror_;
  std::unique_ptr<history::History> history_;
  std::unique_ptr<JobFactFetcher> facts_;
  std::unique_ptr<github::Client> github_;
  std::unique_ptr<github::Discovery> discovery_;
  std::unique_ptr<ReleaseWatch> releases_;
  std::unique_ptr<Upkeep> upkeep_;
  std::unique_ptr<ActionLearner> actions_;
  Commands commands_;
  std::unique_ptr<Performer> performer_;
  std::unique_ptr<Control> control_;
  std::unique_ptr<Web> web_;
  std::unique_ptr<Webhook> webhook_;
  std::unique_ptr<github::AppDeliveries> deliveries_;
  Narrator narrator_;
  core::World world_;
  core::Plan plan_;
  Tally tally_;
  Samples samples_;
  std::deque<core::Event> inbox_;
  sys::Timer wake_;
  sys::Timer housekeeping_;
  Instant housekeeping_due_{};
  Instant runners_due_{};
  Instant shrink_due_{};
  Instant give_back_due_{};
  bool stop_requested_ = false;
  bool was_busy_ = false;
};

}  // namespace mvr::daemon
