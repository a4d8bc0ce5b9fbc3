// The runner's own log files (_diag), followed as they grow: they go with the VM, and tell what the
// listener and its worker did.
#pragma once

#include <cstddef>
#include <map>
#include <string>

namespace mvr::guest {

class Diagnostics {
 public:
  // At most so much in all, so that a job that writes there cannot fill the host's log.
  static constexpr std::size_t kMaxBytes = std::size_t{4} << 20;

  // `directory`: of the files; need not be there yet. Empty: there is nothing to follow.
  void follow(std::string directory) { directory_ = std::move(directory); }
  // What is new, at most `most` bytes; where it is of another file than before, after a line with
  // its name.
  std::string read_new(std::size_t most);

 private:
  std::string read_file_from(const std::string& name, std::size_t most);

  std::string directory_;
  std::map<std::string, std::size_t> read_;  // by name: bytes taken
  std::string latest_;
  std::size_t total_ = 0;
};

}  // namespace mvr::guest
