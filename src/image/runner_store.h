// Releases of actions/runner as read-only drives, each by a name of its own, and which of them is
// in use: `current` and `previous` are names for whatever they are at the moment.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "image/store.h"

namespace mvr::image {

inline constexpr const char* kCurrentRunner = "current";
inline constexpr const char* kPreviousRunner = "previous";

// What the name of a release's file tells: "actions-runner-linux-x64-2.336.0.tar.gz", or of the
// directory it was unpacked to (pure).
struct ReleaseName {
  std::string architecture;  // as in image configs: "amd64"
  std::string version;
};
std::optional<ReleaseName> parse_release_name(const std::string& source);

struct RunnerUse {
  std::string current;   // a release of the store; empty: none was chosen
  std::string previous;  // likewise, what rollback goes back to
  std::string held;      // what was rolled back: no update takes it by itself
  friend bool operator==(const RunnerUse&, const RunnerUse&) = default;
};

struct RunnerInstall {
  std::string name;        // `current`: by its version, and from now on current
  std::string source;      // a tarball or an unpacked directory; must hold bin/Runner.Listener
  std::string origin;      // what the manifest says of its source; empty: `source`
  std::string sha256;      // of the tarball, where it was held to one
  bool is_update = false;  // made by an update, and taken away by one
};

// <state>/runners/<name>/{tools.ext4,manifest.json}.
class RunnerStore {
 public:
  explicit RunnerStore(std::string state_dir) : state_dir_(std::move(state_dir)) {}
  Result<std::vector<Manifest>> list() const;
  // Also by `current` and `previous`: the manifest has the release's own name.
  Result<Manifest> find(const std::string& name) const;
  // By a release's own name.
  [[nodiscard]] std::string drive_path(const std::string& name) const;
  Result<Fd> pin(const std::string& name) const;
  Result<Manifest> install(const RunnerInstall& wanted) const;
  Result<Manifest> install(const std::string& name, const std::string& source) const {
    return install(RunnerInstall{name, source, "", "", false});
  }
  // Err busy while a VM holds it, or while it is current.
  Result<void> remove(const std::string& name) const;

  Result<RunnerUse> use() const;
  // What was current is previous from now on. One step: a crash leaves the old or the new.
  Result<void> make_current(const std::string& name) const;
  // Changes the two, and holds what was current. Err not_found: there is no previous one.
  Result<RunnerUse> roll_back() const;
  // Removes what updates made and nobody uses: neither current nor previous, nor `keep`.
  Result<std::vector<std::string>> prune(const std::string& keep) const;
  // Held by whoever changes which release is in use. Err busy: somebody does.
  Result<Fd> lock() const;
  Result<WorkDirectory> make_work_directory() const;

 private:
  Result<void> write_use(const RunnerUse& use) const;
  std::string state_dir_;
};

}  // namespace mvr::image
