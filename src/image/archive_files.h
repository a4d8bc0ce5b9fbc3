// Where the files of an archive or of a directory are on the host.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace mvr::image {

class ArchiveFiles {
 public:
  // Files of a directory, by path inside it.
  static ArchiveFiles of_directory(std::string directory);
  // Unpacks a tar's plain files into `scratch` under names of ours.
  static Result<ArchiveFiles> unpack(const std::string& archive, const std::string& scratch);

  // Of what was unpacked, sorted.
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] bool has(const std::string& name) const;
  // The host's path. Err not_found names what is missing.
  [[nodiscard]] Result<std::string> path_of(const std::string& name) const;
  // Bounded: for JSON.
  [[nodiscard]] Result<std::string> read(const std::string& name) const;
  // The JSON blob of this digest, which is verified.
  [[nodiscard]] Result<std::string> read_blob(const std::string& digest) const;

 private:
  std::string directory_;                     // empty: unpacked
  std::map<std::string, std::string> files_;  // name -> host path
  std::string what_;
};

// "blobs/sha256/<hex>"
std::string blob_name(const std::string& digest);

}  // namespace mvr::image
