// What a VM's agent says, and what it is told of itself.
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "base/overloaded.h"
#include "base/text.h"
#include "daemon/vm.h"

namespace mvr::daemon {
namespace {

constexpr std::size_t kSeed = 64;
constexpr Bytes kLogLimit{8U << 20U};

// A log is a convenience: a full disk must not end the job.
void append_to(const Fd& log, const std::string& data) {
  struct stat info {};
  const bool has_room = log && ::fstat(log.get(), &info) == 0 &&
                        static_cast<std::uint64_t>(info.st_size) < kLogLimit.value;
  if (has_room) (void)!::write(log.get(), data.data(), data.size());
}

}  // namespace

void LiveVm::on_message(const channel::FromAgent& message) {
  std::visit(
      Overloaded{
          [this](const channel::Hello&) { on_hello(); },
          [this](const channel::State& state) { on_state(state); },
          [this](const channel::Output& output) { on_output(output); },
          [this](const channel::KeyAuthorized& key) { context_.hooks.key_authorized(slot_, key); },
          [this](const channel::Failed& failed) { on_failed(failed); },
          [this](const channel::Usage& usage) { on_usage(usage); },
          [this](const channel::Actions& actions) { on_actions(actions); },
          [&](const auto&) { context_.hooks.stream(slot_, message); },
      },
      message);
}

void LiveVm::on_hello() {
  if (std::exchange(greeted_, true) || is_adopted_) return;
  awakening_.greeted(monitor_.get(), spec_, [this] { become_ready(); });
}

void LiveVm::become_ready() {
  if (awakening_.is_told()) {
    if (auto told = tell_identity(); !told) return on_broken(told.error().what);
  }
  context_.hooks.report(core::AgentReady{slot_});
}

std::string LiveVm::identity_words() const {
  const std::string gateway = names_.gateway.to_text();
  std::string line = "mvr.hostname=" + name_ + " mvr.ip=" + names_.guest.to_text() +
                     "/30 mvr.gw=" + gateway + " mvr.dns=" + gateway + " mvr.engine=" + engine_;
  if (context_.config.registry_mirror.enabled) {
    line += " mvr.mirror=" + core::host_names(context_.config).uplink_host.to_text() + ":" +
            std::to_string(kMirrorPort);
  }
  return line;
}

// The random bytes are what tells its random numbers from those of another VM of the same state.
Result<void> LiveVm::tell_identity() {
  std::string seed(kSeed, '\0');
  if (::getrandom(seed.data(), seed.size(), 0) != static_cast<ssize_t>(seed.size())) {
    return fail_errno(errno, "random bytes for VM " + name_);
  }
  channel::Identity identity;
  identity.words = identity_words();
  identity.mac = names_.mac;
  identity.seed = Secret(std::move(seed));
  identity.wall_ms = sys::wall_now().time_since_epoch().count();
  is_told_ = true;
  return send(channel::ToAgent{std::move(identity)});
}

void LiveVm::on_broken(const std::string& why) {
  // Whose memory is damaged says anything: on_exit() goes on.
  if (awakening_.is_restoring()) return (void)process_.signal(SIGKILL);
  context_.hooks.report(core::AgentFailed{slot_, printable(why, 256)});
}

void LiveVm::on_failed(const channel::Failed& failed) {
  awakening_.failed(printable(failed.what, 256));
  context_.hooks.refused(slot_, printable(failed.what, 256));
}

// The agent reports its whole state; what is new in it becomes events, in order.
void LiveVm::on_state(const channel::State& state) {
  using channel::RunnerState;
  const auto report = [this](core::Event event) { context_.hooks.report(std::move(event)); };
  const auto reached = [&](RunnerState wanted) {
    return state.runner == wanted && last_.runner != wanted;
  };
  // After a restart hello says only that the guest is up. The state behind it says whether it is
  // still to be claimed, or has been, and may have a job by now.
  const bool is_first = greeted_ && std::exchange(is_adopted_, false);
  if (is_first && state.runner == RunnerState::idle) report(core::AgentReady{slot_});
  // Nor who it is, perhaps. It is not saved: what its former daemon did to it is not known.
  if (is_first && state.runner == RunnerState::waiting) {
    if (auto told = tell_identity(); !told) return on_broken(told.error().what);
    report(core::AgentReady{slot_});
  }
  if (reached(RunnerState::listening)) report(core::RunnerListening{slot_});
  const bool job_known = state.job != last_.job && !state.job.empty();
  if (reached(RunnerState::running) || job_known)
    report(core::JobStarted{slot_, printable(state.job, 256)});
  if (state.result != last_.result && !state.result.empty()) {
    report(core::JobFinished{slot_, printable(state.result, 64)});
  }
  if (reached(RunnerState::exited)) report(core::RunnerExited{slot_, state.exit_code.value_or(-1)});
  last_ = state;
}

void LiveVm::on_output(const channel::Output& output) {
  if (output.stream == 3) return append_to(diagnostics_log_, output.data);
  append_to(agent_log_, output.data);
  context_.hooks.output(slot_, output);
}

// What would explain a bad end is told once, and what the runner says of its connection at each
// change.
void LiveVm::on_usage(const channel::Usage& usage) {
  const auto report = [this](core::EndCause cause, std::string text) {
    context_.hooks.report(core::VmTroubled{slot_, cause, std::move(text)});
  };
  const channel::Usage before = usage_.value_or(channel::Usage{});
  usage_ = usage;
  if (usage.oom_kills > 0 && before.oom_kills == 0) {
    report(core::EndCause::guest_oom,
           "the guest's kernel killed " + usage.oom_victim +
               " for lack of memory: " + format_bytes(Bytes{usage.memory_peak}) + " of " +
               format_bytes(Bytes{usage.memory_total}) + " were seen in use");
  }
  if (usage.disk_full && !before.disk_full) {
    report(core::EndCause::disk_full,
           "the guest's disk was full: " + format_bytes(Bytes{usage.disk_peak}) + " of " +
               format_bytes(Bytes{usage.disk_total}) + " in use");
  }
  if (usage.network_trouble == before.network_trouble) return;
  const bool is_over = usage.network_trouble.empty();
  report(is_over ? core::EndCause::none : core::EndCause::network,
         is_over ? "" : "the runner could not reach GitHub: " + usage.network_trouble);
}

// However often it tells, a VM has used each action once, and not many of them.
void LiveVm::on_actions(const channel::Actions& actions) {
  std::vector<ActionRef> fresh;
  for (const ActionRef& action : actions.used) {
    if (actions_.size() >= channel::kMaxActions) break;
    if (actions_.insert(action).second) fresh.push_back(action);
  }
  if (!fresh.empty()) context_.hooks.actions(name_, fresh);
}

}  // namespace mvr::daemon
