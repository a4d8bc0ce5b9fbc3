#include "daemon/vm.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

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
constexpr Duration kSoon{2};
constexpr Bytes kLogLimit{8U << 20U};
constexpr std::uint32_t kPidLimit = 256;

constexpr Duration kLeastMeasure{1'000};

Result<Fd> open_log(const core::SlotNames& names, const char* name) {
  const std::string path = names.directory + "/" + name + ".log";
  Fd log(::open(path.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
  if (!log) return fail_errno(errno, "create " + path);
  return log;
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
      names_(core::slot_names(context_.config, slot)),
      awakening_({context_.loop, context_.config, context_.room.saved_states(), name_}) {}

LiveVm::~LiveVm() = default;

Result<void> LiveVm::prepare_files(const core::Launch& launch) {
  // 0711: the VMM's user passes through, only root lists.
  if (::chmod(names_.directory.c_str(), 0711) != 0)
    return fail_errno(errno, "chmod " + names_.directory);
  scratch_size_ = launch.size.disk;
  TRY(make_scratch());
  TRY_ASSIGN(agent_log_, open_log(names_, "agent"));
  TRY_ASSIGN(diagnostics_log_, open_log(names_, "runner"));
  return {};
}

Result<void> LiveVm::make_scratch() {
  fail_point("before scratch");
  TRY_ASSIGN(const std::string blank, context_.room.scratch_template(scratch_size_));
  TRY(sys::copy_sparse(blank, names_.scratch, 0600));
  fail_point("scratch copied");
  TRY(sys::change_owner(names_.scratch, names_.uid, names_.uid));
  fail_point("scratch given to the VM");
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
  const std::string kind = context_.room.kind(profile, parts);
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
  egress_ = launch.egress;
  if (!backend_->limits_network()) network_rate_ = profile.machine.rates.network;
  spec_.name = name_;
  spec_.directory = names_.directory;
  spec_.kernel = parts.kernel.path;
  spec_.initramfs = parts.kernel.initramfs;
  spec_.vcpus = launch.size.vcpus;
  spec_.memory = launch.size.memory;
  spec_.drives = {{"base", image_.path, true}, {"scratch", names_.scratch, false}};
  if (!parts.tools.empty()) spec_.drives.push_back({"tools", parts.tools, true});
  spec_.mac = names_.mac;
  spec_.tap_name = names_.tap;
  spec_.netns = "/run/netns/" + core::host_names(context_.config).netns;
  spec_.console = names_.console;
  spec_.console_limit = kLogLimit;
  spec_.agent_socket = names_.agent_socket;
  spec_.monitor_socket = names_.monitor_socket;
  spec_.uid = names_.uid;
  spec_.cgroup_fd = cgroup_.fd();
  spec_.accel = parts.kernel.accel;
  spec_.keep_open = {image_.lock.get()};
  if (tools_pin_) spec_.keep_open.push_back(tools_pin_.get());
  if (actions_drive_) {
    spec_.drives.push_back({"actions", actions_drive_->path, true});
    spec_.keep_open.push_back(actions_drive_->lock.get());
  }
  apply_settings(profile.machine, spec_);
  awakening_.plan(spec_, *backend_, kind, {identity_words(), profile.kernel_args});
  return spawn();
}

Result<void> LiveVm::spawn() {
  Fd tap;
  TRY(take_tap(tap));
  TRY(make_link());
  fail_point("before spawn");
  TRY_ASSIGN(process_, backend_->launch(spec_));
  spec_.tap_fd = -1;
  fail_point("spawned");
  awakening_.launched([this] { (void)process_.signal(SIGKILL); });  // on_exit() goes on
  return watch_process();
}

// By descriptor, which is to be kept until the launch, or by name.
Result<void> LiveVm::take_tap(Fd& tap) {
  TRY_ASSIGN(tap,
             context_.network.attach(names_, gate_tag(context_.config, egress_), network_rate_));
  if (backend_->opens_tap_by_name()) return sys::give_tap(std::move(tap), names_.uid);
  spec_.tap_fd = tap.get();
  return {};
}

// The state it was to begin from is of no use: the same VM once more, in place.
void LiveVm::begin_cold(const std::string& reason) {
  awakening_.fall_back(spec_, reason);
  monitor_.reset();
  monitor_retry_ = {};
  link_.reset();
  auto again = context_.network.detach(names_);
  if (again) again = sys::remove_file(names_.scratch);
  if (again) again = make_scratch();
  if (again) again = spawn();
  if (!again) {
    const std::string text = "the VM could not be launched again: " + again.error().what;
    return context_.hooks.report(core::VmExited{slot_, text, core::EndCause::launch_failed});
  }
  // It has another process now.
  if (!record_) return;
  if (auto saved = save(*record_); !saved) {
    log(Level::error, "spec_not_written", with_error({{"vm", name_}}, saved.error()));
  }
}

// Where the agent comes to us, we listen before it runs.
Result<void> LiveVm::make_link() {
  link_ = std::make_unique<AgentLink>(
      context_.loop, names_.agent_socket,
      AgentLink::Handlers{[this](const channel::FromAgent& message) { on_message(message); },
                          [this](const std::string& why) { on_broken(why); }});
  if (backend_->channel_style() == vmm::ChannelStyle::connect) return {};
  return context(link_->listen(), "channel of VM " + name_);
}

void LiveVm::note(const BootParts& parts) {
  user_ = user_of(parts.image.manifest.user);
  origin_ = parts.about;
  engine_ = parts.engine;
  accelerated_ = parts.kernel.accel == vmm::Accel::kvm;
}

Result<void> LiveVm::adopt(const core::SavedVm& saved) {
  TRY_ASSIGN(process_, sys::Process::adopt(saved.pid, saved.start_time));
  TRY_ASSIGN(backend_, context_.room.backend_of(names_));
  is_adopted_ = true;
  is_adopted_process_ = true;
  was_booting_ = saved.vm.phase == core::Phase::booting;
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

// The monitor's socket appears some 20 ms after the spawn; it is not needed before the end, but by
// a VM that begins from a state.
void LiveVm::attach_monitor() {
  auto monitor = backend_->attach(context_.loop, names_.monitor_socket);
  if (monitor) {
    monitor_ = std::move(*monitor);
    if (awakening_.is_restoring()) monitor_->restore(spec_);
    if (was_booting_) monitor_->wake([this] { (void)kill(); });
    return;
  }
  const Duration pause = awakening_.is_restoring() ? kSoon : kMonitorRetry;
  monitor_retry_ = context_.loop.call_at(context_.loop.now() + pause, [this] { attach_monitor(); });
}

Result<void> LiveVm::save(const core::Vm& record) const {
  record_ = record;
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
  awakening_.settle();
  configure.jit_config = std::move(jit_);
  configure.wall_ms = sys::wall_now().time_since_epoch().count();
  return send(channel::ToAgent{std::move(configure)});
}

Result<void> LiveVm::send(const channel::ToAgent& message) {
  if (!link_) return fail(Errc::unavailable, "VM " + name_ + " has no channel");
  // It would be in the memory of all that begin from its state.
  const bool is_early = awakening_.is_told() && !is_told_;
  if (is_early && !std::holds_alternative<channel::Shutdown>(message)) {
    return fail(Errc::unavailable, "VM " + name_ + " has not booted yet");
  }
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
  awakening_.give_up();
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
  if (awakening_.is_restoring()) return begin_cold(death.text);
  awakening_.failed(death.text);
  context_.hooks.report(core::VmExited{slot_, std::move(death.text), death.cause});
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
