// Dockerfile -> image. RUN steps are trusted code: they run in the builder on this host.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/builder_output.h"
#include "image/progress.h"
#include "image/store.h"

namespace mvr::image {

struct BuildOptions {
  std::string name;              // the tag it is for
  std::string dockerfile;        // path; empty: <context>/Dockerfile
  std::string context;           // directory
  std::string builder = "auto";  // auto | docker | podman | buildah
  std::map<std::string, std::string> build_args;
  std::vector<std::string> secrets;  // "id=token,src=FILE" or "id=token,env=NAME"
  std::string target;
  std::string platform;   // "linux/amd64"; Err unsupported unless this host boots it
  bool no_cache = false;  // build it although nothing changed, and without the builder's cache
  bool pull = false;      // ask the registries for newer bases
  std::function<void(const std::string&)> progress;  // one line per step of ours
  std::function<void(const std::string&)> output;    // every line of the builder
  std::function<void(const BuildStep&)> step;        // the builder's step that begins
  Bar bar;                                           // how far the latest of ours is
};
struct Built {
  Manifest manifest;
  bool is_unchanged = false;  // found by its key: no builder ran
};
// Builds, flattens, writes ext4, checks it (e2fsck -fn), adds it to the store under its build key.
// No tag moves yet. What was built before from all the same is found by that key instead. On any
// Err nothing is left behind.
Result<Built> build_image(const ImageStore& store, const BuildOptions& options);

// Builders that answer (not merely are installed), in order of preference, with their version or
// why they do not answer.
struct BuilderStatus {
  std::string name;
  bool answers = false;
  std::string detail;
};
std::vector<BuilderStatus> find_builders();

// An empty scratch disk of this size at `path` (sparse, packed metadata, no journal): the
// template copied for every VM.
Result<void> make_scratch_template(const std::string& path, Bytes size);

}  // namespace mvr::image
