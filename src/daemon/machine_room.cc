#include "daemon/machine_room.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <set>
#include <utility>

#include "base/text.h"
#include "daemon/engine_mode.h"
#include "daemon/journal.h"
#include "daemon/machine_settings.h"
#include "image/build.h"
#include "image/firecracker_store.h"
#include "image/initramfs.h"
#include "image/kernel_unpack.h"
#include "sys/files.h"
#include "sys/process.h"
#include "vmm/firecracker.h"
#include "vmm/jailer.h"
#include "vmm/qemu.h"

namespace mvr::daemon {

Result<std::string> find_agent() {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t length = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
  if (length <= 0) return fail(Errc::io, "cannot read /proc/self/exe: is /proc mounted?");
  std::string directory(buffer.data(), static_cast<std::size_t>(length));
  directory.erase(directory.rfind('/'));
  const std::array candidates = {directory + "/../libexec/mvrunner/mvrunner-agent",
                                 directory + "/guest/mvrunner-agent"};
  for (const auto& path : candidates) {
    if (::access(path.c_str(), R_OK) == 0) return path;
  }
  return fail(Errc::not_found, "the guest agent is not installed: expected " + candidates[0]);
}

core::VmmSettings vmm_programs(const core::Config& config) {
  const image::FirecrackerStore store(config.state_dir);
  core::VmmSettings vmm = config.vmm;
  for (std::string* program : {&vmm.firecracker_binary, &vmm.jailer_binary}) {
    if (std::string kept = store.program(*program); !kept.empty()) *program = std::move(kept);
  }
  return vmm;
}

MachineRoom::MachineRoom(const core::Config& config)
    : config_(config),
      images_(config.state_dir),
      kernels_(config.state_dir),
      runners_(config.state_dir),
      actions_(config.state_dir),
      saved_states_(config.state_dir + "/saved", sys::boot_id()) {}

Result<std::unique_ptr<MachineRoom>> MachineRoom::open_to_look(const core::Config& config) {
  std::unique_ptr<MachineRoom> room(new MachineRoom(config));
  TRY_ASSIGN(room->agent_, find_agent());
  TRY(room->open_backends());
  return room;
}

// What is not to be used for new VMs may still be there for old ones.
Result<void> MachineRoom::open_backends() {
  const std::string& wanted = config_.vmm.backend;
  const core::VmmSettings programs = vmm_programs(config_);
  auto firecracker = vmm::make_firecracker(programs.firecracker_binary, programs.jailer_binary);
  auto qemu = vmm::make_qemu(config_.vmm.qemu_binary);
  if (wanted == "firecracker" && !firecracker) return fail(firecracker.error());
  const bool needs_qemu = wanted == "qemu" || !firecracker || config_.vmm.accel == core::Accel::tcg;
  if (wanted != "firecracker" && needs_qemu && !qemu) return fail(qemu.error());
  const bool is_broken = !firecracker && firecracker.error().code != Errc::not_found;
  if (is_broken && wanted == "auto") {
    log(Level::warn, "no_firecracker",
        with_error({{"effect", "VMs run under QEMU"}}, firecracker.error()));
  }
  if (firecracker) firecracker_ = std::move(*firecracker);
  if (qemu) qemu_ = std::move(*qemu);
  return {};
}

std::vector<vmm::Backend*> MachineRoom::candidates(const std::string& wanted) const {
  std::vector<vmm::Backend*> list;
  const bool may_use_kvm = config_.vmm.accel != core::Accel::tcg;
  if (wanted != "qemu" && may_use_kvm && firecracker_) list.push_back(firecracker_.get());
  if (wanted != "firecracker" && qemu_) list.push_back(qemu_.get());
  return list;
}

const std::string& MachineRoom::vmm_of(const core::Profile& profile) const {
  return profile.machine.vmm.empty() ? config_.vmm.backend : profile.machine.vmm;
}

Result<vmm::Backend*> MachineRoom::backend_of(const core::SlotNames& names) const {
  const bool is_jailed = vmm::is_jailed(names.monitor_socket);
  vmm::Backend* backend = is_jailed ? firecracker_.get() : qemu_.get();
  if (backend != nullptr) return backend;
  return fail(Errc::not_found, std::string(is_jailed ? "Firecracker" : "QEMU") +
                                   ", which the VM runs under, is not installed any more");
}

Result<std::unique_ptr<MachineRoom>> MachineRoom::open(const core::Config& config) {
  TRY_ASSIGN(auto room, open_to_look(config));
  SavedStates& states = room->saved_states_;
  if (auto swept = config.saved_states.enabled ? states.sweep() : states.clear(); !swept) {
    log(Level::warn, "saved_states_not_swept", with_error({}, swept.error()));
  }
  auto cgroups = sys::CgroupRoot::open(config.instance);
  if (cgroups) room->cgroups_ = std::move(*cgroups);
  if (auto checked = room->check_limits(cgroups ? "" : cgroups.error().what); !checked) {
    if (room->cgroups_) (void)room->cgroups_->remove_self();  // not while VMs are in there
    return fail(std::move(checked).error());
  }
  return room;
}

// What holds a VM to its size when it has taken its VMM over, and its neighbours to theirs.
Result<void> MachineRoom::check_limits(const std::string& no_cgroups) const {
  const auto missing = cgroups_ ? cgroups_->missing() : std::vector<std::string>{};
  if (cgroups_ && missing.empty()) return {};
  const std::string why = cgroups_ ? "no cgroup controller for " + join(missing, ", ") : no_cgroups;
  if (!config_.host.best_effort_limits) {
    return fail(Error{Errc::unsupported, "VMs cannot be held to their size on this host: " + why,
                      "boot with systemd.unified_cgroup_hierarchy=1 and run under the systemd "
                      "unit, or set host.limits: best-effort"});
  }
  log(Level::warn, "no_limits",
      {{"why", why}, {"effect", "VMs are not held to all of their size by this host"}});
  return {};
}

std::string MachineRoom::why_not(const core::Profile& profile) const {
  if (const std::string& wanted = vmm_of(profile); candidates(wanted).empty()) {
    return "vmm: " + wanted + " is not installed";
  }
  if (auto found = images_.find(profile.image); !found) return found.error().what;
  if (auto found = kernels_.find(profile.kernel); !found) return found.error().what;
  const std::string& runner = config_.runner_of(profile);
  if (runner.empty()) return {};
  if (auto found = runners_.find(runner); !found) return found.error().what;
  return {};
}

std::string MachineRoom::origin(const core::Profile& profile) const {
  std::string all = MVR_VERSION;
  for (const vmm::Backend* backend : candidates(vmm_of(profile))) {
    all += " " + std::string(backend->name()) + " " + backend->version();
  }
  if (const auto image = images_.find(profile.image)) all += "\n" + image->id;
  if (const auto kernel = kernels_.find(profile.kernel)) all += "\n" + kernel->digest;
  if (const std::string& name = config_.runner_of(profile); !name.empty()) {
    if (const auto runner = runners_.find(name)) all += "\n" + runner->digest;
  }
  const core::Resources& size = profile.size;
  all += "\n" + std::to_string(size.memory.value) + " " + std::to_string(size.vcpus) + " " +
         std::to_string(size.disk.value) + "\n" + settings_text(profile.machine) + "\n" +
         profile.kernel_args + (config_.registry_mirror.enabled ? "\nmirror" : "") + "\n" +
         std::string(core::egress_word(profile.egress.mode)) + " " +
         join(profile.egress.names, " ");
  return std::to_string(stable_hash(all));
}

Result<vmm::ProbeResult> MachineRoom::probe(vmm::Backend& backend, const image::Kernel& kernel,
                                            const BootKernel& boot) const {
  vmm::ProbeInput input;
  input.backend = &backend;
  input.kernel = boot.path;
  input.kernel_id = kernel.digest;
  input.initramfs = boot.initramfs;
  input.work_dir = config_.state_dir + "/probe";
  input.cache_dir = config_.state_dir + "/accel";
  input.uid = config_.vmm.uid_base;  // what a VM of slot 0 may open
  return vmm::probe_accel(input);
}

// What does not unpack is tried as it is.
std::string MachineRoom::path_for(const vmm::Backend& backend, const image::Kernel& kernel) const {
  if (&backend != firecracker_.get()) return kernel.path;
  auto plain = image::uncompressed_kernel(kernel.path);
  if (plain) return *plain;
  log(Level::warn, "kernel_not_unpacked", with_error({{"kernel", kernel.name}}, plain.error()));
  return kernel.path;
}

// The first VMM that runs a guest of this kernel under KVM; else emulation, which QEMU has. What is
// wanted without a look is believed of the last one.
Result<void> MachineRoom::choose_backend(const image::Kernel& kernel, const std::string& wanted,
                                         BootKernel& boot) {
  const auto list = candidates(wanted);
  if (list.empty()) return fail(Errc::not_found, "vmm: " + wanted + " is not installed");
  for (vmm::Backend* backend : list) {
    boot.backend = backend;
    boot.path = path_for(*backend, kernel);
    if (config_.vmm.accel == core::Accel::tcg) return {};
    const bool is_last = backend == list.back();
    if (is_last && config_.vmm.accel == core::Accel::kvm) {
      boot.accel = vmm::Accel::kvm;
      boot.no_kvm.clear();
      return {};
    }
    TRY_ASSIGN(const vmm::ProbeResult result, probe(*backend, kernel, boot));
    boot.accel = result.accel;
    boot.no_kvm = result.reason;
    if (result.accel == vmm::Accel::kvm) return {};
    if (!is_last) {
      log(Level::warn, "backend_not_used",
          {{"vmm", std::string(backend->name())},
           {"reason", result.reason},
           {"kernel", kernel.name}});
    }
  }
  return accept_emulation(kernel, boot);
}

Result<void> MachineRoom::accept_emulation(const image::Kernel& kernel,
                                           const BootKernel& boot) const {
  if (boot.backend == firecracker_.get()) {
    return fail(Error{Errc::unsupported,
                      "kernel " + kernel.name + " does not run under Firecracker: " + boot.no_kvm,
                      "set vmm.backend: auto"});
  }
  log(Level::warn, "no_kvm",
      {{"reason", boot.no_kvm},
       {"effect", "VMs run in software emulation, many times slower"},
       {"kernel", kernel.name}});
  return {};
}

std::string MachineRoom::image_of_vmm(int pid) const {
  const std::string directory = "/proc/" + std::to_string(pid) + "/fd";
  std::set<std::pair<dev_t, ino_t>> open;
  const auto names = sys::list_directory(directory);
  for (const auto& name : names ? *names : std::vector<std::string>{}) {
    struct stat info {};
    if (::stat((directory + "/" + name).c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    open.emplace(info.st_dev, info.st_ino);
  }
  const std::string store = config_.state_dir + "/images";
  const auto entries = sys::list_directory(store);
  for (const auto& entry : entries ? *entries : std::vector<std::string>{}) {
    constexpr std::string_view kPrefix = "sha256-";
    struct stat info {};
    const std::string path = store + "/" + entry + "/rootfs.ext4";
    if (!entry.starts_with(kPrefix) || ::stat(path.c_str(), &info) != 0) continue;
    if (open.contains({info.st_dev, info.st_ino})) return "sha256:" + entry.substr(kPrefix.size());
  }
  return {};
}

Result<BootKernel> MachineRoom::kernel(const core::Profile& profile) {
  TRY_ASSIGN(const image::Kernel found, kernels_.find(profile.kernel));
  const std::string& wanted = vmm_of(profile);
  const std::pair key{found.digest, wanted};
  if (const auto it = ready_.find(key); it != ready_.end()) return it->second;
  BootKernel boot;
  boot.name = found.name;
  TRY_ASSIGN(boot.initramfs, image::make_initramfs(config_.state_dir, found, agent_));
  TRY(choose_backend(found, wanted, boot));
  log(Level::info, "kernel_ready",
      {{"kernel", boot.name},
       {"vmm", std::string(boot.backend->name()) + " " + boot.backend->version()},
       {"accel", std::string(vmm::accel_name(boot.accel))}});
  ready_[key] = boot;
  return boot;
}

// No VM depends on it.
std::optional<image::PinnedActions> MachineRoom::pin_actions() const {
  if (!config_.action_cache.enabled) return std::nullopt;
  auto pinned = actions_.pin_current();
  if (pinned) return std::move(*pinned);
  log(Level::warn, "action_cache_not_used",
      with_error({{"effect", "jobs download their actions"}}, pinned.error()));
  return std::nullopt;
}

Result<BootParts> MachineRoom::parts(const core::Profile& profile, const std::string& image) {
  BootParts parts;
  TRY_ASSIGN(parts.image, images_.pin(image.empty() ? profile.image : image));
  TRY_ASSIGN(parts.engine, engine_mode(parts.image.manifest.labels));
  std::string runner = config_.runner_of(profile);
  if (!runner.empty()) {
    // Followed once: what is current may change at any moment.
    TRY_ASSIGN(const image::Manifest release, runners_.find(runner));
    runner = release.name;
    parts.tools = runners_.drive_path(runner);
    TRY_ASSIGN(parts.tools_pin, runners_.pin(runner));
  }
  parts.actions = pin_actions();
  TRY_ASSIGN(parts.kernel, kernel(profile));
  parts.about = "Image: " + profile.image + " (" + parts.image.manifest.id +
                ")\nKernel: " + parts.kernel.name +
                "\nRunner: " + (runner.empty() ? "of the image" : runner) + "\n";
  return parts;
}

std::string MachineRoom::kind(const core::Profile& profile, const BootParts& parts) const {
  std::string all = MVR_VERSION "\n" + sys::boot_id() + "\n" + profile.name + "\n" +
                    parts.image.manifest.id + "\n" + parts.tools;
  for (const std::string& path : {parts.kernel.path, parts.kernel.initramfs}) {
    struct stat info {};
    (void)::stat(path.c_str(), &info);  // of zeroes where there is none: no VM boots from it
    all += "\n" + path + " " + std::to_string(info.st_ino) + " " + std::to_string(info.st_size) +
           " " + std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec);
  }
  return all;
}

Result<std::string> MachineRoom::scratch_template(Bytes size) {
  const std::string directory = config_.state_dir + "/scratch";
  const std::string path = directory + "/" + std::to_string(size.value) + ".ext4";
  if (sys::exists(path)) return path;
  TRY(sys::make_directories(directory, 0700));
  const std::string draft = path + ".new";
  TRY(sys::remove_file(draft));
  TRY(context(image::make_scratch_template(draft, size),
              "scratch template of " + format_bytes(size)));
  TRY(sys::rename_durably(draft, path));
  return path;
}

}  // namespace mvr::daemon
