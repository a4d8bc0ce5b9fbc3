// One layer's entries, by the rules of OCI image layers, into the tree of an image.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "image/content_writer.h"
#include "image/ext4_image.h"
#include "image/file_tree.h"
#include "image/path_walk.h"
#include "image/tar_stream.h"

namespace mvr::image {

class LayerReader {
 public:
  struct Target {
    FileTree& tree;
    ContentWriter& content;
    bool rootfs = true;  // as Ext4Options
  };
  // Layers are numbered upwards.
  LayerReader(Target target, const TarLayer& layer, std::uint16_t number)
      : target_(target), tree_(target.tree), layer_(layer), number_(number) {}
  // Applies all entries. Err names the entry that is refused.
  Result<void> read(TarStream& tar);
  [[nodiscard]] std::uint64_t entries() const { return entries_; }

 private:
  Result<void> apply(TarStream& tar, archive_entry* entry);
  Result<void> apply_root(archive_entry* entry);
  Result<void> apply_marker(const PathParts& parents, std::string_view name);
  Result<void> add_link(archive_entry* entry, NodeId directory, std::string_view name);
  Result<void> add_other(TarStream& tar, archive_entry* entry, NodeId directory,
                         std::string_view name);
  Result<void> add_content(TarStream& tar, archive_entry* entry, InodeId id);
  Result<NodeId> make_parents(const PathParts& parents, archive_entry* entry);
  Result<PathParts> parts_of(const char* path) const;
  Result<Inode> facts_of(archive_entry* entry) const;
  Result<void> add_special(archive_entry* entry, Inode& inode);
  Result<void> set_attributes(archive_entry* entry, Inode& inode);

  Target target_;
  FileTree& tree_;
  const TarLayer& layer_;
  std::uint16_t number_;
  std::uint64_t entries_ = 0;
};

}  // namespace mvr::image
