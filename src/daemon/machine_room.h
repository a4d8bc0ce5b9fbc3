// What all VMs of this host share: the VMM backend, kernels with their initramfs and accelerator,
// images, scratch templates, the cgroup root. Answers "what does a VM of this profile boot from".
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "core/config.h"
#include "image/action_store.h"
#include "image/runner_store.h"
#include "image/store.h"
#include "sys/cgroup.h"
#include "vmm/machine.h"

namespace mvr::daemon {

// A kernel ready to boot: with our initramfs, and the accelerator it was seen to run under.
struct BootKernel {
  std::string name;
  std::string path;
  std::string initramfs;
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

class MachineRoom {
 public:
  static Result<std::unique_ptr<MachineRoom>> open(const core::Config& config);
  // Without a cgroup root, for a look beside a daemon that has one.
  static Result<std::unique_ptr<MachineRoom>> open_to_look(const core::Config& config);

  [[nodiscard]] vmm::Backend& backend() const { return *backend_; }
  [[nodiscard]] const std::optional<sys::CgroupRoot>& cgroups() const { return cgroups_; }
  // Why a VM of this profile cannot boot (image or kernel missing); empty: it can.
  [[nodiscard]] std::string why_not(const core::Profile& profile) const;
  // All that makes a booted VM of this profile what it is, as one text to compare: image, kernel,
  // runner release, and what the profile gives the VM. Call it when why_not() is empty.
  [[nodiscard]] std::string origin(const core::Profile& profile) const;
  // The first use of a kernel makes its initramfs and probes the accelerator: that may take
  // seconds once per kernel and VMM version, and is done at start for configured profiles.
  Result<BootKernel> kernel(const std::string& name);
  // `image` in place of the profile's: of a VM that was booted before a tag moved.
  Result<BootParts> parts(const core::Profile& profile, const std::string& image = "");
  // The template for a scratch disk of this size; made on first use.
  Result<std::string> scratch_template(Bytes size);

 private:
  explicit MachineRoom(const core::Config& config);
  std::optional<image::PinnedActions> pin_actions() const;
  Result<void> choose_accelerator(const image::Kernel& kernel, BootKernel& boot);

  const core::Config& config_;
  image::ImageStore images_;
  image::KernelStore kernels_;
  image::RunnerStore runners_;
  image::ActionStore actions_;
  std::unique_ptr<vmm::Backend> backend_;
  std::optional<sys::CgroupRoot> cgroups_;
  std::string agent_;
  std::map<std::string, BootKernel> ready_;  // by digest
};

// The id of the image that a running VMM has open; empty: none of ours.
std::string image_of_vmm(int pid);

// The agent program that belongs to this binary: installed beside it, or in its build tree.
Result<std::string> find_agent();

}  // namespace mvr::daemon
