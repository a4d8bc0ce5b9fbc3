// The build key: equal keys, equal builds. What is unchanged need not be built again.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/build_context.h"

namespace mvr::image {

struct KeyParts {
  std::string dockerfile;    // its bytes
  std::string ignore_rules;  // the bytes of the .dockerignore
  std::vector<ContextEntry> context;
  std::map<std::string, std::string> bases;  // image -> what it resolves to
  std::map<std::string, std::string> arguments;
  std::string target;
  std::string platform;
  std::vector<std::string> secret_ids;  // never their values
  std::string builder;                  // kind and version
};
// "sha256:<hex>", also over the version of what writes the filesystem.
std::string build_key(const KeyParts& parts);

}  // namespace mvr::image
