// A built image, mounted to be read as one tar stream: its whole tree, owners and attributes kept.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "image/builder.h"

namespace mvr::image {

// Removes working containers of ours whose process is gone. Best effort.
void sweep_containers(const Builder& builder);

// A working container made from an image, never started. Destroying it removes the container.
class WorkingContainer {
 public:
  static Result<WorkingContainer> make(const Builder& builder, const std::string& image_id);
  WorkingContainer(WorkingContainer&& other) noexcept;
  WorkingContainer(const WorkingContainer&) = delete;
  WorkingContainer& operator=(const WorkingContainer&) = delete;
  WorkingContainer& operator=(WorkingContainer&&) = delete;
  ~WorkingContainer();

  // The command that mounts it and writes the tree to stdout as tar; of an unprivileged user in
  // the builder's user namespace, where owners are the image's own.
  [[nodiscard]] std::vector<std::string> tar_command() const;
  Result<void> remove();

 private:
  WorkingContainer(Builder builder, std::string name);
  Builder builder_;
  std::string name_;
};

}  // namespace mvr::image
