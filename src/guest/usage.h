// What the guest uses, and what the kernel says when it runs short.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "channel/message.h"

namespace mvr::guest {

// Of "... Out of memory: Killed process 123 (cc1plus) ...": the name. Empty for other lines, also
// for those of groups with a limit of their own, such as a container's.
std::string oom_victim_of(std::string_view kernel_line);

// Of the text of /proc/meminfo, in bytes: the value of "MemTotal:" for example; 0: it has none.
std::uint64_t memory_field(std::string_view meminfo, std::string_view name);

// Of the text of /proc/stat: milliseconds that all CPUs have worked.
std::uint64_t busy_milliseconds(std::string_view stat);

class UsageMeter {
 public:
  UsageMeter();
  // The work begins: peaks and CPU time count from here.
  void begin();
  // Reads /proc and the file system. True when something came up that the host should know at once.
  bool sample();
  // The kernel's log, to wait on; -1: it cannot be read.
  [[nodiscard]] int kernel_log() const { return kernel_log_.get(); }
  // Reads what is new there. True as above.
  bool read_kernel_log();
  // What the runner says of its connection; empty: all is well. True as above.
  bool set_network_trouble(std::string_view text);
  [[nodiscard]] const channel::Usage& usage() const { return usage_; }

 private:
  channel::Usage usage_;
  std::uint64_t cpu_before_ms_ = 0;
  Fd kernel_log_;
};

}  // namespace mvr::guest
