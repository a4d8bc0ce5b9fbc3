// What the images that a Dockerfile starts from are right now.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "image/builder.h"

namespace mvr::image {

struct Base {
  std::string local_id;  // in the builder's store; empty: not there
  std::string digest;    // "sha256:<hex>" of the registry's manifest, where known
};

struct BaseRules {
  bool pull = false;  // the registry counts, not what the builder has
  std::function<void(const std::string&)> progress;
};
// Never starts a build or a download: asks the builder's store and, for what is not there or is to
// be pulled, the registry through skopeo where that is installed. A registry that does not answer
// leaves what the builder has.
std::map<std::string, Base> resolve_bases(const Builder& builder,
                                          const std::vector<std::string>& images,
                                          const BaseRules& rules);

// For the build key. Empty: one of them is not known, so that nothing can be said of the build.
std::optional<std::map<std::string, std::string>> base_identities(
    const std::map<std::string, Base>& bases);
// For the manifest: "debian:12@sha256:<hex>".
std::vector<std::string> base_texts(const std::map<std::string, Base>& bases);

}  // namespace mvr::image
