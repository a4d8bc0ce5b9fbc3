#include "daemon/vm.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "base/overloaded.h"
#include "base/text.h"
#include "daemon/fail_point.h"
#include "daemon/journal.h"
#include "daemon/machine_settings.h"
#include "daemon/network.h"
#include "daemon/post_mortem.h"
#include "daemon/spec_file.h"
#include "daemon/stray_vmm.h"
#include "sys/files.h"
#include "sys/kernel_log.h"
#include "sys/net.h"

namespace mvr::daemon {
namespace {

constexpr Duration kMonitorRetry{50};
constexpr Bytes kLogLimit{8U << 20U};
constexpr std::uint32_t kPidLimit = 256;

constexpr Duration kLeastMeasure{1'000};

Result<Fd> open_log(const core::SlotNames& names, const char* name) {
  const std::string path = names.directory + "/" + name + ".log";
  Fd log(::open(path.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
  if (!log) return fail_errno(errno, "create " + path);
  return log;
}

// A log is a convenience: a full disk must not end the job.
void append_to(const Fd& log, const std::string& data) {
  struct stat info {};
  const bool has_room = log && ::fstat(log.get(), &info) == 0 &&
                        static_cast<std::uint64_t>(info.st_size) < kLogLimit.value;
  if (has_room) (void)!::write(log.get(), data.data(), data.size());
}

std::string command_line(const core::Config& config, const core::Profile& profile,
                         const std::string& vm, const core::SlotNames& names,
                         const std::string& engine) {
  const std::string gateway = names.gateway.to_text();
  std::string line = "mvr.hostname=" + vm + " mvr.ip=" + names.guest.to_text() +
                     "/30 mvr.gw=" + gateway + " mvr.dns=" + gateway + " mvr.engine=" + engine;
  if (config.registry_mirror.enabled) {
    line += " mvr.mirror=" + core::host_names(config).uplink_host.to_text() + ":" +
            std::to_string(kMirrorPort);
  }
  if (!profile.kernel_args.empty()) line += " " + profile.kernel_args;
  return line;
}

// The user part of an image's USER ("runner:docker" -> "runner").
std::string user_of(const std::string& image_user) {
  const std::string user = image_user.substr(0, image_user.find(':'));
  return user.empty() ? "root" : user;
}

}  // namespace

LiveVm::LiveVm(VmContext context, core::Slot slot, std::string name, std::string profile)
    : context_(std::move(context)),
      slot_(slot),
      name_(std::move(name)),
      profile_(std::move(profile)),
      names_(core::slot_names(context_.config, slot)) {}

LiveVm::~LiveVm() = default;

Result<void> LiveVm::prepare_files(const core::Launch& launch) {
  // 0711: the VMM's user passes through, only root lists.
  if (::chmod(names_.directory.c_str(), 0711) != 0)
    return fail_errno(errno, "chmod " + names_.directory);
  fail_point("before scratch");
  TRY_ASSIGN(const std::string blank, context_.room.scratch_template(launch.size.disk));
  TRY(sys::copy_sparse(blank, names_.scratch, 0600));
  fail_point("scratch copied");
  TRY(sys::change_owner(names_.scratch, names_.uid, names_.uid));
  fail_point("scratch given to the VM");
  TRY_ASSIGN(agent_log_, open_log(names_, "agent"));
  TRY_ASSIGN(diagnostics_log_, open_log(names_, "runner"));
  return {};
}

Result<void> LiveVm::launch(const core::Launch& launch) {
  const core::Profile* profile = context_.config.profile(launch.profile);
  if (profile == nullptr)
    return fail(Errc::not_found, "profile '" + launch.profile + "' is not configured");
  TRY(context(prepare_files(launch), "prepare disks"));
  fail_point("files prepared");
  if (context_.room.cgroups()) {
    TRY_ASSIGN(cgroup_, context_.room.cgroups()->create(names_.cgroup));
    fail_point("cgroup made");
  }
  return start_machine(launch, *profile);
}

Result<void> LiveVm::start_machine(const core::Launch& launch, const core::Profile& profile) {
  TRY_ASSIGN(BootParts parts, context_.room.parts(profile));
  note(parts);
  backend_ = parts.kernel.backend;
  image_ = std::move(parts.image);
  tools_pin_ = std::move(parts.tools_pin);
  actions_drive_ = std::move(parts.actions);
  if (cgroup_) {
    sys::CgroupLimits limits{launch.size.memory + backend_->overhead(parts.kernel.accel),
                             launch.size.vcpus * 100, kPidLimit,
                             io_limit(profile.machine.rates, names_.scratch)};
    TRY(context(cgroup_.set_limits(limits), "limits of " + names_.cgroup));
    fail_point("cgroup limited");
  }
  Fd tap;
  vmm::MachineSpec spec;
  const Bytes rate = backend_->limits_network() ? Bytes{} : profile.machine.rates.network;
  TRY(take_tap(launch.egress, rate, spec, tap));
  spec.name = name_;
  spec.directory = names_.directory;
  spec.kernel = parts.kernel.path;
  spec.initramfs = parts.kernel.initramfs;
  spec.command_line = command_line(context_.config, profile, name_, names_, parts.engine);
  spec.vcpus = launch.size.vcpus;
  spec.memory = launch.size.memory;
  spec.drives = {{"base", image_.path, true}, {"scratch", names_.scratch, false}};
  if (!parts.tools.empty()) spec.drives.push_back({"tools", parts.tools, true});
  spec.mac = names_.mac;
  spec.console = names_.console;
  spec.console_limit = kLogLimit;
  spec.agent_socket = names_.agent_socket;
  spec.monitor_socket = names_.monitor_socket;
  spec.uid = names_.uid;
  spec.cgroup_fd = cgroup_.fd();
  spec.accel = parts.kernel.accel;
  spec.keep_open = {image_.lock.get()};
  if (tools_pin_) spec.keep_open.push_back(tools_pin_.get());
  if (actions_drive_) {
    spec.drives.push_back({"actions", actions_drive_->path, true});
    spec.keep_open.push_back(actions_drive_->lock.get());
  }
  apply_settings(profile.machine, spec);
  TRY(make_link());
  fail_point("before spawn");
  TRY_ASSIGN(process_, backend_->launch(spec));
  fail_point("spawned");
  return watch_process();
}

// By descriptor, which is to be kept until the launch, or by name.
Result<void> LiveVm::take_tap(const core::Egress& egress, Bytes rate, vmm::MachineSpec& spec,
                              Fd& tap) {
  TRY_ASSIGN(tap, context_.network.attach(names_, gate_tag(context_.config, egress), rate));
  spec.tap_name = names_.tap;
  spec.netns = "/run/netns/" + core::host_names(context_.config).netns;
  if (backend_->opens_tap_by_name()) return sys::give_tap(std::move(tap), names_.uid);
  spec.tap_fd = tap.get();
  return {};
}

// Where the agent comes to us, we listen before it runs.
Result<void> LiveVm::make_link() {
  link_ = std::make_unique<AgentLink>(
      context_.loop, names_.agent_socket,
      AgentLink::Handlers{[this](const channel::FromAgent& message) { on_message(message); },
                          [this](const std::string& why) {
                            context_.hooks.report(core::AgentFailed{slot_, printable(why, 256)});
                          }});
  if (backend_->channel_style() == vmm::ChannelStyle::connect) return {};
  return context(link_->listen(), "channel of VM " + name_);
}

void LiveVm::note(const BootParts& parts) {
  user_ = user_of(parts.image.manifest.user);
  origin_ = parts.about;
  accelerated_ = parts.kernel.accel == vmm::Accel::kvm;
}

Result<void> LiveVm::adopt(const core::SavedVm& saved) {
  TRY_ASSIGN(process_, sys::Process::adopt(saved.pid, saved.start_time));
  TRY_ASSIGN(backend_, context_.room.backend_of(names_));
  is_adopted_ = true;
  is_adopted_process_ = true;
  if (const core::Profile* profile = context_.config.profile(profile_); profile != nullptr) {
    // The files may be gone from the store; the VMM has them open, and the pins it inherited.
    if (auto parts = context_.room.parts(*profile, context_.room.image_of_vmm(saved.pid))) {
      note(*parts);
      image_ = std::move(parts->image);
    }
  }
  if (auto opened = open_log(names_, "agent")) agent_log_ = std::move(*opened);
  if (auto opened = open_log(names_, "runner")) diagnostics_log_ = std::move(*opened);
  if (context_.room.cgroups()) {
    TRY_ASSIGN(cgroup_, context_.room.cgroups()->create(names_.cgroup));
  }
  TRY(make_link());
  vmm::MachineSpec spec;
  spec.agent_socket = names_.agent_socket;
  spec.monitor_socket = names_.monitor_socket;
  spec.uid = names_.uid;
  TRY(backend_->offer_channel(spec));
  return watch_process();
}

Result<void> LiveVm::watch_process() {
  TRY_ASSIGN(process_watch_,
             context_.loop.watch(process_.pidfd(), EPOLLIN, [this](std::uint32_t) { on_exit(); }));
  if (backend_->channel_style() == vmm::ChannelStyle::connect) link_->start();
  attach_monitor();
  return {};
}

// The monitor's socket appears some 20 ms after the spawn; it is not needed before the end.
void LiveVm::attach_monitor() {
  auto monitor = backend_->attach(context_.loop, names_.monitor_socket);
  if (monitor) {
    monitor_ = std::move(*monitor);
    return;
  }
  monitor_retry_ =
      context_.loop.call_at(context_.loop.now() + kMonitorRetry, [this] { attach_monitor(); });
}

Result<void> LiveVm::save(const core::Vm& record) const {
  core::SavedVm saved;
  saved.vm = record;
  saved.boot_id = sys::boot_id();
  if (process_) {
    saved.pid = process_.pid();
    saved.start_time = process_.start_time();
  }
  fail_point("before spec.json", core::phase_name(record.phase));
  TRY(sys::make_directories(names_.directory, 0711));
  fail_point("directory of spec.json", core::phase_name(record.phase));
  TRY(sys::replace_file(names_.spec, encode_spec(saved), 0600));
  fail_point("spec.json written", core::phase_name(record.phase));
  return {};
}

Result<void> LiveVm::claim(const std::vector<std::string>& command) {
  channel::Configure configure;
  configure.hostname = name_;
  configure.user = user_;
  configure.workdir = command.empty() ? "" : image_.manifest.workdir;
  configure.profile = profile_;
  configure.about = about();
  // A profile that is gone from the configuration serves neither.
  if (const core::Profile* profile = context_.config.profile(profile_); profile != nullptr) {
    configure.serves_public = profile->public_repositories;
    configure.serves_forks = profile->fork_pull_requests;
  }
  for (const auto& entry : image_.manifest.env) {
    const auto equals = entry.find('=');
    if (equals != std::string::npos)
      configure.env[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  configure.argv = command;
  configure.jit_config = std::move(jit_);
  configure.wall_ms = sys::wall_now().time_since_epoch().count();
  return send(channel::ToAgent{std::move(configure)});
}

Result<void> LiveVm::send(const channel::ToAgent& message) {
  if (!link_) return fail(Errc::unavailable, "VM " + name_ + " has no channel");
  return link_->send(message);
}

Result<void> LiveVm::stop(Duration grace) {
  if (!process_) return {};
  // Nobody in there to ask. In an adopted VM somebody may be, and may be running a job.
  if (!greeted_ && !is_adopted_) return kill();
  return send(channel::ToAgent{channel::Shutdown{static_cast<std::uint32_t>(grace.count())}});
}

Result<void> LiveVm::kill() {
  if (!process_) return {};
  TRY(process_.signal(SIGKILL));
  fail_point("VMM killed");
  if (cgroup_) return cgroup_.kill();
  return {};
}

// Read by whoever wonders where a job ran, in its step "Set up job" at GitHub.
std::string LiveVm::about() const {
  return "Host: " + context_.config.host.id + "\nVM: " + name_ + "\nProfile: " + profile_ + "\n" +
         origin_ + "mvrunner: " MVR_VERSION;
}

void LiveVm::on_exit() {
  process_watch_ = {};
  auto exit = process_.reap();
  const std::string reason = monitor_ ? monitor_->end_reason() : "";
  const std::string console = console_tail(names_.console);
  EndFacts facts;
  facts.reason = reason;
  facts.console = console;
  const bool is_child = exit && *exit && !is_adopted_process_;
  if (is_child) facts.exit = **exit;
  const bool may_be_killed = !is_child || (*exit)->signal == SIGKILL;
  facts.oom_killed =
      may_be_killed && (cgroup_.oom_kills() > 0 || sys::was_oom_killed(process_.pid()));
  Death death = post_mortem(facts);
  context_.hooks.report(core::VmExited{slot_, std::move(death.text), death.cause});
}

void LiveVm::on_message(const channel::FromAgent& message) {
  std::visit(
      Overloaded{
          [this](const channel::Hello&) {
            if (!std::exchange(greeted_, true) && !is_adopted_) {
              context_.hooks.report(core::AgentReady{slot_});
            }
          },
          [this](const channel::State& state) { on_state(state); },
          [this](const channel::Output& output) { on_output(output); },
          [this](const channel::KeyAuthorized& key) { context_.hooks.key_authorized(slot_, key); },
          [this](const channel::Failed& failed) {
            context_.hooks.refused(slot_, printable(failed.what, 256));
          },
          [this](const channel::Usage& usage) { on_usage(usage); },
          [this](const channel::Actions& actions) { on_actions(actions); },
          [&](const auto&) { context_.hooks.stream(slot_, message); },
      },
      message);
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
  if (greeted_ && std::exchange(is_adopted_, false) && state.runner == RunnerState::idle) {
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

void LiveVm::measure(Instant now) {
  if (!process_ || now - measured_ < kLeastMeasure) return;
  const auto time = sys::process_cpu_time(process_.pid());
  if (!time) return;
  const auto passed = static_cast<double>((now - measured_).count());
  if (measured_ != Instant{}) {
    busy_cpus_ = static_cast<double>((*time - cpu_time_).count()) / passed;
  }
  cpu_time_ = *time;
  measured_ = now;
}

void LiveVm::bound_logs() const {
  const auto cut = vmm::bound_console(names_.console, kLogLimit);
  if (cut && *cut) log(Level::warn, "console_truncated", {{"vm", name_}});
  // Absent but under Firecracker. A guest that breaks rules makes it grow.
  (void)vmm::bound_console(names_.directory + "/firecracker.log", kLogLimit);
}

Result<void> remove_vm(const core::Config& config, const std::optional<sys::CgroupRoot>& cgroups,
                       Network& network, core::Slot slot) {
  const core::SlotNames names = core::slot_names(config, slot);
  Result<void> first;
  const auto attempt = [&first](Result<void> step) {
    if (!step && first) first = std::move(step);
  };
  if (auto killed = kill_stray_vmm(names); killed && *killed) {
    attempt(fail(Errc::busy, "the VMM of slot " + std::to_string(slot) + " is still ending"));
  }
  fail_point("no VMM in the way");
  if (cgroups) {
    if (auto group = cgroups->create(names.cgroup)) attempt(group->kill());
    fail_point("cgroup killed");
    attempt(cgroups->remove(names.cgroup));
    fail_point("cgroup removed");
  }
  attempt(network.detach(names));
  if (first) attempt(sys::remove_tree(names.directory));
  fail_point("directory removed");
  return first;
}

}  // namespace mvr::daemon
