// How an image that was built, imported or pulled gets its tag: after its canary.
#pragma once

#include <memory>
#include <string>

#include "cli/cli.h"
#include "image/store.h"

namespace mvr::cli {

struct PublishOptions {
  std::string tag;
  bool smoke = true;  // try it in a VM first
  bool keep = false;  // keep one that is no good, without the tag
  std::function<void(const std::string&)> progress;
};

// Adds --smoke, --no-smoke and --keep.
void add_publish_options(CLI::App& verb, PublishOptions& options);

// The tag moves to the image when that is good. One that is no good goes, unless it is to be kept;
// one that could not be tried stays, without the tag, and the error says how to go on. The tag
// keeps what it had in both cases.
Result<void> publish_image(const Context& context, const std::string& id,
                           const PublishOptions& options);

}  // namespace mvr::cli
