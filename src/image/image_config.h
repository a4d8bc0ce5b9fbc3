// What the builders say about an image they made.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace mvr::image {

struct ImageConfig {
  std::string architecture;  // Go's name: "amd64"
  std::vector<std::string> env;
  std::string user;
  std::string workdir;
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;
  std::map<std::string, std::string> labels;
};

// From `docker image inspect`, `podman image inspect` (a list of one image) or `buildah inspect
// --type image`. An absent or null member is empty; anything of another type, a NUL, and more than
// an image may sensibly hold are Err.
Result<ImageConfig> parse_inspect(const std::string& json);

}  // namespace mvr::image
