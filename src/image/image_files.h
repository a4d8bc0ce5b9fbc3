// Where the image store keeps what, and how it is read. Readers take no lock of the store: every
// change they could see is one rename.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "image/store.h"

namespace mvr::image {

inline constexpr const char* kRootfs = "rootfs.ext4";
// A name below the store of what is about to be renamed into its place.
inline constexpr const char* kNewPrefix = ".new-";

class ImageFiles {
 public:
  explicit ImageFiles(std::string root) : root_(std::move(root)) {}

  [[nodiscard]] const std::string& root() const { return root_; }
  [[nodiscard]] std::string directory(const std::string& id) const;
  [[nodiscard]] std::string rootfs(const std::string& id) const;
  [[nodiscard]] std::string manifest(const std::string& id) const;
  [[nodiscard]] std::string tag(const std::string& name) const { return root_ + "/tags/" + name; }
  [[nodiscard]] std::string key(const std::string& key) const { return root_ + "/keys/" + key; }
  [[nodiscard]] std::string history(const std::string& name) const {
    return root_ + "/history/" + name;
  }

  struct Resolved {
    std::string id;
    std::string tag;  // empty: found by its id
  };
  Result<Resolved> resolve(const std::string& ref) const;
  // What a link in tags/ or keys/ says; nothing when there is none, or it is not one of ours.
  static std::optional<std::string> target(const std::string& link);
  // The manifest as it lies there. Err not_found: the image is gone.
  Result<Manifest> read(const std::string& id) const;
  [[nodiscard]] Error missing(const std::string& ref) const;

  [[nodiscard]] std::vector<std::string> ids() const;
  // Tag and id of its image, by tag.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> tags() const;
  // The ids a tag had, newest first, without the one it has.
  [[nodiscard]] std::vector<std::string> former(const std::string& name) const;

 private:
  Result<Resolved> resolve_id(const std::string& ref) const;
  std::string root_;
};

Result<void> check_key(const std::string& key);

}  // namespace mvr::image
