// The stores below <state>: images/ (ext4 + manifest), kernels/, runners/ (tools drives).
// An entry is a directory named by a tag; publication is one rename.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"
#include "image/progress.h"

namespace mvr::image {

struct Manifest {
  std::string name;
  std::string digest;  // "sha256:<hex>" of rootfs.ext4
  Bytes size;          // apparent
  Bytes allocated;
  std::string created;  // ISO 8601
  std::string builder;  // "buildah 1.28.2"
  std::string source;   // Dockerfile path, as given
  std::string architecture;
  std::vector<std::string> env;  // of the image config
  std::string user;
  std::string workdir;
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;
  std::map<std::string, std::string> labels;
};
std::string manifest_json(const Manifest& manifest);       // pretty, stable order
Result<Manifest> parse_manifest(const std::string& json);  // strict

// A directory nobody else touches. Its lock ends with the process, so that a later build can tell
// a stale one; destroying it removes it.
class WorkDirectory {
 public:
  WorkDirectory(std::string path, Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  WorkDirectory(WorkDirectory&& other) noexcept;
  WorkDirectory& operator=(WorkDirectory&& other) noexcept;
  WorkDirectory(const WorkDirectory&) = delete;
  WorkDirectory& operator=(const WorkDirectory&) = delete;
  ~WorkDirectory();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  void remove();
  std::string path_;
  Fd lock_;
};

// <state>/images/<name>/{rootfs.ext4,manifest.json}. Names: [a-z0-9][a-z0-9._-]{0,63}.
class ImageStore {
 public:
  explicit ImageStore(std::string state_dir) : state_dir_(std::move(state_dir)) {}
  // By name. An entry whose manifest cannot be read is left out: find() says what is wrong with it.
  Result<std::vector<Manifest>> list() const;
  Result<Manifest> find(const std::string& name) const;  // Err not_found names the remedy
  [[nodiscard]] std::string rootfs_path(const std::string& name) const;
  // A shared lock on rootfs.ext4: as long as it (or a VMM that inherited it) lives, remove() and
  // replacement keep the file. Held by the daemon per VM.
  Result<Fd> pin(const std::string& name) const;
  // Err busy while any VM holds it.
  Result<void> remove(const std::string& name) const;
  // Where a build works (same filesystem); swept of stale ones first.
  Result<WorkDirectory> make_work_directory() const;
  // Writes the manifest beside <work>/rootfs.ext4 and moves both into place under manifest.name,
  // replacing the tag in one step. VMs on the old file keep it (it stays until they end).
  Result<void> publish(const std::string& work, const Manifest& manifest) const;

 private:
  std::string state_dir_;
};

// <state>/kernels/<release>/{vmlinuz,modules/...,kernel.json}; "default" = newest by version.
struct Kernel {
  std::string name;     // release: "6.1.0-39-cloud-amd64"
  std::string path;     // of the image to boot
  std::string modules;  // directory with modules.dep, or empty: all built in
  std::string digest;
  std::string source;  // the package file
};
class KernelStore {
 public:
  explicit KernelStore(std::string state_dir) : state_dir_(std::move(state_dir)) {}
  // Newest first. An entry whose record cannot be read is left out: find() says what is wrong.
  Result<std::vector<Kernel>> list() const;
  Result<Kernel> find(const std::string& name) const;
  // From kernel package files (.deb: the image and, where the distribution splits them off, its
  // modules); none given: this distribution's newest cloud kernel through `apt-get download`.
  // `progress` gets one line per step, `bar` how far a download is. On any Err the store is as
  // before.
  Result<Kernel> install(const std::vector<std::string>& packages,
                         const std::function<void(const std::string&)>& progress,
                         const Bar& bar = {}) const;
  Result<void> remove(const std::string& name) const;

 private:
  std::string state_dir_;
};

// <state>/runners/<name>/{tools.ext4,manifest.json}: an unpacked actions/runner release as a
// read-only drive.
class RunnerStore {
 public:
  explicit RunnerStore(std::string state_dir) : state_dir_(std::move(state_dir)) {}
  Result<std::vector<Manifest>> list() const;
  Result<Manifest> find(const std::string& name) const;
  [[nodiscard]] std::string drive_path(const std::string& name) const;
  // From a release tarball (actions-runner-linux-x64-2.336.0.tar.gz) or an unpacked directory;
  // must hold bin/Runner.Listener.
  Result<Manifest> install(const std::string& name, const std::string& source) const;
  Result<Fd> pin(const std::string& name) const;
  Result<void> remove(const std::string& name) const;

 private:
  std::string state_dir_;
};

}  // namespace mvr::image
