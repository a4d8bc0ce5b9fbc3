// What is in an ext4 file, read with the library and nothing of ours.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace mvr::image {

struct PathFacts {
  unsigned mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int64_t mtime = 0;
  std::uint32_t nanoseconds = 0;
  std::uint64_t size = 0;  // of directories: 0
  unsigned links = 0;
  unsigned inode = 0;  // of which file this is a name
  unsigned major = 0;
  unsigned minor = 0;
  std::string content;  // SHA-256 in hex, or the target of a link
  std::map<std::string, std::string> attributes;
};

// By path ("/usr/bin/x"); "/" and /lost+found among them. Names of small directories
// are looked up once more.
std::map<std::string, PathFacts> dump_image(const std::string& path);
std::string dump_text(const PathFacts& facts);

}  // namespace mvr::image
