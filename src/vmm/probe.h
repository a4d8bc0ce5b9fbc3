// Accelerator probe: /dev/kvm that opens may still not run a guest. Really boots the agent from
// kernel + initramfs with a deadline and remembers the answer.
#pragma once

#include <string>

#include "base/result.h"
#include "vmm/machine.h"

namespace mvr::vmm {

struct ProbeInput {
  Backend* backend = nullptr;
  std::string kernel;
  std::string kernel_id;  // digest: part of the key
  std::string initramfs;
  std::string work_dir;   // a directory for the probe VM; emptied afterwards
  std::string cache_dir;  // <state>/accel: one JSON file per key
  Duration deadline{15'000};
};
struct ProbeResult {
  Accel accel = Accel::tcg;
  std::string reason;  // why not KVM; empty when KVM works
  bool from_cache = false;
};
// Key: backend + version, kernel id, host kernel release, CPU model. Blocking.
Result<ProbeResult> probe_accel(const ProbeInput& input);

}  // namespace mvr::vmm
