// Looking into an ext4 image without mounting it: read-only, and bounded whatever it holds.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/units.h"

namespace mvr::image {

struct TreeNode {
  std::uint32_t inode = 0;
  std::uint32_t mode = 0;  // with the type
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  Bytes size;
  std::uint64_t device = 0;  // of device nodes
  std::string target;        // of symbolic links
};

class ImageTree {
 public:
  static Result<ImageTree> open(const std::string& image);
  ImageTree(ImageTree&&) noexcept;
  ImageTree& operator=(ImageTree&&) noexcept;
  ImageTree(const ImageTree&) = delete;
  ImageTree& operator=(const ImageTree&) = delete;
  ~ImageTree();

  // Every path but the root, sorted: "/etc/passwd".
  Result<std::map<std::string, TreeNode>> list() const;
  // The content of a regular file in pieces, until it ends or `take` returns false.
  using Take = std::function<bool(std::string_view piece)>;
  Result<void> read(const TreeNode& file, const Take& take) const;
  Result<std::string> text(const TreeNode& file, std::size_t most) const;
  // Do two regular files of the same size hold the same?
  static Result<bool> same_content(const ImageTree& a, const TreeNode& in_a, const ImageTree& b,
                                   const TreeNode& in_b);

 private:
  struct Handle;
  explicit ImageTree(std::unique_ptr<Handle> handle);
  std::unique_ptr<Handle> handle_;
};

}  // namespace mvr::image
