#include "image/rootfs_fixups.h"

#include <string>

#include "image/path_walk.h"

namespace mvr::image {
namespace {

// A directory of the tree as the guest would see it; kNone when it has no such directory.
NodeId directory_at(FileTree& tree, const char* path) {
  const auto parts = path_parts(path);
  const auto found = parts ? walk_to(tree, *parts, {}) : Result<NodeId>(kNone);
  return found ? *found : kNone;
}

Result<void> remove_name(FileTree& tree, NodeId directory, const std::string& name) {
  const NodeId found = tree.find(directory, name);
  if (found == kNone || tree.is_directory(found)) return {};
  return tree.remove(found);
}

bool is_plain_file(FileTree& tree, NodeId directory, const char* name, bool empty) {
  const NodeId found = tree.find(directory, name);
  if (found == kNone) return false;
  const Inode& inode = tree.inode_of(found);
  return S_ISREG(inode.mode) && (inode.size == 0) == empty;
}

Result<void> empty_machine_id(FileTree& tree, NodeId etc, std::uint16_t layer) {
  constexpr const char* name = "machine-id";
  if (!is_plain_file(tree, etc, name, false)) return {};
  Inode inode;
  inode.mode = S_IFREG | 0444;
  inode.mtime = tree.inode_of(tree.find(etc, name)).mtime;
  TRY(remove_name(tree, etc, name));
  TRY_ASSIGN(const InodeId made, tree.add_inode(inode));
  TRY(tree.add(etc, name, made, layer));
  return {};
}

Result<void> fix_etc(FileTree& tree, std::uint16_t layer) {
  const NodeId etc = directory_at(tree, "etc");
  if (etc == kNone) return {};
  for (const char* name : {"hosts", "hostname", "resolv.conf"}) {
    if (is_plain_file(tree, etc, name, true)) TRY(remove_name(tree, etc, name));
  }
  return empty_machine_id(tree, etc, layer);
}

Result<void> remove_host_keys(FileTree& tree) {
  const NodeId ssh = directory_at(tree, "etc/ssh");
  if (ssh == kNone) return {};
  for (const char* kind : {"rsa", "dsa", "ecdsa", "ed25519"}) {
    const std::string key = std::string("ssh_host_") + kind + "_key";
    TRY(remove_name(tree, ssh, key));
    TRY(remove_name(tree, ssh, key + ".pub"));
  }
  return {};
}

Result<void> make_mount_point(FileTree& tree, const char* name, unsigned mode,
                              std::uint16_t layer) {
  if (tree.find(FileTree::kRoot, name) != kNone) return {};
  Inode inode;
  inode.mode = static_cast<std::uint16_t>(S_IFDIR | mode);
  inode.mtime = tree.inode_of(FileTree::kRoot).mtime;
  TRY_ASSIGN(const InodeId made, tree.add_inode(inode));
  TRY(tree.add(FileTree::kRoot, name, made, layer));
  return {};
}

}  // namespace

Result<void> fix_up_rootfs(FileTree& tree, std::uint16_t layer) {
  TRY(remove_name(tree, FileTree::kRoot, ".dockerenv"));
  const NodeId run = directory_at(tree, "run");
  if (run != kNone) TRY(remove_name(tree, run, ".containerenv"));
  TRY(fix_etc(tree, layer));
  TRY(remove_host_keys(tree));
  for (const char* name : {"proc", "sys", "dev", "run"}) {
    TRY(make_mount_point(tree, name, 0755, layer));
  }
  return make_mount_point(tree, "tmp", 01777, layer);
}

}  // namespace mvr::image
