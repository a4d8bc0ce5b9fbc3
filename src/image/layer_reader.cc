#include "image/layer_reader.h"

#include <algorithm>
#include <climits>

#include "base/text.h"
#include "image/access_list.h"

namespace mvr::image {
namespace {

constexpr std::string_view kMarker = ".wh.";
constexpr std::string_view kMarkerOfMarkers = ".wh..wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr std::int64_t kMaxId = 0xfffffffeU;
constexpr std::uint32_t kMaxMajor = (1U << 12U) - 1;
constexpr std::uint32_t kMaxMinor = (1U << 20U) - 1;
constexpr std::size_t kMaxTarget = 4095;
// Of all attributes of a file: what one block takes.
constexpr std::size_t kMaxAttributes = kBlockSize - 36;

bool is_listed(const std::string& name) {
  return name == "system.posix_acl_access" || name == "system.posix_acl_default";
}

// ext4 keeps these; attributes of other filesystems mean nothing there and are left out.
bool is_kept(const std::string& name) {
  const auto has = [&](std::string_view prefix) {
    return name.size() > prefix.size() && name.compare(0, prefix.size(), prefix) == 0;
  };
  return has("user.") || has("trusted.") || has("security.") || is_listed(name);
}

Result<Attributes> attributes_of(archive_entry* entry) {
  Attributes list;
  ::archive_entry_xattr_reset(entry);
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  while (::archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    if (name == nullptr || !is_kept(name)) continue;
    // Version 2, entries of eight bytes.
    const std::string text(static_cast<const char*>(value), value == nullptr ? 0 : size);
    if (is_listed(name) && (size % 8 != 4 || text.compare(0, 4, std::string("\2\0\0\0", 4)) != 0)) {
      return fail(Errc::invalid, "its access list");
    }
    list.emplace_back(name, text);
  }
  TRY(add_access_lists(entry, list));
  std::stable_sort(list.begin(), list.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
  list.erase(std::unique(list.begin(), list.end(), same), list.end());
  std::size_t taken = 0;
  for (const auto& [key, text] : list)
    taken += 16 + (key.size() + 3) / 4 * 4 + (text.size() + 3) / 4 * 4;
  if (taken <= kMaxAttributes) return list;
  return fail(Errc::unsupported, "its extended attributes are larger than a block of ext4");
}

bool is_plain(archive_entry* entry) {
  const mode_t kind = ::archive_entry_filetype(entry);
  return kind == AE_IFREG || kind == AE_IFDIR || kind == AE_IFLNK ||
         ::archive_entry_hardlink(entry) != nullptr;
}

}  // namespace

Result<void> LayerReader::read(TarStream& tar) {
  while (true) {
    TRY_ASSIGN(archive_entry * entry, tar.next());
    if (entry == nullptr) return {};
    ++entries_;
    auto applied = apply(tar, entry);
    if (applied) continue;
    const char* path = ::archive_entry_pathname(entry);
    return context(applied, "entry \"" + printable(path == nullptr ? "" : path, 200) + "\"");
  }
}

Result<PathParts> LayerReader::parts_of(const char* path) const {
  if (path == nullptr) return fail(Errc::invalid, "no readable path");
  if (!target_.rootfs && *path == '/') return fail(Errc::invalid, "an absolute path");
  return path_parts(path);
}

Result<void> LayerReader::apply(TarStream& tar, archive_entry* entry) {
  TRY_ASSIGN(PathParts parts, parts_of(::archive_entry_pathname(entry)));
  if (!target_.rootfs && !is_plain(entry)) return fail(Errc::invalid, "a special file");
  if (parts.empty()) return apply_root(entry);
  const std::string_view name = parts.back();
  parts.pop_back();
  if (layer_.whiteouts && name.substr(0, kMarker.size()) == kMarker) {
    return apply_marker(parts, name);
  }
  TRY_ASSIGN(const NodeId directory, make_parents(parts, entry));
  if (::archive_entry_hardlink(entry) != nullptr) return add_link(entry, directory, name);
  return add_other(tar, entry, directory, name);
}

Result<void> LayerReader::apply_root(archive_entry* entry) {
  if (::archive_entry_filetype(entry) != AE_IFDIR) return fail(Errc::invalid, "no directory");
  TRY_ASSIGN(Inode facts, facts_of(entry));
  Inode& root = tree_.inode_of(FileTree::kRoot);
  facts.extra = root.extra;
  root = facts;
  return set_attributes(entry, root);
}

Result<NodeId> LayerReader::make_parents(const PathParts& parents, archive_entry* entry) {
  WalkOptions options;
  options.make = true;
  options.follow = target_.rootfs;
  options.layer = number_;
  options.mtime = FileTime(::archive_entry_mtime(entry), 0);
  return walk_to(tree_, parents, options);
}

// Only what lower layers have is hidden, wherever in the layer the marker stands.
Result<void> LayerReader::apply_marker(const PathParts& parents, std::string_view name) {
  TRY_ASSIGN(const NodeId directory, walk_to(tree_, parents, {}));
  if (directory == kNone) return {};
  if (name == kOpaque) return tree_.prune(directory, number_, false);
  if (name.substr(0, kMarkerOfMarkers.size()) == kMarkerOfMarkers) return {};  // left by AUFS
  const NodeId hidden = tree_.find(directory, name.substr(kMarker.size()));
  return hidden == kNone ? Result<void>() : tree_.prune(hidden, number_, true);
}

Result<void> LayerReader::add_link(archive_entry* entry, NodeId directory, std::string_view name) {
  const char* target = ::archive_entry_hardlink(entry);
  const auto refused = [&](const std::string& why) {
    return fail(Errc::invalid, "a hard link to \"" + printable(target, 200) + "\": " + why);
  };
  auto parts = parts_of(target);
  if (!parts) return refused(parts.error().what);
  if (parts->empty()) return refused("no file");
  const std::string_view last = parts->back();
  parts->pop_back();
  WalkOptions options;
  options.follow = target_.rootfs;
  const auto from = walk_to(tree_, *parts, options);
  if (!from) return refused(from.error().what);
  const NodeId found = *from == kNone ? kNone : tree_.find(*from, last);
  if (found == kNone) return refused("there is no such file");
  if (tree_.is_directory(found)) return refused("a directory");
  const InodeId inode = tree_.node(found).inode;
  const NodeId before = tree_.find(directory, name);
  if (before != kNone && tree_.node(before).inode == inode) {
    tree_.node(before).layer = number_;
    return {};
  }
  if (before != kNone) TRY(tree_.remove(before));
  // The removal may have taken the target along.
  if (tree_.node(found).inode == kNone) return refused("it is replaced by the link");
  TRY(tree_.add(directory, name, inode, number_));
  return {};
}

Result<Inode> LayerReader::facts_of(archive_entry* entry) const {
  Inode inode;
  const mode_t kind = ::archive_entry_filetype(entry);
  const mode_t kept = target_.rootfs ? 07777U : 0777U;
  const mode_t bits = kind == AE_IFLNK ? 0777U : ::archive_entry_perm(entry) & kept;
  inode.mode = static_cast<std::uint16_t>(kind | bits);
  inode.mtime = FileTime(::archive_entry_mtime(entry), ::archive_entry_mtime_nsec(entry));
  if (!target_.rootfs) return inode;
  const la_int64_t uid = ::archive_entry_uid(entry);
  const la_int64_t gid = ::archive_entry_gid(entry);
  if (uid < 0 || uid > kMaxId || gid < 0 || gid > kMaxId) {
    return fail(Errc::invalid, "its owner is no number of Linux");
  }
  inode.uid = static_cast<std::uint32_t>(uid);
  inode.gid = static_cast<std::uint32_t>(gid);
  return inode;
}

Result<void> LayerReader::set_attributes(archive_entry* entry, Inode& inode) {
  if (!target_.rootfs) return {};
  TRY_ASSIGN(Attributes attributes, attributes_of(entry));
  if (attributes.empty() && inode.extra == kNone) return {};
  std::size_t bytes = 0;
  for (const auto& [name, value] : attributes) bytes += name.size() + value.size() + 64;
  TRY(tree_.charge(bytes));
  tree_.extra(inode).attributes = std::move(attributes);
  return {};
}

// The link's target or the device's number.
Result<void> LayerReader::add_special(archive_entry* entry, Inode& inode) {
  if (S_ISLNK(inode.mode)) {
    const char* target = ::archive_entry_symlink(entry);
    const std::string text = target == nullptr ? "" : target;
    if (text.empty() || text.size() > kMaxTarget) {
      return fail(Errc::invalid, "a symbolic link without a usable target");
    }
    TRY(tree_.charge(text.size() + sizeof(Extra)));
    inode.size = text.size();
    tree_.extra(inode).target = text;
  } else if (S_ISCHR(inode.mode) || S_ISBLK(inode.mode)) {
    const dev_t major = ::archive_entry_rdevmajor(entry);
    const dev_t minor = ::archive_entry_rdevminor(entry);
    if (major > kMaxMajor || minor > kMaxMinor) {
      return fail(Errc::invalid, "a device number that Linux does not have");
    }
    TRY(tree_.charge(sizeof(Extra)));
    tree_.extra(inode).major = static_cast<std::uint32_t>(major);
    tree_.extra(inode).minor = static_cast<std::uint32_t>(minor);
  } else if (!S_ISREG(inode.mode) && !S_ISDIR(inode.mode) && !S_ISFIFO(inode.mode) &&
             !S_ISSOCK(inode.mode)) {
    return fail(Errc::invalid, "a kind of file that ext4 does not have");
  }
  return {};
}

Result<void> LayerReader::add_other(TarStream& tar, archive_entry* entry, NodeId directory,
                                    std::string_view name) {
  TRY_ASSIGN(Inode inode, facts_of(entry));
  const NodeId before = tree_.find(directory, name);
  if (before != kNone && S_ISDIR(inode.mode) && tree_.is_directory(before)) {
    Inode& present = tree_.inode_of(before);
    inode.extra = present.extra;
    present = inode;
    tree_.node(before).layer = number_;
    return set_attributes(entry, present);
  }
  if (before != kNone) TRY(tree_.remove(before));
  TRY(add_special(entry, inode));
  TRY(set_attributes(entry, inode));
  TRY_ASSIGN(const InodeId id, tree_.add_inode(inode));
  TRY(tree_.add(directory, name, id, number_));
  return S_ISREG(inode.mode) ? add_content(tar, entry, id) : Result<void>();
}

Result<void> LayerReader::add_content(TarStream& tar, archive_entry* entry, InodeId id) {
  auto size = static_cast<std::uint64_t>(std::max<la_int64_t>(0, ::archive_entry_size(entry)));
  while (true) {
    TRY_ASSIGN(const TarStream::Piece piece, tar.piece());
    if (piece.data.empty()) break;
    TRY(target_.content.add(piece.offset, piece.data));
    size = std::max(size, piece.offset + piece.data.size());
  }
  if (size > kMaxFileSize) return fail(Errc::too_large, "a file larger than 16TiB");
  TRY_ASSIGN(const std::vector<Extent> extents, target_.content.finish(id));
  Inode& inode = tree_.inode(id);
  inode.size = size;
  tree_.set_extents(inode, extents);
  return {};
}

}  // namespace mvr::image
