// What the tests of the Firecracker backend share: files as a daemon would make them.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "fixture.h"
#include "sys/unix_socket.h"

namespace mvr::vmm {

// Root gives files to a VM's user; without rights the tests' own user must do.
inline std::uint32_t vm_user() { return ::geteuid() == 0 ? 2'000'123 : ::geteuid(); }
inline bool is_root() { return ::geteuid() == 0; }

// A VM's directory with all that a launch needs, and the listener of its agent.
struct JailFiles {
  JailFiles() {
    spec = spec_in(directory);
    spec.name = "ci-abcdef";
    spec.uid = vm_user();
    spec.accel = Accel::kvm;
    spec.drives = {{"base", directory / "rootfs.ext4", true},
                   {"scratch", directory / "scratch.ext4", false}};
    (void)sys::write_file(spec.kernel, "kernel", 0444);
    (void)sys::write_file(spec.initramfs, "initramfs", 0444);
    (void)sys::write_file(spec.drives[0].path, "base", 0444);
    (void)sys::write_file(spec.drives[1].path, "scratch", 0600);
    (void)sys::change_owner(spec.drives[1].path, spec.uid, spec.uid);
    listen();
  }
  void listen() { listener = sys::listen_unix(spec.agent_socket, 0600).value(); }

  TempDir directory;
  MachineSpec spec;
  Fd listener;
};

inline struct stat status_of(const std::string& path) {
  struct stat info {};
  (void)::lstat(path.c_str(), &info);
  return info;
}

}  // namespace mvr::vmm
