// Archives of actions, and the read-only drives of them that VMs share:
//   <state>/actions/archives/<owner>_<name>/<sha>.tar.gz   what the next drive is made of
//   <state>/actions/drives/<content>/{actions.ext4,manifest.json}
//   <state>/actions/drives/.current                        the name of the one new VMs get
// A drive is called by what it holds. It is there as a whole or not at all, and stays as long as a
// VM has it.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/action_ref.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"
#include "image/store.h"

namespace mvr::image {

// "<owner>_<name>/<sha>.tar.gz": where the runner looks below its directory of archives.
std::string archive_name(const ActionRef& action);

// A drive nobody can take away while this, or a VMM that inherited the lock, lives.
struct PinnedActions {
  std::string path;
  Fd lock;  // shared
};

// What a drive holds.
struct ActionDrive {
  std::string name;
  std::uint64_t archives = 0;
  Bytes size;  // of all archives
};

class ActionStore {
 public:
  explicit ActionStore(std::string state_dir) : root_(std::move(state_dir) + "/actions") {}

  // Nothing: there is no drive, or none that can be used.
  Result<std::optional<ActionDrive>> current() const;
  Result<std::optional<PinnedActions>> pin_current() const;

  // Held by whoever changes archives and drives. Err busy: somebody does.
  Result<Fd> lock() const;
  // Where a download goes first.
  Result<WorkDirectory> make_work_directory() const;
  // The size of an archive that is here.
  [[nodiscard]] std::optional<Bytes> size_of(const ActionRef& action) const;
  // Checks the file, and makes it the action's archive. Err invalid, too_large: it is none.
  Result<void> take(const ActionRef& action, const std::string& file) const;
  // Removes the archives of all others.
  Result<void> keep_only(const std::vector<ActionRef>& actions) const;
  // Makes a drive of the archives that are here, current from then on; false: the current one has
  // just these. Removes drives that no VM has.
  Result<bool> publish() const;
  // Removes archives and drives; what VMs have goes with a later change. New VMs get none.
  Result<void> clear() const;

 private:
  struct Listed {
    std::string path;  // below archives/
    Bytes size;
  };
  Result<std::vector<Listed>> list_archives() const;
  Result<void> write_drive(const std::string& name, const std::vector<Listed>& archives) const;
  Result<std::string> current_name() const;
  void remove_others(const std::string& name) const;
  [[nodiscard]] std::string archives() const { return root_ + "/archives"; }

  std::string root_;
};

}  // namespace mvr::image
