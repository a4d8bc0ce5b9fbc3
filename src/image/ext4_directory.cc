#include "image/ext4_directory.h"

#include <algorithm>
#include <cstring>

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>

#include "base/assert.h"
#include "image/block_file.h"

namespace mvr::image {
namespace {

constexpr std::uint32_t kTail = sizeof(ext2_dir_entry_tail);
constexpr std::uint32_t kRoom = kBlockSize - kTail;
constexpr std::uint32_t kEntryHead = 8;
constexpr std::uint32_t kRootHead = 32;  // ".", ".." and what the index says of itself
constexpr std::uint32_t kNodeHead = 8;   // an entry that old kernels take for an empty block
constexpr std::uint32_t kIndexTail = sizeof(ext2_dx_tail);
constexpr std::uint32_t kIndexEntry = sizeof(ext2_dx_entry);
constexpr std::uint32_t kRootLimit = (kBlockSize - kRootHead - kIndexTail) / kIndexEntry;
constexpr std::uint32_t kNodeLimit = (kBlockSize - kNodeHead - kIndexTail) / kIndexEntry;

std::uint32_t length_of(std::size_t name) {
  return static_cast<std::uint32_t>((kEntryHead + name + 3) / 4 * 4);
}

void append_number(std::string& block, std::uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) block.push_back(static_cast<char>(value >> (8 * i) & 0xffU));
}

void append_entry(std::string& block, std::uint32_t inode, std::string_view name,
                  std::uint8_t type) {
  const std::uint32_t length = length_of(name.size());
  append_number(block, inode, 4);
  append_number(block, length, 2);
  append_number(block, static_cast<std::uint32_t>(name.size()), 1);
  append_number(block, type, 1);
  block.append(name);
  block.append(length - kEntryHead - name.size(), '\0');
}

// Lets the entry at `last` reach to the end of the room, and adds the tail that holds a checksum.
void close_block(std::string& block, std::size_t last) {
  const std::size_t length = kRoom - last;
  block[last + 4] = static_cast<char>(length & 0xffU);
  block[last + 5] = static_cast<char>(length >> 8U);
  block.resize(kRoom, '\0');
  append_number(block, 0, 4);
  append_number(block, kTail, 2);
  append_number(block, 0, 1);
  append_number(block, EXT2_DIR_NAME_LEN_CSUM >> 8U, 1);
  append_number(block, 0, 4);
}

// Limit and count take the place of the first entry's hash, which is that of everything before.
template <class Leaves>
void append_index(std::string& block, const Leaves& leaves, std::uint32_t limit) {
  append_number(block, limit, 2);
  append_number(block, static_cast<std::uint32_t>(leaves.size()), 2);
  append_number(block, leaves[0].block, 4);
  for (std::size_t i = 1; i < leaves.size(); ++i) {
    append_number(block, leaves[i].hash, 4);
    append_number(block, leaves[i].block, 4);
  }
  block.resize(kBlockSize, '\0');
}

}  // namespace

std::uint8_t entry_type(std::uint16_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return EXT2_FT_REG_FILE;
    case S_IFDIR:
      return EXT2_FT_DIR;
    case S_IFCHR:
      return EXT2_FT_CHRDEV;
    case S_IFBLK:
      return EXT2_FT_BLKDEV;
    case S_IFIFO:
      return EXT2_FT_FIFO;
    case S_IFSOCK:
      return EXT2_FT_SOCK;
    case S_IFLNK:
      return EXT2_FT_SYMLINK;
    default:
      return EXT2_FT_UNKNOWN;
  }
}

void DirectoryBlocks::append(std::string& block, NodeId child) const {
  const Inode& inode = tree_.inode_of(child);
  append_entry(block, inode.number, tree_.name(child), entry_type(inode.mode));
}

bool DirectoryBlocks::fits_one() const {
  std::uint32_t taken = length_of(1) + length_of(2);
  for (const NodeId child : children_) {
    taken += length_of(tree_.name(child).size());
    if (taken > kRoom) return false;
  }
  return true;
}

// "." and "..", the latter up to `room`.
std::string DirectoryBlocks::dots(NodeId directory, std::uint32_t room) const {
  std::string block;
  append_entry(block, tree_.inode_of(directory).number, ".", EXT2_FT_DIR);
  append_entry(block, tree_.inode_of(tree_.node(directory).parent).number, "..", EXT2_FT_DIR);
  const std::uint32_t length = room - length_of(1);
  block[length_of(1) + 4] = static_cast<char>(length & 0xffU);
  block[length_of(1) + 5] = static_cast<char>(length >> 8U);
  return block;
}

