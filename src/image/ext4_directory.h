// The blocks of a directory: one after the other, or with an index of hashes (htree) where there
// are several.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/file_tree.h"

namespace mvr::image {

using HashSeed = std::array<std::uint32_t, 4>;

class DirectoryBlocks {
 public:
  // Called once for every block, in no order: its number in the directory, and 4096 bytes that
  // lack their checksum only.
  using Emit = std::function<Result<void>(std::uint32_t, std::string&)>;
  DirectoryBlocks(FileTree& tree, const HashSeed& seed) : tree_(tree), seed_(seed) {}
  // Inodes must have their numbers. The count of blocks; more than one: there is an index.
  Result<std::uint32_t> make(NodeId directory, const Emit& emit);

 private:
  struct Hashed {
    std::uint32_t hash = 0;
    std::uint32_t minor = 0;
    NodeId node = 0;
  };
  struct Leaf {
    std::uint32_t hash = 0;
    std::uint32_t block = 0;
  };
  [[nodiscard]] bool fits_one() const;
  [[nodiscard]] std::string dots(NodeId directory, std::uint32_t room) const;
  Result<void> hash_children();
  Result<std::vector<Leaf>> emit_leaves(const Emit& emit);
  Result<std::vector<Leaf>> emit_index(const std::vector<Leaf>& below, std::uint32_t first,
                                       const Emit& emit);
  void append(std::string& block, NodeId child) const;

  FileTree& tree_;
  HashSeed seed_;
  std::vector<NodeId> children_;
  std::vector<Hashed> hashed_;
};

// The type byte of a directory entry.
std::uint8_t entry_type(std::uint16_t mode);

}  // namespace mvr::image
