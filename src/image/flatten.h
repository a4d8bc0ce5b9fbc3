// A built image as one tar stream: its whole tree, owners and attributes kept.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "image/builder.h"
#include "sys/process.h"

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

// A command whose stdout is read. What it says on stderr goes to a file for an error text.
class TreeStream {
 public:
  struct Options {
    std::vector<std::string> argv;
    std::vector<std::string> extra_environment;
    std::string log;  // where its stderr goes
  };
  static Result<TreeStream> start(const Options& options);
  [[nodiscard]] int fd() const { return read_.get(); }
  // After the reader has had its say: Err when the command failed, with what it said. A reader
  // that gave up early has closed the stream on it, which counts as the reader's failure.
  Result<void> finish(bool reader_is_content);

 private:
  TreeStream(Options options, Fd read, sys::Process process);
  Options options_;
  Fd read_;
  sys::Process process_;
};

}  // namespace mvr::image
