#include "image_dump.h"

#include <sys/stat.h>

#include <sstream>

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>

#include "catch.h"
#include "sys/sha256.h"

namespace mvr::image {
namespace {

struct Name {
  std::string text;
  ext2_ino_t inode;
};

int collect(ext2_ino_t, int, ext2_dir_entry* entry, int, int, char*, void* into) {
  const std::string name(&entry->name[0], static_cast<std::size_t>(ext2fs_dirent_name_len(entry)));
  if (name != "." && name != "..") {
    static_cast<std::vector<Name>*>(into)->push_back({name, entry->inode});
  }
  return 0;
}

int keep_attribute(char* name, char* value, std::size_t size, void* into) {
  (*static_cast<std::map<std::string, std::string>*>(into))[name] = std::string(value, size);
  return 0;
}

class Dumper {
 public:
  explicit Dumper(const std::string& path) {
    REQUIRE(::ext2fs_open(path.c_str(), EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &fs_) == 0);
    REQUIRE(::ext2fs_read_bitmaps(fs_) == 0);
  }
  Dumper(const Dumper&) = delete;
  Dumper& operator=(const Dumper&) = delete;
  ~Dumper() { ::ext2fs_free(fs_); }

  void add(const std::string& path, ext2_ino_t number) {
    ext2_inode_large inode{};
    auto* small = reinterpret_cast<ext2_inode*>(&inode);
    REQUIRE(::ext2fs_read_inode_full(fs_, number, small, sizeof inode) == 0);
    PathFacts facts;
    facts.inode = number;
    facts.mode = inode.i_mode;
    facts.uid = inode.i_uid | static_cast<std::uint32_t>(inode.osd2.linux2.l_i_uid_high) << 16U;
    facts.gid = inode.i_gid | static_cast<std::uint32_t>(inode.osd2.linux2.l_i_gid_high) << 16U;
    facts.mtime = static_cast<std::int32_t>(inode.i_mtime) +
                  (static_cast<std::int64_t>(inode.i_mtime_extra & 3U) << 32);
    facts.nanoseconds = inode.i_mtime_extra >> 2U;
    facts.links = inode.i_links_count;
    read_attributes(number, facts);
    if (S_ISREG(inode.i_mode)) read_content(number, facts);
    if (S_ISLNK(inode.i_mode)) read_target(number, inode, facts);
    if (S_ISCHR(inode.i_mode) || S_ISBLK(inode.i_mode)) read_device(inode, facts);
    found_[path] = facts;
    if (S_ISDIR(inode.i_mode)) add_children(path, number);
  }

  std::map<std::string, PathFacts> take() { return std::move(found_); }

 private:
  void add_children(const std::string& path, ext2_ino_t number) {
    std::vector<Name> names;
    REQUIRE(::ext2fs_dir_iterate2(fs_, number, 0, nullptr, collect, &names) == 0);
    for (const Name& name : names) {
      // The library reads a directory from its start: of many names that would take long.
      ext2_ino_t again = name.inode;
      if (names.size() <= 500) {
        REQUIRE(::ext2fs_lookup(fs_, number, name.text.data(), static_cast<int>(name.text.size()),
                                nullptr, &again) == 0);
      }
      REQUIRE(again == name.inode);
      const std::string child = (path == "/" ? "" : path) + "/" + name.text;
      REQUIRE(found_.count(child) == 0);
      add(child, name.inode);
    }
  }

  void read_attributes(ext2_ino_t number, PathFacts& facts) {
    ext2_xattr_handle* handle = nullptr;
    REQUIRE(::ext2fs_xattrs_open(fs_, number, &handle) == 0);
    REQUIRE(::ext2fs_xattrs_read(handle) == 0);
    REQUIRE(::ext2fs_xattrs_iterate(handle, keep_attribute, &facts.attributes) == 0);
    REQUIRE(::ext2fs_xattrs_close(&handle) == 0);
  }

  void read_content(ext2_ino_t number, PathFacts& facts) {
    ext2_file_t file = nullptr;
    REQUIRE(::ext2fs_file_open(fs_, number, 0, &file) == 0);
    __u64 size = 0;
    REQUIRE(::ext2fs_file_get_lsize(file, &size) == 0);
    facts.size = size;
    std::string buffer(1U << 16U, '\0');
    sys::Sha256 sha;
    while (true) {
      unsigned got = 0;
      REQUIRE(::ext2fs_file_read(file, buffer.data(), static_cast<unsigned>(buffer.size()), &got) ==
              0);
      if (got == 0) break;
      sha.add({buffer.data(), got});
    }
    facts.content = sha.take_hex();
    REQUIRE(::ext2fs_file_close(file) == 0);
  }

  void read_target(ext2_ino_t number, ext2_inode_large& inode, PathFacts& facts) {
    facts.size = inode.i_size;
    if (::ext2fs_is_fast_symlink(reinterpret_cast<ext2_inode*>(&inode)) != 0) {
      facts.content.assign(reinterpret_cast<const char*>(&inode.i_block[0]), inode.i_size);
      return;
    }
    blk64_t block = 0;
    REQUIRE(::ext2fs_bmap2(fs_, number, nullptr, nullptr, 0, 0, nullptr, &block) == 0);
    std::string bytes(fs_->blocksize, '\0');
    REQUIRE(::io_channel_read_blk64(fs_->io, block, 1, bytes.data()) == 0);
    facts.content = bytes.substr(0, inode.i_size);
  }

  // The kernel's old_decode_dev() and new_decode_dev().
  static void read_device(const ext2_inode_large& inode, PathFacts& facts) {
    const std::uint32_t old = inode.i_block[0];
    const std::uint32_t now = inode.i_block[1];
    facts.major = old != 0 ? old >> 8U & 0xffU : (now & 0xfff00U) >> 8U;
    facts.minor = old != 0 ? old & 0xffU : (now & 0xffU) | (now >> 12U & 0xfff00U);
  }

  ext2_filsys fs_ = nullptr;
  std::map<std::string, PathFacts> found_;
};

}  // namespace

std::map<std::string, PathFacts> dump_image(const std::string& path) {
  Dumper dumper(path);
  dumper.add("/", EXT2_ROOT_INO);
  return dumper.take();
}

std::string dump_text(const PathFacts& facts) {
  std::ostringstream text;
  text << std::oct << facts.mode << std::dec << " " << facts.uid << ":" << facts.gid << " "
       << facts.mtime << "." << facts.nanoseconds << " size " << facts.size << " links "
       << facts.links << " dev " << facts.major << ":" << facts.minor << " " << facts.content;
  for (const auto& [name, value] : facts.attributes) {
    text << " " << name << "=";
    for (const char c : value) text << static_cast<int>(static_cast<unsigned char>(c)) << ",";
  }
  return text.str();
}

}  // namespace mvr::image
