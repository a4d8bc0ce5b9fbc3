// The tree of an image that is being written, compact enough for millions of names (about 100 bytes
// each): nodes and inodes are numbers into chunked arrays, names lie in one heap, and one hash
// table finds a name in a directory.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "image/block_file.h"

namespace mvr::image {

using NodeId = std::uint32_t;
using InodeId = std::uint32_t;
constexpr std::uint32_t kNone = 0xffffffffU;

// Up to 2^34 seconds from 1901 on, and nanoseconds: all that ext4 can hold.
class FileTime {
 public:
  FileTime() = default;
  // Clamped to what can be held.
  FileTime(std::int64_t seconds, std::int64_t nanoseconds);
  [[nodiscard]] std::int64_t seconds() const;
  [[nodiscard]] std::uint32_t nanoseconds() const;
  friend auto operator<=>(FileTime, FileTime) = default;

 private:
  std::uint64_t packed_ = (std::uint64_t{1} << 31U) << 30U;  // 1970
};

struct Extent {
  std::uint32_t logical = 0;
  std::uint32_t physical = 0;
  std::uint32_t count = 0;
};

struct Inode {
  FileTime mtime;
  std::uint64_t size = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t extents = 0;  // by FileTree::extents
  std::uint32_t extent_count = 0;
  std::uint32_t extra = kNone;
  std::uint32_t number = 0;  // in the filesystem; 0: none yet
  std::uint16_t mode = 0;
  std::uint16_t links = 0;  // names; not counted for directories
};

using Attributes = std::vector<std::pair<std::string, std::string>>;

// What few inodes have.
struct Extra {
  std::string target;  // of a symbolic link
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  Attributes attributes;  // by name
};

struct Node {
  std::uint32_t name = 0;
  NodeId parent = 0;
  NodeId sibling = kNone;
  NodeId child = kNone;     // the latest; its siblings follow
  InodeId inode = kNone;    // none: removed
  std::uint16_t layer = 0;  // that last wrote it
  std::uint8_t length = 0;
};

// An array that grows without being copied.
template <class T>
class Chunked {
 public:
  T& operator[](std::uint32_t index) { return chunks_[index / kChunk][index % kChunk]; }
  const T& operator[](std::uint32_t index) const { return chunks_[index / kChunk][index % kChunk]; }
  std::uint32_t add(T value) {
    if (count_ % kChunk == 0) chunks_.push_back(std::make_unique<T[]>(kChunk));
    (*this)[count_] = std::move(value);
    return count_++;
  }
  [[nodiscard]] std::uint32_t size() const { return count_; }

 private:
  static constexpr std::uint32_t kChunk = 1024;
  std::vector<std::unique_ptr<T[]>> chunks_;
  std::uint32_t count_ = 0;
};

class FileTree {
 public:
  static constexpr NodeId kRoot = 0;
  // `release` is told of every piece of a file that no name leads to any more.
  explicit FileTree(std::function<Result<void>(Run)> release);

  Node& node(NodeId id) { return nodes_[id]; }
  Inode& inode(InodeId id) { return inodes_[id]; }
  Inode& inode_of(NodeId id) { return inodes_[nodes_[id].inode]; }
  [[nodiscard]] std::string_view name(NodeId id) const;
  [[nodiscard]] std::string path(NodeId id) const;  // "/usr/bin", for messages
  bool is_directory(NodeId id) { return S_ISDIR(inode_of(id).mode); }
  Extra& extra(Inode& inode);  // made where there is none
  [[nodiscard]] const Extra* extra_of(const Inode& inode) const;

  [[nodiscard]] std::vector<Extent> extents(const Inode& inode) const;
  void set_extents(Inode& inode, const std::vector<Extent>& extents);

  // kNone when the directory has no such name.
  [[nodiscard]] NodeId find(NodeId directory, std::string_view name) const;
  Result<InodeId> add_inode(const Inode& inode);
  // The name must be free. Counts as a link of the inode.
  Result<NodeId> add(NodeId directory, std::string_view name, InodeId inode, std::uint16_t layer);
  // With everything below it.
  Result<void> remove(NodeId id);
  // Removes what layers below `layer` wrote, at and below the node (not the node itself unless
  // `itself`).
  Result<void> prune(NodeId id, std::uint16_t layer, bool itself);

  // The names in a directory that are not removed, in no useful order.
  void children(NodeId directory, std::vector<NodeId>& into) const;
  void sorted_children(NodeId directory, std::vector<NodeId>& into) const;
  // How deep a directory lies; 0 for the root.
  [[nodiscard]] std::uint32_t depth(NodeId id) const;
  // Names, links and attributes held. Err too_large beyond a bound.
  Result<void> charge(std::size_t bytes);

 private:
  [[nodiscard]] std::size_t slot(NodeId directory, std::string_view name) const;
  void grow_table();
  std::uint32_t keep_name(std::string_view name);
  Result<void> unlink(NodeId id);

  std::function<Result<void>(Run)> release_;
  Chunked<Node> nodes_;
  Chunked<Inode> inodes_;
  Chunked<Extent> extents_;
  std::deque<Extra> extras_;
  std::vector<std::unique_ptr<char[]>> names_;
  std::uint32_t names_used_ = 0;
  std::vector<NodeId> table_;  // open addressing; removed names keep their place
  std::size_t charged_ = 0;
};

}  // namespace mvr::image
