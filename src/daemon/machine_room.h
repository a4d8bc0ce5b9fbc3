// What all VMs of this host share: the VMM backends, kernels with their initramfs and accelerator,
// images, scratch templates, the cgroup root. Answers "what does a VM of this profile boot from".
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "core/config.h"
#include "core/names.h"
#include "daemon/saved_states.h"
#include "image/action_store.h"
#include "image/runner_store.h"
#include "image/store.h"
#include "sys/cgroup.h"
#include "vmm/machine.h"
#include "vmm/probe.h"

namespace mvr::daemon {

// A kernel ready to boot: with our initramfs, and the VMM and accelerator it was seen to run under.
struct BootKernel {
  std::string name;
  std::string path;
  std::string initramfs;
  vmm::Backend* backend = nullptr;
  vmm::Accel accel = vmm::Accel::tcg;
  std::string no_kvm;  // why a guest does not run under KVM; empty: it does, or was not asked to
};

// Files for one VM, pinned while the descriptors live.
struct BootParts {
  BootKernel kernel;
  image::PinnedImage image;
  std::string tools;   // empty: the image has its own runner
  std::string engine;  // when the image's Docker engine starts, as the agent's mvr.engine= has it
  std::string about;   // lines for people: image, kernel, runner
  Fd tools_pin;
  std::optional<image::PinnedActions> actions;  // where the cache is on, once it has a drive
};

// The VMMs' programs as they are run: what is named without a directory is of the release that
// `mvrunner firecracker install` made current, else PATH's.
core::VmmSettings vmm_programs(const core::Config& config);

class MachineRoom {
 public:
  static Result<std::unique_ptr<MachineRoom>> open(const core::Config& config);
  // Without a cgroup root, for a look beside a daemon that has one.
  static Result<std::unique_ptr<MachineRoom>> open_to_look(const core::Config& config);

  // Of a VM that outlived the daemon, by what is in its directory: what new VMs run under may be
  // another one by now. Err not_found when its VMM is not installed any more.
  [[nodiscard]] Result<vmm::Backend*> backend_of(const core::SlotNames& names) const;
  [[nodiscard]] const std::optional<sys::CgroupRoot>& cgroups() const { return cgroups_; }
  // Why a VM of this profile cannot boot (image or kernel missing); empty: it can.
  [[nodiscard]] std::string why_not(const core::Profile& profile) const;
  // All that makes a booted VM of this profile what it is, as one text to compare: image, kernel,
  // runner release, and what the profile gives the VM. Call it when why_not() is empty.
  [[nodiscard]] std::string origin(const core::Profile& profile) const;
  // The first use of a kernel makes its initramfs and probes the accelerator: that may take
  // seconds once per kernel and VMM version, and is done at start for configured profiles.
  Result<BootKernel> kernel(const core::Profile& profile);
  // `image` in place of the profile's: of a VM that was booted before a tag moved.
  Result<BootParts> parts(const core::Profile& profile, const std::string& image = "");
  // The id of the image that a running VMM has open; empty: none of the store. By the file itself:
  // a VMM in a jail has another name for it.
  [[nodiscard]] std::string image_of_vmm(int pid) const;
  // What besides its machine a VM's saved state depends on, as one text to compare.
  [[nodiscard]] std::string kind(const core::Profile& profile, const BootParts& parts) const;
  SavedStates& saved_states() { return saved_states_; }
  // The template for a scratch disk of this size; made on first use.
  Result<std::string> scratch_template(Bytes size);

 private:
  explicit MachineRoom(const core::Config& config);
  std::optional<image::PinnedActions> pin_actions() const;
  Result<void> open_backends();
  [[nodiscard]] Result<void> check_limits(const std::string& no_cgroups) const;
  [[nodiscard]] const std::string& vmm_of(const core::Profile& profile) const;
  // For new VMs, the better one first; `wanted` as in the configuration.
  [[nodiscard]] std::vector<vmm::Backend*> candidates(const std::string& wanted) const;
  [[nodiscard]] std::string path_for(const vmm::Backend& backend,
                                     const image::Kernel& kernel) const;
  Result<void> choose_backend(const image::Kernel& kernel, const std::string& wanted,
                              BootKernel& boot);
  Result<void> accept_emulation(const image::Kernel& kernel, const BootKernel& boot) const;
  Result<vmm::ProbeResult> probe(vmm::Backend& backend, const image::Kernel& kernel,
                                 const BootKernel& boot) const;

  const core::Config& config_;
  image::ImageStore images_;
  image::KernelStore kernels_;
  image::RunnerStore runners_;
  image::ActionStore actions_;
  SavedStates saved_states_;
  std::unique_ptr<vmm::Backend> firecracker_;  // null: not installed
  std::unique_ptr<vmm::Backend> qemu_;         // likewise
  std::optional<sys::CgroupRoot> cgroups_;
  std::string agent_;
  std::map<std::pair<std::string, std::string>, BootKernel> ready_;  // by digest and wanted VMM
};

// The agent program that belongs to this binary: installed beside it, or in its build tree.
Result<std::string> find_agent();

}  // namespace mvr::daemon
