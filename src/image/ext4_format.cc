#include "image/ext4_format.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "base/assert.h"
#include "base/text.h"
#include "image/ext4_directory.h"
#include "image/ext4_inode.h"
#include "image/ext4_layout.h"
#include "image/ext4_library.h"
#include "image/tree_order.h"

namespace mvr::image {

Result<void> library_result(errcode_t code, const std::string& what) {
  if (code == 0) return {};
  // Below the library's own codes are those of the system.
  if (code > 0 && code < 4096) {
    Error error = os_error(static_cast<int>(code), what);
    if (error.code == Errc::full) error.remedy = "free space on the disk the image is written to";
    return fail(std::move(error));
  }
  static std::once_flag once;
  std::call_once(once, [] { ::initialize_ext2_error_table(); });
  return fail(Errc::io, what + ": " + ::error_message(code));
}

namespace {

constexpr std::uint32_t kMaxSubdirectories = 65000 - 2;

class Formatter {
 public:
  Formatter(FileTree& tree, BlockFile& file, const FormatOptions& options)
      : tree_(tree), file_(file), options_(options) {}

  Result<Formatted> run(ContentSums& sums) {
    TRY(plan(sums));
    TRY(file_.set_length(layout_.blocks));
    TRY(make_filesystem());
    TRY(write());
    TRY(close());
    return Formatted{layout_.blocks, "sha256:" + hex(order_.digest)};
  }

 private:
  Result<void> plan(ContentSums& sums) {
    TRY_ASSIGN(order_, order_tree(tree_, sums));
    std::memcpy(seed_.data(), order_.digest.data() + 16, sizeof seed_);
    TRY_ASSIGN(layout_, make_layout(tree_, file_, order_, seed_, options_));
    return {};
  }

  Result<void> write() {
    TRY(take_blocks());
    TRY(write_directories());
    TRY(write_inodes());
    TRY(file_.flush());
    return write_attributes();
  }

  [[nodiscard]] ext2_super_block parameters() const {
    ext2_super_block wanted{};
    wanted.s_rev_level = EXT2_DYNAMIC_REV;
    wanted.s_log_block_size = 2;
    wanted.s_log_cluster_size = 2;
    wanted.s_inode_size = 256;
    wanted.s_inodes_count = layout_.inodes_per_group * layout_.groups;
    wanted.s_log_groups_per_flex = 4;
    wanted.s_desc_size = EXT2_MIN_DESC_SIZE_64BIT;
    wanted.s_feature_compat = EXT2_FEATURE_COMPAT_EXT_ATTR | EXT2_FEATURE_COMPAT_DIR_INDEX |
                              EXT4_FEATURE_COMPAT_SPARSE_SUPER2;
    wanted.s_feature_incompat = EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS |
                                EXT4_FEATURE_INCOMPAT_64BIT | EXT4_FEATURE_INCOMPAT_FLEX_BG;
    wanted.s_feature_ro_compat =
        EXT2_FEATURE_RO_COMPAT_LARGE_FILE | EXT4_FEATURE_RO_COMPAT_HUGE_FILE |
        EXT4_FEATURE_RO_COMPAT_DIR_NLINK | EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE |
        EXT4_FEATURE_RO_COMPAT_METADATA_CSUM;
    ::ext2fs_blocks_count_set(&wanted, layout_.blocks);
    return wanted;
  }

  Result<void> make_filesystem() {
    ext2_super_block wanted = parameters();
    ext2_filsys made = nullptr;
    TRY(library_result(::ext2fs_initialize(options_.path.c_str(), EXT2_FLAG_64BITS | EXT2_FLAG_RW,
                                           &wanted, unix_io_manager, &made),
                       "make the filesystem"));
    fs_.reset(made);
    MVR_ASSERT(fs_->group_desc_count == layout_.groups);
    MVR_ASSERT(fs_->super->s_inodes_per_group == layout_.inodes_per_group);
    MVR_ASSERT(1 + fs_->desc_blocks <= kFirstDataBlock);
    set_identity(*fs_->super);
    ::ext2fs_init_csum_seed(fs_.get());
    return {};
  }

