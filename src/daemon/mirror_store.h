// The files of the registry mirror, held to their budget. docker-registry writes them as a user of
// its own; nothing here follows a link of its making.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace mvr::daemon {

struct CachedBlob {
  std::string digest;     // 64 hex digits
  Bytes size;             // on disk, with its share of directories
  std::int64_t used = 0;  // seconds since 1970 of the last read, to a day: atime, or mtime
  friend bool operator==(const CachedBlob&, const CachedBlob&) = default;
};

// Of blobs that take more than `max` together those not used for the longest, so many that the
// rest takes nine tenths of it (pure).
std::vector<CachedBlob> surplus_blobs(std::vector<CachedBlob> blobs, Bytes max);

class MirrorStore {
 public:
  MirrorStore(std::string directory, Bytes max) : directory_(std::move(directory)), max_(max) {}

  // A round is one look at every blob, and the end of those that are too much.
  struct Round {
    Bytes size;  // of what is left
    std::uint64_t removed = 0;
    Bytes removed_size;
  };
  // Goes on with the round for about `limit`, so that a large store does not hold up the daemon;
  // empty while the round is not over.
  Result<std::optional<Round>> look(Duration limit);

 private:
  Result<void> look_at(unsigned part);
  Result<Round> finish();

  std::string directory_;
  Bytes max_;
  unsigned next_ = 0;  // of the 256 directories by the first two digits
  std::vector<CachedBlob> seen_;
};

}  // namespace mvr::daemon
