// Dockerfile -> image. RUN steps are trusted code: they run in the builder on this host.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/progress.h"
#include "image/store.h"

namespace mvr::image {

struct BuildOptions {
  std::string name;              // tag
  std::string dockerfile;        // path; empty: <context>/Dockerfile
  std::string context;           // directory
  std::string builder = "auto";  // auto | docker | podman | buildah
  std::map<std::string, std::string> build_args;
  std::string target;
  bool no_cache = false;
  std::function<void(const std::string&)> progress;  // one line per step of ours
  Bar bar;                                           // how far the latest of them is
};
// Builds, flattens, writes ext4 (mke2fs -d), checks it (e2fsck -fn), publishes. On any Err the
// previous image of that name is untouched and nothing is left behind.
Result<Manifest> build_image(const ImageStore& store, const BuildOptions& options);

// Builders that answer (not merely are installed), in order of preference, with their version or
// why they do not answer.
struct BuilderStatus {
  std::string name;
  bool answers = false;
  std::string detail;
};
std::vector<BuilderStatus> find_builders();

// A directory tree with its true owners -> ext4 at `output`. Size is chosen to fit, plus `slack`.
Result<void> write_ext4(const std::string& tree, const std::string& output,
                        const std::string& label, Bytes slack, const Bar& bar = {});
// An empty scratch disk of this size at `path` (sparse, packed metadata, no journal): the
// template copied for every VM.
Result<void> make_scratch_template(const std::string& path, Bytes size);

}  // namespace mvr::image
