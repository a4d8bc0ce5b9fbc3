// What this host has: memory, CPUs (affinity and cgroup limits respected).
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/units.h"

namespace mvr::sys {

struct HostFacts {
  Bytes memory;            // MemTotal, or the cgroup limit above us when smaller
  std::uint32_t cpus = 0;  // usable by this process
  std::string hostname;
  std::string kernel;   // uname -r
  std::string machine;  // "x86_64", "aarch64"
};
Result<HostFacts> host_facts();

}  // namespace mvr::sys