  // All that is by chance or of today elsewhere follows from the content. A check's or a write's
  // time in the future would be an error, so that these are the oldest there is.
  void set_identity(ext2_super_block& super) {
    fs_->now = 1;
    super.s_lastcheck = 1;
    super.s_wtime = 1;
    const std::int64_t newest = std::clamp<std::int64_t>(order_.newest.seconds(), 1, 0xffffffff);
    super.s_mkfs_time = static_cast<std::uint32_t>(newest);
    std::copy_n(order_.digest.begin(), sizeof super.s_uuid, &super.s_uuid[0]);
    // Version 8 of RFC 9562: bits of one's own.
    super.s_uuid[6] = static_cast<std::uint8_t>(0x80U | (super.s_uuid[6] & 0x0fU));
    super.s_uuid[8] = static_cast<std::uint8_t>(0x80U | (super.s_uuid[8] & 0x3fU));
    std::copy(seed_.begin(), seed_.end(), &super.s_hash_seed[0]);
    super.s_def_hash_version = EXT2_HASH_HALF_MD4;
    super.s_flags |= EXT2_FLAGS_SIGNED_HASH;
    super.s_checksum_type = EXT2_CRC32C_CHKSUM;
    super.s_kbytes_written = 1;
    super.s_checkinterval = 0;
    super.s_max_mnt_count = -1;
    super.s_errors = EXT2_ERRORS_DEFAULT;
    super.s_default_mount_opts = EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL;
    std::copy_n(options_.label.begin(), std::min(options_.label.size(), sizeof super.s_volume_name),
                &super.s_volume_name[0]);
  }

  void take(const Run& run) {
    ::ext2fs_block_alloc_stats_range(fs_.get(), run.start, run.count, +1);
  }

  // The file reads as zeros, so that inode tables need no writing.
  Result<void> take_blocks() {
    for (std::uint32_t group = 0; group < layout_.groups; ++group) {
      take(layout_.bitmaps[group]);
      take(layout_.inode_tables[group]);
      ::ext2fs_block_bitmap_loc_set(fs_.get(), group, layout_.bitmaps[group].start);
      ::ext2fs_inode_bitmap_loc_set(fs_.get(), group, layout_.bitmaps[group].start + 1);
      ::ext2fs_inode_table_loc_set(fs_.get(), group, layout_.inode_tables[group].start);
      ::ext2fs_bg_flags_set(fs_.get(), group, EXT2_BG_INODE_ZEROED);
      ::ext2fs_group_desc_csum_set(fs_.get(), group);
    }
    for (const InodeId id : order_.inodes) {
      for (const Extent& one : tree_.extents(tree_.inode(id))) take({one.physical, one.count});
    }
    for (const auto& [id, blocks] : layout_.extent_blocks) {
      for (const std::uint32_t block : blocks) take({block, 1});
    }
    for (ext2_ino_t number = 1; number < EXT2_GOOD_OLD_FIRST_INO; ++number) {
      ::ext2fs_inode_alloc_stats2(fs_.get(), number, +1, number == EXT2_ROOT_INO ? 1 : 0);
    }
    if (!options_.journal) return {};
    ext2fs_journal_params journal{};
    journal.num_journal_blocks = layout_.journal_blocks;
    return library_result(
        ::ext2fs_add_journal_inode3(fs_.get(), &journal, ~blk64_t{0},
                                    EXT2_MKJOURNAL_NO_MNT_CHECK | EXT2_MKJOURNAL_LAZYINIT),
        "make the journal");
  }

