// LiveVm: the host side of one VM. It owns everything the VM has on this host and turns what
// happens to it into events; it decides nothing.
//
// Members stand in the order of acquisition, so that destruction releases in reverse. Destroying a
// LiveVm lets go of the VM without ending it (a daemon that stops, stops watching); remove() is
// what ends and erases it, and works from the names alone, so that it also serves leftovers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/secret.h"
#include "core/config.h"
#include "core/names.h"
#include "core/survey.h"
#include "core/world.h"
#include "daemon/agent_link.h"
#include "daemon/awakening.h"
#include "daemon/machine_room.h"
#include "daemon/network.h"
#include "sys/loop.h"
#include "sys/process.h"

namespace mvr::daemon {

// What reaches the rest of the daemon from a VM.
struct VmHooks {
  std::function<void(core::Event)> report;
  std::function<void(core::Slot, const channel::Output&)> output;
  std::function<void(core::Slot, const channel::KeyAuthorized&)> key_authorized;
  std::function<void(core::Slot, const std::string& what)> refused;  // agent's `failed` after hello
  // Actions this VM used, which it has not told before.
  std::function<void(const std::string& vm, const std::vector<ActionRef>&)> actions;
  std::function<void(Duration host_side)> launched;
  std::function<void(core::Slot, const channel::FromAgent&)> stream;  // what is of a stream
};

// The daemon's parts a VM is made with.
struct VmContext {
  sys::Loop& loop;
  const core::Config& config;
  MachineRoom& room;
  Network& network;
  VmHooks hooks;
};

class LiveVm {
 public:
  LiveVm(VmContext context, core::Slot slot, std::string name, std::string profile);
  ~LiveVm();
  LiveVm(const LiveVm&) = delete;
  LiveVm& operator=(const LiveVm&) = delete;

  // Directory, scratch, cgroup, tap, process, in that order. On Err what exists stays for remove().
  Result<void> launch(const core::Launch& launch);
  // Takes over the process of a VM that outlived the daemon.
  Result<void> adopt(const core::SavedVm& saved);

  // spec.json for this record; called before the effect it announces.
  Result<void> save(const core::Vm& record) const;

  // Sends the agent its work: the JIT configuration is consumed, a command stays with its owner.
  void set_jit(Secret jit) { jit_ = std::move(jit); }
  Result<void> claim(const std::vector<std::string>& command);
  Result<void> send(const channel::ToAgent& message);
  Result<void> stop(Duration grace);
  Result<void> kill();

  [[nodiscard]] const core::SlotNames& names() const { return names_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& profile() const { return profile_; }
  [[nodiscard]] const std::string& user() const { return user_; }
  [[nodiscard]] int pid() const { return process_.pid(); }
  [[nodiscard]] const std::string& image() const { return image_.manifest.id; }
  [[nodiscard]] bool accelerated() const { return accelerated_; }
  // What the guest last said it uses; nothing before it has.
  [[nodiscard]] const std::optional<channel::Usage>& usage() const { return usage_; }
  // CPUs the VMM kept busy between the latest two measures, of which one a second has an effect.
  void measure(Instant now);
  [[nodiscard]] double busy_cpus() const { return busy_cpus_; }
  [[nodiscard]] Duration cpu_time() const { return cpu_time_; }
  // Keeps console and agent log within their bounds; called now and then.
  void bound_logs() const;

 private:
  Result<void> prepare_files(const core::Launch& launch);
  Result<void> make_scratch();
  Result<void> spawn();
  void begin_cold(const std::string& reason);
  // What tells the agent who its VM is, as its kernel command line would have it.
  [[nodiscard]] std::string identity_words() const;
  Result<void> tell_identity();
  void become_ready();
  Result<void> start_machine(const core::Launch& launch, const core::Profile& profile);
  void note(const BootParts& parts);
  Result<void> make_link();
  Result<void> take_tap(Fd& tap);
  Result<void> watch_process();
  void attach_monitor();
  void on_exit();
  void on_broken(const std::string& why);
  void on_message(const channel::FromAgent& message);
  void on_hello();
  void on_failed(const channel::Failed& failed);
  void on_state(const channel::State& state);
  void on_output(const channel::Output& output);
  void on_usage(const channel::Usage& usage);
  void on_actions(const channel::Actions& actions);
  [[nodiscard]] std::string about() const;

  VmContext context_;
  core::Slot slot_;
  std::string name_;
  std::string profile_;
  core::SlotNames names_;
  vmm::Backend* backend_ = nullptr;  // its VMM's; set by launch() and adopt()
  std::string user_;
  image::PinnedImage image_;
  Fd tools_pin_;
  std::optional<image::PinnedActions> actions_drive_;
  Fd agent_log_;
  Fd diagnostics_log_;
  vmm::MachineSpec spec_;  // as it was launched
  core::Egress egress_;
  Bytes network_rate_;  // the firewall's; 0: none
  Bytes scratch_size_;
  std::string engine_ = "boot";
  sys::Cgroup cgroup_;
  sys::Process process_;
  sys::Watch process_watch_;
  std::unique_ptr<vmm::Monitor> monitor_;
  sys::Timer monitor_retry_;
  std::unique_ptr<AgentLink> link_;
  Awakening awakening_;
  mutable std::optional<core::Vm> record_;  // the latest that was saved
  Secret jit_;
  bool greeted_ = false;
  bool is_told_ = false;             // who it is
  bool was_booting_ = false;         // when its daemon ended
  bool is_adopted_ = false;          // and what its agent is at is not known yet
  bool is_adopted_process_ = false;  // not our child: how it exits is not told
  bool accelerated_ = false;
  channel::State last_;
  std::optional<channel::Usage> usage_;
  std::set<ActionRef> actions_;  // it told of, at most channel::kMaxActions
  std::string origin_;           // for people: image, kernel and runner it was booted from
  Duration cpu_time_{};
  Instant measured_{};
  double busy_cpus_ = 0;
};

// Ends and erases whatever a slot has on this host. Every step is idempotent and tried even when
// one before failed; the first error is returned. The directory goes last. Err busy while the
// process is still going away: call again.
Result<void> remove_vm(const core::Config& config, const std::optional<sys::CgroupRoot>& cgroups,
                       Network& network, core::Slot slot);

}  // namespace mvr::daemon
