// The programs that run Dockerfiles: docker, podman, buildah. They differ only in here, in
// builder_command.cc and in flatten.cc.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/builder_output.h"
#include "image/dockerfile.h"
#include "image/image_config.h"

namespace mvr::image {

struct Builder {
  enum class Kind { docker, podman, buildah };
  Kind kind = Kind::buildah;
  std::string name;     // "buildah"
  std::string program;  // its path
  std::string version;
  std::string buildx{};      // docker: version of its buildx, empty without one
  bool is_rootless = false;  // podman and buildah of an unprivileged user
  [[nodiscard]] std::string to_text() const { return name + " " + version; }
};

// `wanted`: "auto" is the first that answers. Err unavailable says for each why it does not.
Result<Builder> choose_builder(const std::string& wanted);

// Err unsupported: this builder is too old for something the Dockerfile has; names the line and
// the remedy.
Result<void> check_dockerfile(const Builder& builder, const Dockerfile& file);

// --secret: what RUN --mount=type=secret,id=ID sees. The value is read by the builder alone.
struct Secret {
  std::string id;
  std::string file;  // absolute; or
  std::string variable;
};
// "id=token,src=FILE" or "id=token,env=NAME"; what it names must be there.
Result<Secret> parse_secret(const std::string& text);

struct BuildRequest {
  std::string tag;         // "localhost/mvrunner:debian-12"
  std::string dockerfile;  // absolute
  std::string context;     // absolute
  std::map<std::string, std::string> arguments;
  std::vector<Secret> secrets;
  std::string target;
  std::string platform;  // "linux/amd64"; empty: the builder's own
  bool no_cache = false;
  bool pull = false;
  std::string id_file;  // where the builder writes the image's id
  Dockerfile file;      // of `dockerfile`, to name a failing step
  std::function<void(const std::string&)> progress;
  std::function<void(const std::string&)> output;  // every line of the builder
  std::function<void(const BuildStep&)> step{};    // the one that begins
};

enum class Isolation { builders_own, chroot };
std::vector<std::string> build_command(const Builder& builder, const BuildRequest& request,
                                       Isolation isolation);
// The same build, all cached, as a tar stream on stdout. Only docker needs it: the others mount.
std::vector<std::string> tar_command(const Builder& builder, const BuildRequest& request);
// What the builder's environment must have on top of ours.
std::vector<std::string> extra_environment(const Builder& builder);

// Runs the Dockerfile; how to name the image from then on. Err names the failing step.
Result<std::string> run_build(const Builder& builder, const BuildRequest& request);
Result<ImageConfig> inspect_image(const Builder& builder, const std::string& id);

}  // namespace mvr::image
