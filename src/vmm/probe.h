// Accelerator probe: /dev/kvm that opens may still not run a guest. Really boots the agent from
// kernel + initramfs with a deadline and remembers the answer.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "vmm/machine.h"

namespace mvr::vmm {

struct ProbeInput {
  Backend* backend = nullptr;
  std::string kernel;
  std::string kernel_id;  // digest: part of the key
  std::string initramfs;
  std::string work_dir;       // a directory for the probe VM; removed afterwards
  std::string cache_dir;      // <state>/accel: one JSON file per key
  std::uint32_t uid = 0;      // a VM's: it must be able to open /dev/kvm; 0 keeps ours
  Duration deadline{60'000};  // a busy host boots slowly, and the answer is kept
  std::string kvm_device = "/dev/kvm";
};
struct ProbeResult {
  Accel accel = Accel::tcg;
  std::string reason;  // why not KVM, one printable line; empty when KVM works
  bool from_cache = false;
};

// Blocking, for `deadline` at most; leaves no process and no file but the cached answer.
// Key of the cache: backend + version, kernel id, uid or not, host kernel release, CPU model.
// "KVM works" holds until one of them changes, "it does not" until the host boots again. An
// unreadable or damaged cache file is no answer, and a cache that cannot be written costs the
// next start another probe. A device that cannot be opened is never cached: no boot is needed to
// see it. Err only when the probe could not be made at all (no kernel, no work directory).
Result<ProbeResult> probe_accel(const ProbeInput& input);

}  // namespace mvr::vmm
