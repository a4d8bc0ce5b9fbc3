// States of machines that were saved when they had booted, and from which later VMs of the same
// kind begin.
//
//   <state>/saved/<key>/            about.json, and the files of the VMM: "memory" among them
//   <state>/saved/draft-<key>/      one that is being written
//
// A state holds no secret and no identity, but is what VMs run from: only root may look in there.
// It is of one boot of this host, so that nothing is flushed to the disk: after the host's crash
// none of them counts. A draft is renamed when it is whole, so that after ours none is half there.
//
// VMs map the memory of a state privately and must not be able to change it for each other. A VMM
// that runs as a user of its own and opens it to read and write (QEMU before 8.2 knows no other
// way) can be held to that by a seal only, which files on a disk do not have: so it is given a copy
// in memory, one for all VMs of the kind.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace mvr::daemon {

// The name of the state of all VMs of which everything that `kind` tells is the same.
std::string saved_state_key(std::string_view kind);

class SavedStates {
 public:
  static constexpr Bytes kMostHeld{mib(512)};

  // `directory`: of all of them; `boot_id`: of the host, now.
  SavedStates(std::string directory, std::string boot_id, Bytes most_held = kMostHeld);

  // Removes what a former daemon left half done, and what is no state of this boot. Absent is ok.
  Result<void> sweep();
  // All of it: for a host where no states are kept any more.
  Result<void> clear();

  // The directory of a whole state, which counts as used now; empty: there is none.
  [[nodiscard]] std::optional<std::string> find(const std::string& key) const;
  // The sealed copy of its memory (sys/memory_file.h), which stays open until the next call of
  // ours. Those of the states used last are kept, as long as all of them take `most_held` at most.
  Result<int> memory(const std::string& key);
  // Whether a state of this key is to be written: there is none, nobody writes it, and it has not
  // failed lately.
  [[nodiscard]] bool is_wanted(const std::string& key, Instant now) const;
  // An empty directory to write it to. Until publish() or abandon() nobody else gets one.
  Result<std::string> begin(const std::string& key);
  // Makes what was written there the state, and removes those used longest ago until all of them
  // take `most` at most. Returns what it takes. Err too_large: it alone takes more.
  Result<Bytes> publish(const std::string& key, Bytes most);
  // Removes the draft.
  void abandon(const std::string& key);
  // Removes a state that turned out to be of no use.
  Result<void> drop(const std::string& key);
  // Another one is not wanted for a while.
  void pause(const std::string& key, Instant now);

 private:
  struct Held {
    Fd memory;
    Bytes size;
    std::uint64_t turn = 0;  // of its last use
  };

  [[nodiscard]] std::string path_of(const std::string& key) const;
  [[nodiscard]] std::string draft_of(const std::string& key) const;
  [[nodiscard]] bool is_whole(const std::string& directory) const;
  Result<void> prune(Bytes most);
  Result<void> remove(const std::string& key);
  void release_others(const std::string& key);

  std::string directory_;
  std::string boot_id_;
  Bytes most_held_;
  std::set<std::string> writing_;
  std::map<std::string, Instant> not_before_;
  std::map<std::string, Held> held_;
  std::uint64_t turn_ = 0;
};

}  // namespace mvr::daemon
