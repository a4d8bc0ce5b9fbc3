// The pieces the tests of this folder share.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "sys/files.h"
#include "sys/loop.h"
#include "temp_dir.h"
#include "vmm/machine.h"

namespace mvr::vmm {

using test::TempDir;

// Runs the loop until `done`, at most ten seconds: a test that waits longer has failed.
inline bool run_until(sys::Loop& loop, const std::function<bool()>& done) {
  const Instant deadline = loop.now() + Duration(10'000);
  while (!done() && loop.now() < deadline) {
    if (!loop.run_once(Duration(100))) return false;
  }
  return done();
}

inline MachineSpec spec_in(const TempDir& directory) {
  MachineSpec spec;
  spec.name = "mvr-test";
  spec.directory = directory.path();
  spec.kernel = directory / "vmlinuz";
  spec.initramfs = directory / "initramfs.cpio";
  spec.memory = mib(512);
  spec.console = directory / "console.log";
  spec.agent_socket = directory / "agent.sock";
  spec.monitor_socket = directory / "monitor.sock";
  return spec;
}

// A program that answers --version as QEMU does, and otherwise runs `body` (sh) with our
// arguments and descriptors.
inline std::string fake_qemu(const TempDir& directory, const std::string& body) {
  std::string path = directory / "fake-qemu";
  const std::string script =
      "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'QEMU emulator version 7.2.9'; exit; fi\n" +
      body + "\n";
  (void)sys::write_file(path, script, 0755);
  return path;
}

// A spec whose files exist, for launches that look no further.
inline MachineSpec launchable_spec(const TempDir& directory) {
  MachineSpec spec = spec_in(directory);
  (void)sys::write_file(spec.kernel, "kernel");
  (void)sys::write_file(spec.initramfs, "initramfs");
  return spec;
}

}  // namespace mvr::vmm
