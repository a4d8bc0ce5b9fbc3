// How runner releases are kept: a directory of named entries, each of them a data file and its
// manifest. An entry appears, is replaced and disappears by one rename; whoever uses a data
// file holds a shared lock on it.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "image/ext4_image.h"
#include "image/store.h"

namespace mvr::image {

// "[a-z0-9][a-z0-9._-]{0,63}"; `noun` is for the error text.
Result<void> check_entry_name(const std::string& name, const std::string& noun);

// Size, allocated size, digest and time of a filesystem just written; the rest of the manifest is
// empty.
Manifest describe_drive(const Ext4Report& written);
// What this host's VMs run, in the words of image configs: "amd64", "arm64".
std::string host_architecture();

class EntryStore {
 public:
  struct Kind {
    std::string root;       // the directory of the entries
    std::string data_file;  // "tools.ext4"
    std::string noun;       // "runner release"
    std::string remedy;     // how to get a missing one: "install it with ..."
  };
  explicit EntryStore(Kind kind) : kind_(std::move(kind)) {}

  Result<std::vector<Manifest>> list() const;
  Result<Manifest> find(const std::string& name) const;
  [[nodiscard]] std::string data_path(const std::string& name) const;
  Result<Fd> pin(const std::string& name) const;
  Result<void> remove(const std::string& name) const;
  Result<WorkDirectory> make_work_directory() const;
  Result<void> publish(const std::string& work, const Manifest& manifest) const;

 private:
  [[nodiscard]] Error missing(const std::string& name) const;
  [[nodiscard]] std::string directory(const std::string& name) const;
  void sweep() const;
  void sweep_one(const std::string& name) const;
  Result<void> discard(const std::string& entry) const;
  Result<void> swap_in(const std::string& entry, const std::string& name) const;

  Kind kind_;
};

}  // namespace mvr::image
