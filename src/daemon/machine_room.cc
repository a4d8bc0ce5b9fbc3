#include "daemon/machine_room.h"

#include <unistd.h>

#include <array>
#include <climits>
#include <filesystem>

#include "base/text.h"
#include "daemon/engine_mode.h"
#include "daemon/journal.h"
#include "image/build.h"
#include "image/initramfs.h"
#include "sys/files.h"
#include "vmm/probe.h"
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

std::string image_of_vmm(int pid) {
  const std::string directory = "/proc/" + std::to_string(pid) + "/fd";
  const auto names = sys::list_directory(directory);
  for (const auto& name : names ? *names : std::vector<std::string>{}) {
    std::error_code error;
    const auto path = std::filesystem::read_symlink(directory + "/" + name, error);
    constexpr std::string_view prefix = "sha256-";
    const std::string entry = path.parent_path().filename();
    const bool is_image = !error && path.filename() == "rootfs.ext4" && entry.starts_with(prefix);
    if (is_image) return "sha256:" + entry.substr(prefix.size());
  }
  return {};
}

MachineRoom::MachineRoom(const core::Config& config)
    : config_(config),
      images_(config.state_dir),
      kernels_(config.state_dir),
      runners_(config.state_dir),
      actions_(config.state_dir) {}

Result<std::unique_ptr<MachineRoom>> MachineRoom::open_to_look(const core::Config& config) {
  std::unique_ptr<MachineRoom> room(new MachineRoom(config));
  TRY_ASSIGN(room->agent_, find_agent());
  TRY_ASSIGN(room->backend_, vmm::make_qemu(config.vmm.qemu_binary));
  return room;
}

Result<std::unique_ptr<MachineRoom>> MachineRoom::open(const core::Config& config) {
  TRY_ASSIGN(auto room, open_to_look(config));
  auto cgroups = sys::CgroupRoot::open(config.instance);
  if (!cgroups) {
    log(Level::warn, "no_cgroups",
        {{"error", cgroups.error().what}, {"effect", "VMs run without limits on the host"}});
    return room;
  }
  room->cgroups_ = std::move(*cgroups);
  if (room->cgroups_->controllers().empty()) {
    log(Level::warn, "no_cgroup_controllers",
        {{"effect", "VMs run without memory and CPU limits on the host"},
         {"remedy",
          "boot with the unified cgroup hierarchy (systemd.unified_cgroup_hierarchy=1)"}});
  }
  return room;
}

std::string MachineRoom::why_not(const core::Profile& profile) const {
  if (auto found = images_.find(profile.image); !found) return found.error().what;
  if (auto found = kernels_.find(profile.kernel); !found) return found.error().what;
  const std::string& runner = config_.runner_of(profile);
  if (runner.empty()) return {};
  if (auto found = runners_.find(runner); !found) return found.error().what;
  return {};
}

std::string MachineRoom::origin(const core::Profile& profile) const {
  std::string all = std::string(backend_->name()) + " " + backend_->version() + " " + MVR_VERSION;
  if (const auto image = images_.find(profile.image)) all += "\n" + image->id;
  if (const auto kernel = kernels_.find(profile.kernel)) all += "\n" + kernel->digest;
  if (const std::string& name = config_.runner_of(profile); !name.empty()) {
    if (const auto runner = runners_.find(name)) all += "\n" + runner->digest;
  }
  const core::Resources& size = profile.size;
  all += "\n" + std::to_string(size.memory.value) + " " + std::to_string(size.vcpus) + " " +
         std::to_string(size.disk.value) + "\n" + profile.kernel_args +
         (config_.registry_mirror.enabled ? "\nmirror" : "");
  return std::to_string(stable_hash(all));
}

Result<void> MachineRoom::choose_accelerator(const image::Kernel& kernel, BootKernel& boot) {
  if (config_.vmm.accel == core::Accel::kvm) boot.accel = vmm::Accel::kvm;
  if (config_.vmm.accel != core::Accel::automatic) return {};
  vmm::ProbeInput input;
  input.backend = backend_.get();
  input.kernel = kernel.path;
  input.kernel_id = kernel.digest;
  input.initramfs = boot.initramfs;
  input.work_dir = config_.state_dir + "/probe";
  input.cache_dir = config_.state_dir + "/accel";
  input.uid = config_.vmm.uid_base;  // what a VM of slot 0 may open
  TRY_ASSIGN(const vmm::ProbeResult result, vmm::probe_accel(input));
  if (result.accel == vmm::Accel::tcg) {
    log(Level::warn, "no_kvm",
        {{"reason", result.reason},
         {"effect", "VMs run in software emulation, many times slower"},
         {"kernel", kernel.name}});
  }
  boot.accel = result.accel;
  boot.no_kvm = result.reason;
  return {};
}

Result<BootKernel> MachineRoom::kernel(const std::string& name) {
  TRY_ASSIGN(const image::Kernel found, kernels_.find(name));
  if (const auto it = ready_.find(found.digest); it != ready_.end()) return it->second;
  BootKernel boot;
  boot.name = found.name;
  boot.path = found.path;
  TRY_ASSIGN(boot.initramfs, image::make_initramfs(config_.state_dir, found, agent_));
  TRY(choose_accelerator(found, boot));
  log(Level::info, "kernel_ready",
      {{"kernel", boot.name},
       {"vmm", std::string(backend_->name()) + " " + backend_->version()},
       {"accel", std::string(vmm::accel_name(boot.accel))}});
  ready_[found.digest] = boot;
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
  TRY_ASSIGN(parts.kernel, kernel(profile.kernel));
  parts.about = "Image: " + profile.image + " (" + parts.image.manifest.id +
                ")\nKernel: " + parts.kernel.name +
                "\nRunner: " + (runner.empty() ? "of the image" : runner) + "\n";
  return parts;
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
