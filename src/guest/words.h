// What the host says on the kernel command line, and the image in /etc/environment (pure).
#pragma once

#include <netinet/in.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mvr::guest {

struct NetworkWords {
  in_addr address{};
  unsigned prefix = 0;
  std::optional<in_addr> gateway;
  std::string dns;  // dotted; empty: no resolver
};

// When the image's Docker engine starts: with the VM, at its first use, not at all.
enum class EngineMode { boot, demand, off };

struct BootWords {
  std::string hostname = "mvrunner";
  EngineMode engine = EngineMode::boot;
  std::optional<NetworkWords> network;
  std::string mirror;  // "address:port" of the host's registry mirror; empty: it has none
  bool waits = false;  // who this VM is comes over the channel
  std::vector<std::string> drives;  // in the order of the devices; empty: they have serials
};

// Reads mvr.hostname=, mvr.ip=<address>/<prefix>, mvr.gw=, mvr.dns=, mvr.mirror=,
// mvr.drives=<name>,<name>..., mvr.engine=boot|demand|off and mvr.waits; other words belong to the
// kernel. Err for a bad value, a word of ours that is unknown, and mvr.gw, mvr.dns or mvr.mirror
// without mvr.ip.
Result<BootWords> parse_command_line(std::string_view line);

// NAME=value lines as pam_env reads them: comments, blank lines, "export " and quotes around the
// value are understood, other lines are skipped.
std::map<std::string, std::string> parse_environment(std::string_view text);

}  // namespace mvr::guest
