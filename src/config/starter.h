// A first configuration: one scope, one credential, and profiles that fit into the host (pure).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "core/config.h"

namespace mvr::config {

// What the host has, before the reserves that are the defaults of the host section.
struct HostRoom {
  Bytes memory;
  std::uint32_t cpus = 0;
  Bytes disk;  // free where the state directory is
};

// Where runners are registered: the address of a repository, an organization or an enterprise as
// it stands in a browser, split into the server and the scope.
struct Target {
  std::string server;  // "https://github.com"
  core::Scope scope;
};
Result<Target> parse_target(std::string_view url);

struct StarterProfile {
  std::string name;
  std::uint32_t vcpus = 0;
  Bytes memory;
  Bytes disk;
  std::uint32_t at_once = 0;  // how many of them the host holds
};
// The common sizes that fit, smallest first; on a small host one that takes what there is. Err
// unsupported when not even a VM of 512MiB fits.
Result<std::vector<StarterProfile>> fitting_profiles(const HostRoom& room);

struct Starter {
  Target target;
  core::Credentials credentials;  // a token_file or an app with key_file
  HostRoom room;
  std::uint32_t max_vms = 0;  // 0: as many as fit
};
// The file, with comments that say how it was chosen.
Result<std::string> starter_yaml(const Starter& starter);

}  // namespace mvr::config
