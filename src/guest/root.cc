#include "guest/root.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "base/fd.h"
#include "guest/boot.h"
#include "guest/files.h"
#include "guest/kernel_files.h"

namespace mvr::guest {
namespace {

constexpr std::chrono::milliseconds kLookAgain{5};
// Drives are found while their driver is loaded; the wait is for one that probes late.
constexpr std::chrono::milliseconds kFirstDrive{200};
constexpr std::chrono::milliseconds kOtherDrive{3000};

// The scratch is thrown away with the VM, so the upper layer needs no syncs (volatile). The other
// three are off because Docker refuses native diffs on an overlay that has them.
constexpr const char* kOverlay = ",redirect_dir=off,index=off,metacopy=off,volatile";

struct Bound {
  const char* source;  // below the scratch
  const char* target;
  mode_t mode;
};
// An overlay cannot be the upper layer of another: engines of containers need a plain filesystem.
constexpr std::array<Bound, 3> kBound{{{"docker", "/var/lib/docker", 0710},
                                       {"containerd", "/var/lib/containerd", 0711},
                                       {"tmp", "/tmp", 01777}}};

class Drives {
 public:
  explicit Drives(const std::vector<std::string>& order) : order_(order) {}

  [[nodiscard]] std::optional<std::string> find(const std::string& serial) const {
    for (const std::string& name : list_directory("/sys/block")) {
      if (name.substr(0, 2) == "vd" && is_called(name, serial)) return "/dev/" + name;
    }
    return std::nullopt;
  }

  [[nodiscard]] std::optional<std::string> wait_for(const std::string& serial,
                                                    std::chrono::milliseconds limit) const {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    auto drive = find(serial);
    while (!drive && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(kLookAgain);
      drive = find(serial);
    }
    return drive;
  }

 private:
  [[nodiscard]] bool is_called(const std::string& name, const std::string& serial) const {
    if (order_.empty()) {
      return read_file("/sys/block/" + name + "/serial").value_or(std::string()) == serial;
    }
    // At most 16 (words.h), so that the letters do not end.
    const auto place = std::find(order_.begin(), order_.end(), serial);
    return place != order_.end() &&
           name == std::string("vd") + static_cast<char>('a' + (place - order_.begin()));
  }

  const std::vector<std::string>& order_;
};

Result<void> mount_at(const std::string& source, const std::string& target, const char* type,
                      unsigned long flags, const std::string& options) {
  TRY(make_directory(target));
  if (::mount(source.c_str(), target.c_str(), type, flags, options.c_str()) == 0) return {};
  return fail_errno(errno, "mount " + target + " from " + source);
}

Result<void> make_with_mode(const std::string& path, mode_t mode) {
  TRY(make_directory(path));
  if (::chmod(path.c_str(), mode) == 0) return {};  // mkdir obeys the umask
  return fail_errno(errno, "set the mode of " + path);
}

Result<void> mount_overlay(const std::string& lower, const std::string& scratch,
                           const std::string& name, const std::string& target) {
  const std::string upper = scratch + "/" + name + "-upper";
  const std::string work = scratch + "/" + name + "-work";
  TRY(make_directory(upper));
  TRY(make_directory(work));
  return mount_at("overlay", target, "overlay", 0,
                  "lowerdir=" + lower + ",upperdir=" + upper + ",workdir=" + work + kOverlay);
}

// /dev, /proc and /sys go along; then the root moves onto "/" (what switch_root(8) does).
Result<void> switch_root(const std::string& root) {
  for (const char* name : {"/dev", "/proc", "/sys"}) {
    const std::string target = root + name;
    TRY(make_directory(target));
    if (::mount(name, target.c_str(), nullptr, MS_MOVE, nullptr) != 0) {
      return fail_errno(errno, "move " + target);
    }
  }
  if (::chdir(root.c_str()) != 0 || ::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 ||
      ::chroot(".") != 0 || ::chdir("/") != 0) {
    return fail_errno(errno, "switch to the root of the image");
  }
  return {};
}

Result<Fd> open_directory(const std::string& path) {
  Fd directory(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return fail_errno(errno, "open " + path);
  return directory;
}

Result<void> bind_scratch(const std::string& scratch) {
  for (const Bound& bound : kBound) {
    const std::string source = scratch + "/" + bound.source;
    TRY(make_with_mode(source, bound.mode));
    TRY(mount_at(source, bound.target, nullptr, MS_BIND, ""));
  }
  return {};
}

// The runner's work directory is bound too: jobs write there most.
Result<void> mount_tools(const std::string& tools, const std::string& scratch) {
  TRY(mount_overlay(tools, scratch, "tools", kToolsDirectory));
  TRY(make_directory(scratch + "/work"));
  return mount_at(scratch + "/work", std::string(kToolsDirectory) + "/_work", nullptr, MS_BIND, "");
}

// Mounts the drives below the initramfs; empty when there is no tools drive.
Result<Fd> mount_drives(const Drives& drives, const std::string& base, const std::string& scratch) {
  TRY(mount_at(base, "/base", "ext4", MS_RDONLY | MS_NOATIME, ""));
  TRY(mount_at(scratch, "/scratch", "ext4", MS_NOATIME, "discard"));
  const auto tools = drives.find("tools");
  if (!tools) return Fd();
  TRY(mount_at(*tools, "/tools", "ext4", MS_RDONLY | MS_NOATIME, ""));
  return open_directory("/tools");
}

// A job that has to do without archives takes longer, and that is all: in no way does its VM depend
// on them.
void mount_action_archives(const Drives& drives, Root& root) {
  const auto drive = drives.find("actions");
  if (!drive) return;
  constexpr unsigned long kFlags = MS_RDONLY | MS_NOATIME | MS_NOSUID | MS_NODEV;
  root.action_archives = context(mount_at(*drive, kActionArchives, "ext4", kFlags, ""),
                                 "actions are downloaded as ever");
  root.has_action_archives = root.action_archives.has_value();
}

}  // namespace

// The mounts of the initramfs have no path any more once the root is switched, but their
// descriptors have.
std::string path_of(const Fd& directory) {
  return "/proc/self/fd/" + std::to_string(directory.get());
}

Result<Root> enter_root(const std::vector<std::string>& order) {
  const Drives drives(order);
  const auto base = drives.wait_for("base", kFirstDrive);
  if (!base) return Root{};
  const auto scratch = drives.wait_for("scratch", kOtherDrive);
  if (!scratch) return fail(Errc::not_found, "there is a base drive but no scratch drive");
  TRY_ASSIGN(const Fd tools, mount_drives(drives, *base, *scratch));
  TRY_ASSIGN(const Fd scratch_directory, open_directory("/scratch"));
  const Fd kernel_files(::open(kKernelFiles, O_PATH | O_DIRECTORY | O_CLOEXEC));
  Fd engine_modules(::open(kEngineModules, O_PATH | O_DIRECTORY | O_CLOEXEC));
  TRY(mount_overlay("/base", "/scratch", "root", "/root"));
  TRY(switch_root("/root"));
  TRY(bind_scratch(path_of(scratch_directory)));
  if (tools) TRY(mount_tools(path_of(tools), path_of(scratch_directory)));
  if (kernel_files)
    TRY(place_kernel_files(path_of(kernel_files), "/lib/modules/" + kernel_release()));
  Root root;
  root.mounted = true;
  root.tools = static_cast<bool>(tools);
  root.engine_modules = std::move(engine_modules);
  mount_action_archives(drives, root);
  return root;
}

}  // namespace mvr::guest
