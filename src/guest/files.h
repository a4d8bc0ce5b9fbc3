// Small files of the guest: /proc, /sys and the image's /etc.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mvr::guest {

// At most `max` bytes; Err too_large when there are more.
Result<std::string> read_file(const std::string& path, std::size_t max = 1 << 20);
// Creates or truncates. In /proc and /sys the data goes out in one write.
Result<void> write_file(const std::string& path, std::string_view data, mode_t mode = 0644);
Result<void> append_file(const std::string& path, std::string_view data, mode_t mode = 0644);
// Replaces what is there, a symbolic link too, by a new file.
Result<void> replace_file(const std::string& path, std::string_view data, mode_t mode = 0644);
// With its parents; an existing directory is left as it is.
Result<void> make_directory(const std::string& path, mode_t mode = 0755);
// Sorted names; empty when there is no such directory.
std::vector<std::string> list_directory(const std::string& path);

}  // namespace mvr::guest