  Result<void> write_directories() {
    DirectoryBlocks directory_blocks(tree_, seed_);
    for (const NodeId directory : order_.directories) {
      const Inode& inode = tree_.inode_of(directory);
      const std::vector<Extent> extents = tree_.extents(inode);
      const auto emit = [&](std::uint32_t place, std::string& block) -> Result<void> {
        auto* entries = reinterpret_cast<ext2_dir_entry*>(block.data());
        TRY(library_result(::ext2fs_dir_block_csum_set(fs_.get(), inode.number, entries),
                           "checksum of " + tree_.path(directory)));
        auto extent = std::find_if(extents.begin(), extents.end(), [&](const Extent& one) {
          return place - one.logical < one.count;
        });
        MVR_ASSERT(extent != extents.end());
        return file_.write(extent->physical + (place - extent->logical), block);
      };
      TRY(directory_blocks.make(directory, emit));
    }
    return {};
  }

  Result<void> write_inodes() {
    // Of directories: one from above, one from itself, one from each below; 1 when uncountable.
    for (std::size_t i = 0; i < order_.directories.size(); ++i) {
      const std::uint32_t below = order_.subdirectories[i];
      tree_.inode_of(order_.directories[i]).links =
          static_cast<std::uint16_t>(below > kMaxSubdirectories ? 1 : below + 2);
    }
    for (const InodeId id : order_.inodes) TRY(write_inode(id));
    return {};
  }

  Result<void> write_inode(InodeId id) {
    const Inode& inode = tree_.inode(id);
    InodeFacts facts{inode, tree_.extra_of(inode), inode.links, false, tree_.extents(inode), {}};
    facts.is_indexed = S_ISDIR(inode.mode) && inode.size > kBlockSize;
    const auto blocks = layout_.extent_blocks.find(id);
    if (blocks != layout_.extent_blocks.end()) facts.blocks = blocks->second;
    TRY_ASSIGN(ext2_inode_large encoded, encode_inode(fs_.get(), file_, facts));
    if (inode.number != EXT2_ROOT_INO) {
      ::ext2fs_inode_alloc_stats2(fs_.get(), inode.number, +1, S_ISDIR(inode.mode) ? 1 : 0);
    }
    auto* small = reinterpret_cast<ext2_inode*>(&encoded);
    return library_result(::ext2fs_write_inode_full(fs_.get(), inode.number, small, sizeof encoded),
                          "write an inode");
  }

  Result<void> write_attributes() {
    for (const InodeId id : order_.inodes) {
      const Extra* extra = tree_.extra_of(tree_.inode(id));
      if (extra == nullptr || extra->attributes.empty()) continue;
      TRY(write_attributes_of(tree_.inode(id).number, extra->attributes));
    }
    return {};
  }

  Result<void> write_attributes_of(std::uint32_t number, const Attributes& attributes) {
    ext2_xattr_handle* opened = nullptr;
    TRY(library_result(::ext2fs_xattrs_open(fs_.get(), number, &opened), "open attributes"));
    const auto free = [](ext2_xattr_handle* handle) { (void)::ext2fs_xattrs_close(&handle); };
    const std::unique_ptr<ext2_xattr_handle, decltype(free)> handle(opened, free);
    for (const auto& [name, value] : attributes) {
      TRY(library_result(::ext2fs_xattr_set(handle.get(), name.c_str(), value.data(), value.size()),
                         "write the attribute " + printable(name, 80)));
    }
    return {};
  }

  Result<void> close() {
    fs_->super->s_state |= EXT2_VALID_FS;
    ::ext2fs_mark_super_dirty(fs_.get());
    fs_->flags &= ~EXT2_FLAG_SUPER_ONLY;
    // Whatever comes of it, nothing is left to be freed.
    ext2_filsys last = fs_.release();
    const errcode_t code = ::ext2fs_close_free(&last);
    return library_result(code, "write the filesystem");
  }

  FileTree& tree_;
  BlockFile& file_;
  const FormatOptions& options_;
  TreeOrder order_;
  HashSeed seed_{};
  Layout layout_;
  Filesystem fs_;
};

}  // namespace

Result<Formatted> format_ext4(FileTree& tree, BlockFile& file, ContentSums& sums,
                              const FormatOptions& options) {
  return Formatter(tree, file, options).run(sums);
}

}  // namespace mvr::image
