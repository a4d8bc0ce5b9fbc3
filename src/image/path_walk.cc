#include "image/path_walk.h"

#include <climits>

#include "base/text.h"

namespace mvr::image {
namespace {

constexpr int kMaxLinks = 40;              // as Linux
constexpr std::uint32_t kMaxDepth = 2048;  // what a path of PATH_MAX can reach
constexpr std::size_t kMaxName = 255;

// Pushes the parts of a link's target so that the first is taken next.
void push_target(std::vector<std::string_view>& pending, std::string_view target) {
  const auto parts = split(target, '/');
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (!part->empty() && *part != ".") pending.push_back(*part);
  }
}

class Walker {
 public:
  Walker(FileTree& tree, const WalkOptions& options) : tree_(tree), options_(options) {}

  Result<NodeId> run(const PathParts& parts) {
    pending_.assign(parts.rbegin(), parts.rend());
    while (!pending_.empty() && at_ != kNone) {
      const std::string_view part = pending_.back();
      pending_.pop_back();
      TRY(step(part));
    }
    return at_;
  }

 private:
  Result<void> step(std::string_view part) {
    // Only in a link's target; the root's parent is the root.
    if (part == "..") {
      at_ = tree_.node(at_).parent;
      return {};
    }
    const NodeId found = tree_.find(at_, part);
    if (found == kNone) return miss(part);
    const Inode& inode = tree_.inode_of(found);
    if (S_ISLNK(inode.mode)) return follow(inode);
    if (S_ISDIR(inode.mode)) {
      at_ = found;
      return {};
    }
    return stop("it leads through " + printable(tree_.path(found), 200) + ", no directory");
  }

  Result<void> follow(const Inode& link) {
    if (!options_.follow) return fail(Errc::invalid, "it leads through a symbolic link");
    if (++links_ > kMaxLinks) return stop("it leads through too many symbolic links");
    const std::string& target = tree_.extra_of(link)->target;
    if (target.front() == '/') at_ = FileTree::kRoot;
    push_target(pending_, target);
    return {};
  }

  Result<void> miss(std::string_view part) {
    if (!options_.make) {
      at_ = kNone;
      return {};
    }
    if (tree_.depth(at_) >= kMaxDepth) return fail(Errc::invalid, "it lies too deep");
    if (part.size() > kMaxName) return fail(Errc::invalid, "a name longer than 255 bytes");
    Inode inode;
    inode.mode = S_IFDIR | 0755;
    inode.mtime = options_.mtime;
    TRY_ASSIGN(const InodeId made, tree_.add_inode(inode));
    TRY_ASSIGN(at_, tree_.add(at_, part, made, options_.layer));
    return {};
  }

  Result<void> stop(std::string why) {
    if (options_.make) return fail(Errc::invalid, std::move(why));
    at_ = kNone;
    return {};
  }

  FileTree& tree_;
  const WalkOptions& options_;
  std::vector<std::string_view> pending_;  // the next one last
  NodeId at_ = FileTree::kRoot;
  int links_ = 0;
};

}  // namespace

Result<PathParts> path_parts(std::string_view path) {
  if (path.empty() || path.size() > PATH_MAX) return fail(Errc::invalid, "no usable path");
  PathParts parts;
  for (const std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return fail(Errc::invalid, "a path with \"..\"");
    if (part.size() > kMaxName) return fail(Errc::invalid, "a name longer than 255 bytes");
    parts.push_back(part);
  }
  return parts;
}

Result<NodeId> walk_to(FileTree& tree, const PathParts& parts, const WalkOptions& options) {
  return Walker(tree, options).run(parts);
}

NodeId look_up(FileTree& tree, std::string_view path) {
  auto parts = path_parts(path);
  if (!parts) return kNone;
  if (parts->empty()) return FileTree::kRoot;
  const std::string_view name = parts->back();
  parts->pop_back();
  const auto directory = walk_to(tree, *parts, {});
  return directory && *directory != kNone ? tree.find(*directory, name) : kNone;
}

}  // namespace mvr::image
