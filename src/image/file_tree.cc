#include "image/file_tree.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/text.h"
#include "base/units.h"

namespace mvr::image {
namespace {

constexpr std::uint32_t kNameChunk = 64U << 10U;
constexpr std::size_t kFirstTable = 1024;
constexpr std::uint32_t kMaxNodes = 4'000'000;
constexpr Bytes kMaxCharge = mib(512);
constexpr std::uint32_t kMaxLinks = 65000;  // of ext4

// One extent from the file's start on needs no place in the array.
constexpr std::uint32_t kInline = 0x80000000U;

constexpr std::int64_t kFirstSecond = -(std::int64_t{1} << 31U);
constexpr std::int64_t kLastSecond = (std::int64_t{1} << 34U) + kFirstSecond - 1;

}  // namespace

FileTime::FileTime(std::int64_t seconds, std::int64_t nanoseconds) {
  const auto since =
      static_cast<std::uint64_t>(std::clamp(seconds, kFirstSecond, kLastSecond) - kFirstSecond);
  packed_ = since << 30U |
            static_cast<std::uint64_t>(std::clamp<std::int64_t>(nanoseconds, 0, 999'999'999));
}

std::int64_t FileTime::seconds() const {
  return static_cast<std::int64_t>(packed_ >> 30U) + kFirstSecond;
}

std::uint32_t FileTime::nanoseconds() const {
  return static_cast<std::uint32_t>(packed_ & 0x3fffffffU);
}

FileTree::FileTree(std::function<Result<void>(Run)> release)
    : release_(std::move(release)), table_(kFirstTable, kNone) {
  Inode root;
  root.mode = S_IFDIR | 0755;
  Node node;
  node.inode = inodes_.add(root);
  nodes_.add(node);
}

std::string_view FileTree::name(NodeId id) const {
  const Node& node = nodes_[id];
  if (id == kRoot) return {};
  return {names_[node.name / kNameChunk].get() + node.name % kNameChunk, node.length};
}

std::string FileTree::path(NodeId id) const {
  std::string path;
  for (; id != kRoot; id = nodes_[id].parent) path.insert(0, "/" + std::string(name(id)));
  return path.empty() ? "/" : path;
}

Extra& FileTree::extra(Inode& inode) {
  if (inode.extra == kNone) {
    inode.extra = static_cast<std::uint32_t>(extras_.size());
    extras_.emplace_back();
  }
  return extras_[inode.extra];
}

const Extra* FileTree::extra_of(const Inode& inode) const {
  return inode.extra == kNone ? nullptr : &extras_[inode.extra];
}

std::vector<Extent> FileTree::extents(const Inode& inode) const {
  std::vector<Extent> list;
  if ((inode.extent_count & kInline) != 0) {
    list.push_back({0, inode.extents, inode.extent_count & ~kInline});
    return list;
  }
  list.reserve(inode.extent_count);
  for (std::uint32_t i = 0; i < inode.extent_count; ++i)
    list.push_back(extents_[inode.extents + i]);
  return list;
}

void FileTree::set_extents(Inode& inode, const std::vector<Extent>& extents) {
  if (extents.size() == 1 && extents[0].logical == 0) {
    inode.extents = extents[0].physical;
    inode.extent_count = extents[0].count | kInline;
    return;
  }
  inode.extents = extents_.size();
  inode.extent_count = static_cast<std::uint32_t>(extents.size());
  for (const Extent& one : extents) extents_.add(one);
}

// Where the name is or belongs.
std::size_t FileTree::slot(NodeId directory, std::string_view text) const {
  const std::size_t mask = table_.size() - 1;
  std::size_t at = stable_hash(text, directory) & mask;
  while (table_[at] != kNone &&
         (nodes_[table_[at]].parent != directory || name(table_[at]) != text)) {
    at = (at + 1) & mask;
  }
  return at;
}

NodeId FileTree::find(NodeId directory, std::string_view text) const {
  const NodeId found = table_[slot(directory, text)];
  return found == kNone || nodes_[found].inode == kNone ? kNone : found;
}

void FileTree::grow_table() {
  table_.assign(table_.size() * 2, kNone);
  for (NodeId id = 1; id < nodes_.size(); ++id) table_[slot(nodes_[id].parent, name(id))] = id;
}

std::uint32_t FileTree::keep_name(std::string_view text) {
  if (names_.empty() || names_used_ + text.size() > kNameChunk) {
    names_.push_back(std::make_unique<char[]>(kNameChunk));
    names_used_ = 0;
  }
  std::memcpy(names_.back().get() + names_used_, text.data(), text.size());
  const auto place = static_cast<std::uint32_t>((names_.size() - 1) * kNameChunk + names_used_);
  names_used_ += static_cast<std::uint32_t>(text.size());
  return place;
}

Result<InodeId> FileTree::add_inode(const Inode& inode) {
  if (inodes_.size() >= kMaxNodes) {
    return fail(Errc::too_large, "more than " + std::to_string(kMaxNodes) + " files");
  }
  return inodes_.add(inode);
}

Result<NodeId> FileTree::add(NodeId directory, std::string_view text, InodeId inode,
                             std::uint16_t layer) {
  MVR_ASSERT(!text.empty() && text.size() <= 255);
  if (inodes_[inode].links >= kMaxLinks) {
    return fail(Errc::too_large, "more than " + std::to_string(kMaxLinks) + " links to one file");
  }
  const std::size_t place = slot(directory, text);
  NodeId id = table_[place];
  if (id == kNone) {
    if (nodes_.size() >= kMaxNodes) {
      return fail(Errc::too_large, "more than " + std::to_string(kMaxNodes) + " names");
    }
    TRY(charge(text.size()));
    Node fresh;
    fresh.name = keep_name(text);
    fresh.length = static_cast<std::uint8_t>(text.size());
    fresh.parent = directory;
    fresh.sibling = nodes_[directory].child;
    id = nodes_.add(fresh);
    nodes_[directory].child = id;
    table_[place] = id;
  }
  Node& node = nodes_[id];
  MVR_ASSERT(node.inode == kNone);
  node.inode = inode;
  node.layer = layer;
  if (!S_ISDIR(inodes_[inode].mode)) inodes_[inode].links++;
  if (nodes_.size() * 4 > table_.size() * 3) grow_table();
  return id;
}

Result<void> FileTree::unlink(NodeId id) {
  Inode& inode = inodes_[nodes_[id].inode];
  nodes_[id].inode = kNone;
  if (S_ISDIR(inode.mode)) return {};
  MVR_ASSERT(inode.links > 0);
  if (--inode.links > 0) return {};
  for (const Extent& one : extents(inode)) TRY(release_({one.physical, one.count}));
  inode.extent_count = 0;
  return {};
}

Result<void> FileTree::remove(NodeId id) {
  MVR_ASSERT(id != kRoot);
  for (NodeId child = nodes_[id].child; child != kNone; child = nodes_[child].sibling) {
    if (nodes_[child].inode != kNone) TRY(remove(child));
  }
  return unlink(id);
}

Result<void> FileTree::prune(NodeId id, std::uint16_t layer, bool itself) {
  bool is_empty = true;
  for (NodeId child = nodes_[id].child; child != kNone; child = nodes_[child].sibling) {
    if (nodes_[child].inode == kNone) continue;
    TRY(prune(child, layer, true));
    is_empty = is_empty && nodes_[child].inode == kNone;
  }
  if (!itself || nodes_[id].layer >= layer) return {};
  if (is_empty) return unlink(id);
  // Gone with the lower layers, and made again by what this one put into it.
  Inode implied;
  implied.mode = S_IFDIR | 0755;
  implied.mtime = inodes_[nodes_[id].inode].mtime;
  inodes_[nodes_[id].inode] = implied;
  nodes_[id].layer = layer;
  return {};
}

void FileTree::children(NodeId directory, std::vector<NodeId>& into) const {
  into.clear();
  for (NodeId child = nodes_[directory].child; child != kNone; child = nodes_[child].sibling) {
    if (nodes_[child].inode != kNone) into.push_back(child);
  }
}

void FileTree::sorted_children(NodeId directory, std::vector<NodeId>& into) const {
  children(directory, into);
  std::sort(into.begin(), into.end(), [this](NodeId a, NodeId b) { return name(a) < name(b); });
}

std::uint32_t FileTree::depth(NodeId id) const {
  std::uint32_t count = 0;
  for (; id != kRoot; id = nodes_[id].parent) ++count;
  return count;
}

Result<void> FileTree::charge(std::size_t bytes) {
  charged_ += bytes;
  if (charged_ <= kMaxCharge.value) return {};
  return fail(Errc::too_large,
              "names, links and attributes take more than " + format_bytes(kMaxCharge));
}

}  // namespace mvr::image
