// <state>/firecracker: releases of Firecracker that we keep, for no distribution has them.
//
//   <version>/firecracker, jailer   root's, for everyone to read and run
//   current                         a link to the version in use, changed by one rename
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "image/store.h"

namespace mvr::image {

// The two programs of a release, in a directory that goes with this.
struct UnpackedFirecracker {
  WorkDirectory work;
  std::string firecracker;
  std::string jailer;
};

struct InstalledFirecracker {
  std::string version;  // "1.16.1"
  bool is_current = false;
};

class FirecrackerStore {
 public:
  explicit FirecrackerStore(std::string state_dir) : root_(std::move(state_dir) + "/firecracker") {}

  Result<WorkDirectory> make_work_directory() const;
  // From a release's tarball, firecracker-v1.16.1-x86_64.tgz. Err not_found: it lacks a program.
  Result<UnpackedFirecracker> unpack(const std::string& tarball) const;
  // The version becomes current. In place of the same version, if it is here.
  Result<void> publish(const UnpackedFirecracker& release, const std::string& version) const;
  // Newest first.
  Result<std::vector<InstalledFirecracker>> list() const;
  // Err busy: it is current.
  Result<void> remove(const std::string& version) const;
  // Where the current release has this program; empty: there is no release, or no such program.
  [[nodiscard]] std::string program(const std::string& name) const;

 private:
  std::string root_;
};

}  // namespace mvr::image
