#include "image/ext4_layout.h"

#include <algorithm>

#include "base/text.h"
#include "base/units.h"
#include "image/ext4_library.h"

namespace mvr::image {
namespace {

constexpr std::uint32_t kShortLink = 60;  // shorter ones lie in the inode
// Attributes up to this lie in the inode: what is left behind its 160 bytes, less a marker.
constexpr std::size_t kInlineAttributes = 256 - 160 - 4 - 4;
constexpr std::uint32_t kSpareBlocks = 64;
constexpr std::uint32_t kSpareInodes = 16;
constexpr std::uint32_t kRounding = 256;  // to whole MiB
constexpr std::uint32_t kMinBlocks = 512;

std::uint32_t divide_up(std::uint32_t value, std::uint32_t by) { return (value + by - 1) / by; }

// Blocks wherever they are free.
Result<std::vector<Extent>> take_extents(BlockFile& file, std::uint32_t count) {
  std::vector<Extent> extents;
  for (std::uint32_t at = 0; at < count;) {
    TRY_ASSIGN(const Run run, file.take(std::min(count - at, kBlocksPerGroup)));
    extents.push_back({at, run.start, run.count});
    at += run.count;
  }
  return extents;
}

class Planner {
 public:
  Planner(FileTree& tree, BlockFile& file, const FormatOptions& options)
      : tree_(tree), file_(file), options_(options) {}

  Result<Layout> run(const TreeOrder& order, const HashSeed& seed) {
    TRY(place_directories(order, seed));
    for (const InodeId id : order.inodes) {
      TRY(place_link(id));
      TRY(place_extent_blocks(id));
      count_attributes(id);
    }
    TRY(size_groups(order.last_number + kSpareInodes));
    TRY(place_tables());
    return std::move(layout_);
  }

 private:
  Result<void> place_directories(const TreeOrder& order, const HashSeed& seed) {
    DirectoryBlocks directory_blocks(tree_, seed);
    const auto only_count = [](std::uint32_t, std::string&) { return Result<void>(); };
    for (const NodeId directory : order.directories) {
      TRY_ASSIGN(const std::uint32_t count, directory_blocks.make(directory, only_count));
      TRY_ASSIGN(const std::vector<Extent> extents, take_extents(file_, count));
      Inode& inode = tree_.inode_of(directory);
      inode.size = std::uint64_t{count} * kBlockSize;
      tree_.set_extents(inode, extents);
    }
    return {};
  }

  Result<void> place_link(InodeId id) {
    Inode& inode = tree_.inode(id);
    if (!S_ISLNK(inode.mode) || inode.size < kShortLink) return {};
    TRY_ASSIGN(const Run run, file_.take(1));
    std::string block = tree_.extra_of(inode)->target;
    block.resize(kBlockSize, '\0');
    TRY(file_.write(run.start, block));
    tree_.set_extents(inode, {{0, run.start, 1}});
    return {};
  }

  Result<void> place_extent_blocks(InodeId id) {
    auto count = static_cast<std::uint32_t>(tree_.extents(tree_.inode(id)).size());
    while (count > kRootExtents) {
      count = divide_up(count, kBlockExtents);
      for (std::uint32_t i = 0; i < count; ++i) {
        TRY_ASSIGN(const Run run, file_.take(1));
        layout_.extent_blocks[id].push_back(run.start);
      }
    }
    return {};
  }

  // The library takes the block itself, so that only room is kept for it.
  void count_attributes(InodeId id) {
    const Extra* extra = tree_.extra_of(tree_.inode(id));
    if (extra == nullptr) return;
    std::size_t bytes = 0;
    for (const auto& [name, value] : extra->attributes) {
      bytes += 16 + (name.size() + 3) / 4 * 4 + (value.size() + 3) / 4 * 4;
    }
    if (bytes > kInlineAttributes) attribute_blocks_++;
  }

  // More groups need more tables, which need more blocks: up until both agree.
  Result<void> size_groups(std::uint32_t inodes) {
    std::uint32_t groups = options_.blocks == 0 ? 1 : divide_up(options_.blocks, kBlocksPerGroup);
    groups = std::max(groups, divide_up(inodes, kBlocksPerGroup));
    while (true) {
      const std::uint32_t per_group =
          divide_up(divide_up(inodes, groups), kInodesPerBlock) * kInodesPerBlock;
      const std::uint32_t table = per_group / kInodesPerBlock;
      std::uint64_t needed = std::uint64_t{file_.end()} + attribute_blocks_ + kSpareBlocks +
                             std::uint64_t{groups} * (table + 2);
      if (options_.journal) {
        layout_.journal_blocks = journal_size(needed);
        needed += layout_.journal_blocks + divide_up(layout_.journal_blocks, kBlocksPerGroup) + 8;
      }
      // A group with hardly more than its tables is one that the library cuts off.
      const std::uint64_t least = std::uint64_t{groups - 1} * kBlocksPerGroup + table + 512;
      needed = std::max({needed, least, std::uint64_t{kMinBlocks}});
      needed = (needed + kRounding - 1) / kRounding * kRounding;
      if (needed > kMaxBlocks || (options_.blocks != 0 && needed > options_.blocks)) {
        return too_small(needed);
      }
      const auto wanted =
          static_cast<std::uint32_t>(std::max(needed, std::uint64_t{options_.blocks}));
      if (divide_up(wanted, kBlocksPerGroup) <= groups) {
        layout_.blocks = wanted;
        layout_.groups = groups;
        layout_.inodes_per_group = per_group;
        return {};
      }
      ++groups;
    }
  }

  [[nodiscard]] std::uint32_t journal_size(std::uint64_t needed) const {
    const int size = ::ext2fs_default_journal_size(options_.blocks != 0 ? options_.blocks : needed);
    return size > 0 ? static_cast<std::uint32_t>(size) : 1024;
  }

  [[nodiscard]] tl::unexpected<Error> too_small(std::uint64_t needed) const {
    const std::uint64_t limit = options_.blocks == 0 ? kMaxBlocks : options_.blocks;
    return fail({Errc::full,
                 "the content needs " + format_bytes(Bytes{needed * kBlockSize}) +
                     " and does not fit into an image of " +
                     format_bytes(Bytes{limit * kBlockSize}),
                 "give the image more than that, or put less into it"});
  }

  Result<void> place_tables() {
    for (std::uint32_t group = 0; group < layout_.groups; ++group) {
      TRY_ASSIGN(const Run bitmaps, file_.take_behind(2));
      layout_.bitmaps.push_back(bitmaps);
    }
    for (std::uint32_t group = 0; group < layout_.groups; ++group) {
      TRY_ASSIGN(const Run table, file_.take_behind(layout_.inodes_per_group / kInodesPerBlock));
      layout_.inode_tables.push_back(table);
    }
    return {};
  }

  FileTree& tree_;
  BlockFile& file_;
  const FormatOptions& options_;
  Layout layout_;
  std::uint32_t attribute_blocks_ = 0;
};

}  // namespace

Result<Layout> make_layout(FileTree& tree, BlockFile& file, const TreeOrder& order,
                           const HashSeed& seed, const FormatOptions& options) {
  return Planner(tree, file, options).run(order, seed);
}

}  // namespace mvr::image
