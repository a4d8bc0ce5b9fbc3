// The programs that run Dockerfiles: docker, podman, buildah. They differ only in here.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/result.h"
#include "image/image_config.h"

namespace mvr::image {

struct Builder {
  enum class Kind { docker, podman, buildah };
  Kind kind = Kind::buildah;
  std::string name;     // "buildah"
  std::string program;  // its path
  std::string version;
  [[nodiscard]] std::string to_text() const { return name + " " + version; }
};

// `wanted`: "auto" is the first that answers. Err unavailable says for each why it does not.
Result<Builder> choose_builder(const std::string& wanted);

struct BuildRequest {
  std::string tag;         // "localhost/mvrunner:debian-12"
  std::string dockerfile;  // absolute
  std::string context;     // absolute
  std::map<std::string, std::string> arguments;
  std::string target;
  bool no_cache = false;
  std::string id_file;  // where the builder writes the image's id
  std::function<void(const std::string&)> progress;
};
// Runs the Dockerfile with the builder's output live on stderr; the id of the image.
Result<std::string> run_build(const Builder& builder, const BuildRequest& request);
Result<ImageConfig> inspect_image(const Builder& builder, const std::string& id);

// Removes working containers of ours whose process is gone. Best effort.
void sweep_containers(const Builder& builder);

// A working container made from an image, never started: its tree may be changed without touching
// the image. Destroying it removes the container.
class WorkingContainer {
 public:
  static Result<WorkingContainer> make(const Builder& builder, const std::string& image_id);
  WorkingContainer(WorkingContainer&& other) noexcept;
  WorkingContainer(const WorkingContainer&) = delete;
  WorkingContainer& operator=(const WorkingContainer&) = delete;
  WorkingContainer& operator=(WorkingContainer&&) = delete;
  ~WorkingContainer();

  // The directory with the whole tree, owners and attributes kept: mounted, or for docker unpacked
  // into `scratch`, which is made.
  Result<std::string> tree(const std::string& scratch) const;
  Result<void> remove();

 private:
  WorkingContainer(Builder builder, std::string name);
  [[nodiscard]] Result<void> export_to(const std::string& directory) const;
  Builder builder_;
  std::string name_;
};

}  // namespace mvr::image
