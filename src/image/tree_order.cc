#include "image/tree_order.h"

#include <algorithm>
#include <cstring>

#include <ext2fs/ext2_fs.h>

namespace mvr::image {
namespace {

class Orderer {
 public:
  Orderer(FileTree& tree, ContentSums& sums) : tree_(tree), sums_(sums) {}

  Result<TreeOrder> run() {
    tree_.inode_of(FileTree::kRoot).number = EXT2_ROOT_INO;
    TRY(describe(FileTree::kRoot));
    order_.inodes.push_back(tree_.node(FileTree::kRoot).inode);
    // e2fsck and tools expect it first.
    const NodeId found = tree_.find(FileTree::kRoot, "lost+found");
    if (found != kNone) number(tree_.node(found).inode);
    TRY(walk(FileTree::kRoot));
    order_.last_number = next_ - 1;
    order_.digest = sha_.take();
    return std::move(order_);
  }

 private:
  void number(InodeId id) {
    tree_.inode(id).number = next_++;
    order_.inodes.push_back(id);
  }

  // Files first, then each directory with all that is in it: what is read together lies together.
  Result<void> walk(NodeId directory) {
    const std::size_t place = order_.directories.size();
    order_.directories.push_back(directory);
    order_.subdirectories.push_back(0);
    std::vector<NodeId> children;
    tree_.sorted_children(directory, children);
    for (const NodeId child : children) {
      if (!tree_.is_directory(child)) TRY(visit(child));
    }
    std::uint16_t count = 0;
    for (const NodeId child : children) {
      if (!tree_.is_directory(child)) continue;
      count = static_cast<std::uint16_t>(std::min(count + 1, 65535));
      TRY(visit(child));
      TRY(walk(child));
    }
    order_.subdirectories[place] = count;
    sha_.add_number(0);  // the end of a directory: no file has this number
    return {};
  }

  Result<void> visit(NodeId id) {
    const InodeId inode = tree_.node(id).inode;
    const bool is_known = tree_.inode(inode).number != 0;
    if (!is_known) number(inode);
    sha_.add_number(tree_.inode(inode).number);
    add_text(tree_.name(id));
    // A second name of a file needs no second description; lost+found has its number only.
    if (is_known && !tree_.is_directory(id)) return {};
    return describe(id);
  }

  Result<void> describe(NodeId id) {
    const InodeId number = tree_.node(id).inode;
    const Inode& inode = tree_.inode(number);
    order_.newest = std::max(order_.newest, inode.mtime);
    for (const std::uint64_t value :
         {std::uint64_t{inode.mode}, std::uint64_t{inode.uid}, std::uint64_t{inode.gid}, inode.size,
          static_cast<std::uint64_t>(inode.mtime.seconds()),
          std::uint64_t{inode.mtime.nanoseconds()}}) {
      sha_.add_number(value);
    }
    const Extra none;
    const Extra* extra = tree_.extra_of(inode);
    if (extra == nullptr) extra = &none;
    add_text(extra->target);
    sha_.add_number(extra->major);
    sha_.add_number(extra->minor);
    sha_.add_number(extra->attributes.size());
    for (const auto& [name, value] : extra->attributes) {
      add_text(name);
      add_text(value);
    }
    const bool has_content = S_ISREG(inode.mode) && inode.extent_count != 0;
    sha_.add_number(has_content ? 1 : 0);
    if (!has_content) return {};
    TRY_ASSIGN(const std::string sum, sums_.get(number));
    sha_.add(sum);
    return {};
  }

  void add_text(std::string_view text) {
    sha_.add_number(text.size());
    sha_.add(text);
  }

  FileTree& tree_;
  ContentSums& sums_;
  sys::Sha256 sha_;
  TreeOrder order_;
  std::uint32_t next_ = EXT2_GOOD_OLD_FIRST_INO;
};

}  // namespace

Result<TreeOrder> order_tree(FileTree& tree, ContentSums& sums) {
  return Orderer(tree, sums).run();
}

}  // namespace mvr::image
