// What this host has: memory, CPUs (affinity and cgroup limits respected).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

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

Result<Bytes> available_memory();  // MemAvailable of /proc/meminfo
// "full avg10" of /proc/pressure/memory (kernel documentation, accounting/psi): the share of the
// last 10 s, in %, in which no task could run for want of memory. 0 where the kernel has no PSI.
double memory_stall();
// The same out of the file's text.
double parse_memory_stall(std::string_view text);

}  // namespace mvr::sys
