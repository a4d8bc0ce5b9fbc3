// Paths in the tree of an image, as its own kernel would follow them: links lead nowhere outside.
#pragma once

#include <string_view>
#include <vector>

#include "image/file_tree.h"

namespace mvr::image {

using PathParts = std::vector<std::string_view>;

// Without empty parts and "."; a leading '/' is the root of the tree. Err for "..", and for what no
// filesystem takes.
Result<PathParts> path_parts(std::string_view path);

struct WalkOptions {
  bool make = false;        // missing directories are made, owned by root
  bool follow = true;       // else a link on the way is an Err
  std::uint16_t layer = 0;  // of what is made
  FileTime mtime;           // of what is made
};
// The directory that the parts lead to. kNone when there is none (never with `make`: Err then).
Result<NodeId> walk_to(FileTree& tree, const PathParts& parts, const WalkOptions& options);

// What is at a path, its last part not followed; kNone when nothing is.
NodeId look_up(FileTree& tree, std::string_view path);

}  // namespace mvr::image