Result<void> DirectoryBlocks::hash_children() {
  hashed_.clear();
  hashed_.reserve(children_.size());
  for (const NodeId child : children_) {
    const std::string_view name = tree_.name(child);
    Hashed one;
    one.node = child;
    if (::ext2fs_dirhash2(EXT2_HASH_HALF_MD4, name.data(), static_cast<int>(name.size()), nullptr,
                          0, seed_.data(), &one.hash, &one.minor) != 0) {
      return fail(Errc::io, "hash a name of " + tree_.path(child));
    }
    hashed_.push_back(one);
  }
  std::sort(hashed_.begin(), hashed_.end(), [this](const Hashed& a, const Hashed& b) {
    if (a.hash != b.hash) return a.hash < b.hash;
    if (a.minor != b.minor) return a.minor < b.minor;
    return tree_.name(a.node) < tree_.name(b.node);
  });
  return {};
}

Result<std::vector<DirectoryBlocks::Leaf>> DirectoryBlocks::emit_leaves(const Emit& emit) {
  std::vector<Leaf> leaves;
  std::string block;
  std::size_t last = 0;
  for (std::size_t i = 0; i < hashed_.size(); ++i) {
    const std::uint32_t length = length_of(tree_.name(hashed_[i].node).size());
    if (!block.empty() && block.size() + length > kRoom) {
      close_block(block, last);
      TRY(emit(leaves.back().block, block));
      block.clear();
    }
    if (block.empty()) {
      // The lowest bit says that the hash began in the block before.
      const bool goes_on = i > 0 && hashed_[i - 1].hash == hashed_[i].hash;
      leaves.push_back(
          {hashed_[i].hash | (goes_on ? 1U : 0U), static_cast<std::uint32_t>(leaves.size() + 1)});
    }
    last = block.size();
    append(block, hashed_[i].node);
  }
  close_block(block, last);
  TRY(emit(leaves.back().block, block));
  return leaves;
}

Result<std::vector<DirectoryBlocks::Leaf>> DirectoryBlocks::emit_index(
    const std::vector<Leaf>& below, std::uint32_t first, const Emit& emit) {
  std::vector<Leaf> nodes;
  for (std::size_t at = 0; at < below.size(); at += kNodeLimit) {
    const std::vector<Leaf> part(
        below.begin() + static_cast<std::ptrdiff_t>(at),
        below.begin() + static_cast<std::ptrdiff_t>(std::min(below.size(), at + kNodeLimit)));
    std::string block;
    append_number(block, 0, 4);
    append_number(block, kBlockSize, 2);
    append_number(block, 0, 2);
    append_index(block, part, kNodeLimit);
    nodes.push_back({part[0].hash, first + static_cast<std::uint32_t>(nodes.size())});
    TRY(emit(nodes.back().block, block));
  }
  return nodes;
}

Result<std::uint32_t> DirectoryBlocks::make(NodeId directory, const Emit& emit) {
  tree_.sorted_children(directory, children_);
  if (fits_one()) {
    std::string block = dots(directory, length_of(1) + length_of(2));
    std::size_t last = length_of(1);
    for (const NodeId child : children_) {
      last = block.size();
      append(block, child);
    }
    close_block(block, last);
    TRY(emit(0, block));
    return 1;
  }
  TRY(hash_children());
  TRY_ASSIGN(std::vector<Leaf> top, emit_leaves(emit));
  auto count = static_cast<std::uint32_t>(top.size() + 1);
  const bool is_deep = top.size() > kRootLimit;
  if (is_deep) {
    TRY_ASSIGN(top, emit_index(top, count, emit));
    count += static_cast<std::uint32_t>(top.size());
  }
  if (top.size() > kRootLimit) {
    return fail(Errc::too_large, "too many names in " + tree_.path(directory));
  }
  std::string block = dots(directory, kBlockSize);
  append_number(block, 0, 4);
  append_number(block, EXT2_HASH_HALF_MD4, 1);
  append_number(block, sizeof(ext2_dx_root_info), 1);
  append_number(block, is_deep ? 1 : 0, 1);
  append_number(block, 0, 1);
  append_index(block, top, kRootLimit);
  TRY(emit(0, block));
  return count;
}

}  // namespace mvr::image
