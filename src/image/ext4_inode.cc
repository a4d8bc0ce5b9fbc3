#include "image/ext4_inode.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "image/ext4_layout.h"

namespace mvr::image {
namespace {

// An extent, or the start of a block full of them.
struct TreeEntry {
  std::uint32_t logical = 0;
  std::uint32_t physical = 0;
  std::uint32_t count = 0;
};

template <class T>
void put(char* to, const T& value) {
  std::memcpy(to, &value, sizeof value);
}

// A header and its entries, at level 0 extents, above it references to blocks.
void encode_entries(char* to, const TreeEntry* entries, std::size_t count, std::uint16_t most,
                    std::uint16_t level) {
  ext3_extent_header header{};
  header.eh_magic = EXT3_EXT_MAGIC;
  header.eh_entries = static_cast<std::uint16_t>(count);
  header.eh_max = most;
  header.eh_depth = level;
  put(to, header);
  for (std::size_t i = 0; i < count; ++i) {
    to += sizeof header;  // all three structures have twelve bytes
    if (level == 0) {
      ext3_extent extent{};
      extent.ee_block = entries[i].logical;
      extent.ee_len = static_cast<std::uint16_t>(entries[i].count);
      extent.ee_start = entries[i].physical;
      put(to, extent);
    } else {
      ext3_extent_idx index{};
      index.ei_block = entries[i].logical;
      index.ei_leaf = entries[i].physical;
      put(to, index);
    }
  }
}

Result<void> encode_extents(ext2_filsys fs, BlockFile& file, const InodeFacts& facts,
                            ext2_inode_large& to) {
  std::vector<TreeEntry> entries;
  entries.reserve(facts.extents.size());
  for (const Extent& one : facts.extents) entries.push_back({one.logical, one.physical, one.count});
  std::size_t used = 0;
  std::uint16_t level = 0;
  while (entries.size() > kRootExtents) {
    std::vector<TreeEntry> above;
    for (std::size_t at = 0; at < entries.size(); at += kBlockExtents) {
      const std::size_t count = std::min<std::size_t>(kBlockExtents, entries.size() - at);
      // As words, so that the library may see its header in it.
      std::vector<std::uint32_t> block(kBlockSize / sizeof(std::uint32_t));
      char* bytes = reinterpret_cast<char*>(block.data());
      encode_entries(bytes, &entries[at], count, kBlockExtents, level);
      auto* header = reinterpret_cast<ext3_extent_header*>(block.data());
      TRY(library_result(::ext2fs_extent_block_csum_set(fs, facts.inode.number, header),
                         "checksum of extents"));
      MVR_ASSERT(used < facts.blocks.size());
      TRY(file.write(facts.blocks[used], {bytes, kBlockSize}));
      above.push_back({entries[at].logical, facts.blocks[used++], 0});
    }
    entries.swap(above);
    ++level;
  }
  encode_entries(reinterpret_cast<char*>(&to.i_block[0]), entries.data(), entries.size(),
                 kRootExtents, level);
  to.i_flags |= EXT4_EXTENTS_FL;
  return {};
}

void encode_device(const Extra& extra, ext2_inode_large& to) {
  const std::uint32_t major = extra.major;
  const std::uint32_t minor = extra.minor;
  if (major < 256 && minor < 256) {
    to.i_block[0] = major << 8U | minor;
  } else {
    to.i_block[1] = (minor & 0xffU) | major << 8U | (minor & ~0xffU) << 12U;
  }
}

void encode_facts(const Inode& inode, ext2_inode_large& to) {
  to.i_mode = inode.mode;
  to.i_uid = static_cast<std::uint16_t>(inode.uid & 0xffffU);
  to.osd2.linux2.l_i_uid_high = static_cast<std::uint16_t>(inode.uid >> 16U);
  to.i_gid = static_cast<std::uint16_t>(inode.gid & 0xffffU);
  to.osd2.linux2.l_i_gid_high = static_cast<std::uint16_t>(inode.gid >> 16U);
  to.i_extra_isize = sizeof(ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE;
  // Seconds beyond 32 bits are epochs of 2^32 seconds in the lowest two bits of the other half.
  const std::int64_t seconds = inode.mtime.seconds();
  const auto low = static_cast<std::uint32_t>(seconds);
  const std::int64_t epochs = (seconds - static_cast<std::int32_t>(low)) >> 32;
  const std::uint32_t more = (static_cast<std::uint32_t>(epochs) & 3U) | inode.mtime.nanoseconds()
                                                                             << 2U;
  to.i_atime = to.i_mtime = to.i_ctime = to.i_crtime = low;
  to.i_atime_extra = to.i_mtime_extra = to.i_ctime_extra = to.i_crtime_extra = more;
}

}  // namespace

Result<ext2_inode_large> encode_inode(ext2_filsys fs, BlockFile& file, const InodeFacts& facts) {
  const Inode& inode = facts.inode;
  ext2_inode_large to{};
  encode_facts(inode, to);
  to.i_links_count = static_cast<std::uint16_t>(facts.links);
  auto* small = reinterpret_cast<ext2_inode*>(&to);
  TRY(library_result(::ext2fs_inode_size_set(fs, small, static_cast<ext2_off64_t>(inode.size)),
                     "size of a file"));
  std::uint64_t blocks = facts.blocks.size();
  for (const Extent& one : facts.extents) blocks += one.count;
  TRY(library_result(::ext2fs_iblk_set(fs, small, blocks), "blocks of a file"));
  if (facts.is_indexed) to.i_flags |= EXT2_INDEX_FL;
  if (S_ISLNK(inode.mode) && facts.extents.empty()) {
    const std::string& target = facts.extra->target;
    std::memcpy(&to.i_block[0], target.data(), target.size());
  } else if (S_ISREG(inode.mode) || S_ISDIR(inode.mode) || S_ISLNK(inode.mode)) {
    TRY(encode_extents(fs, file, facts, to));
  } else if (facts.extra != nullptr) {
    encode_device(*facts.extra, to);
  }
  return to;
}

}  // namespace mvr::image
