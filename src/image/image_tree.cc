#include "image/image_tree.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <ext2fs/ext2fs.h>

#include "base/text.h"

namespace mvr::image {
namespace {

constexpr std::size_t kMostNodes = 4'000'000;
constexpr std::size_t kMostPath = 4096;
constexpr std::size_t kPiece = 256U << 10U;
constexpr std::uint64_t kMostTarget = 4096;

tl::unexpected<Error> ext2_failure(errcode_t code, const std::string& what) {
  return fail(Errc::invalid, what + ": " + ::error_message(code));
}

// One open file of a filesystem.
class OpenFile {
 public:
  static Result<OpenFile> open(ext2_filsys filesystem, ext2_ino_t inode) {
    OpenFile file;
    const errcode_t code = ::ext2fs_file_open(filesystem, inode, 0, &file.file_);
    if (code != 0) return ext2_failure(code, "open inode " + std::to_string(inode));
    return file;
  }
  OpenFile(OpenFile&& other) noexcept : file_(std::exchange(other.file_, nullptr)) {}
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  OpenFile& operator=(OpenFile&&) = delete;
  ~OpenFile() {
    if (file_ != nullptr) ::ext2fs_file_close(file_);
  }
  Result<std::size_t> read(char* buffer, std::size_t size) const {
    unsigned got = 0;
    const errcode_t code = ::ext2fs_file_read(file_, buffer, static_cast<unsigned>(size), &got);
    if (code != 0) return ext2_failure(code, "read a file");
    return std::size_t{got};
  }

 private:
  OpenFile() = default;
  ext2_file_t file_ = nullptr;
};

struct Found {
  std::string name;
  ext2_ino_t inode;
};
struct Listing {
  std::vector<Found> names;
  bool is_full = false;
};

// NOLINTNEXTLINE(readability-function-size): the library calls it so
int note_entry(ext2_ino_t /*directory*/, int kind, ext2_dir_entry* entry, int /*offset*/,
               int /*block_size*/, char* /*buffer*/, void* data) {
  auto& listing = *static_cast<Listing*>(data);
  if (kind != DIRENT_OTHER_FILE) return 0;  // "." and ".."
  const auto length = static_cast<std::size_t>(::ext2fs_dirent_name_len(entry));
  std::string name(static_cast<const char*>(entry->name), length);
  // No kernel would show such a name; what it says is no part of a path of ours.
  if (name.empty() || name.find('/') != std::string::npos) return 0;
  listing.names.push_back({std::move(name), entry->inode});
  listing.is_full = listing.names.size() > kMostNodes;
  return listing.is_full ? DIRENT_ABORT : 0;
}

std::uint64_t device_of(const ext2_inode& inode) {
  return inode.i_block[0] != 0 ? inode.i_block[0] : inode.i_block[1];
}

}  // namespace

struct ImageTree::Handle {
  std::string path;
  ext2_filsys filesystem = nullptr;
  Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  Handle(Handle&&) = delete;
  Handle& operator=(Handle&&) = delete;
  ~Handle() {
    if (filesystem != nullptr) (void)::ext2fs_close_free(&filesystem);
  }

  [[nodiscard]] Result<std::string> target(ext2_ino_t number, const ext2_inode& inode) const {
    const std::uint64_t size = inode.i_size;
    if (size >= kMostTarget) return fail(Errc::invalid, "a symbolic link is too long");
    if (::ext2fs_is_fast_symlink(const_cast<ext2_inode*>(&inode)) != 0) {  // NOLINT: takes no const
      const auto* bytes = static_cast<const void*>(&inode.i_block[0]);
      return std::string(static_cast<const char*>(bytes),
                         std::min<std::size_t>(size, sizeof inode.i_block));
    }
    TRY_ASSIGN(const OpenFile file, OpenFile::open(filesystem, number));
    std::string text(size, '\0');
    TRY_ASSIGN(const std::size_t got, file.read(text.data(), text.size()));
    text.resize(got);
    return text;
  }

  [[nodiscard]] Result<TreeNode> node(ext2_ino_t number) const {
    ext2_inode inode{};
    const errcode_t code = ::ext2fs_read_inode(filesystem, number, &inode);
    if (code != 0) return ext2_failure(code, "read inode " + std::to_string(number));
    TreeNode node;
    node.inode = number;
    node.mode = inode.i_mode;
    node.uid = inode_uid(inode);
    node.gid = inode_gid(inode);
    if (S_ISREG(inode.i_mode)) node.size = Bytes{EXT2_I_SIZE(&inode)};
    if (S_ISCHR(inode.i_mode) || S_ISBLK(inode.i_mode)) node.device = device_of(inode);
    if (S_ISLNK(inode.i_mode)) {
      TRY_ASSIGN(node.target, target(number, inode));
    }
    return node;
  }
};

ImageTree::ImageTree(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
ImageTree::ImageTree(ImageTree&&) noexcept = default;
ImageTree& ImageTree::operator=(ImageTree&&) noexcept = default;
ImageTree::~ImageTree() = default;

Result<ImageTree> ImageTree::open(const std::string& image) {
  auto handle = std::make_unique<Handle>();
  handle->path = image;
  const errcode_t code =
      ::ext2fs_open(image.c_str(), EXT2_FLAG_64BITS, 0, 0, ::unix_io_manager, &handle->filesystem);
  if (code != 0) return ext2_failure(code, image);
  return ImageTree(std::move(handle));
}

Result<std::map<std::string, TreeNode>> ImageTree::list() const {
  std::map<std::string, TreeNode> all;
  std::vector<std::pair<std::string, ext2_ino_t>> open{{"", EXT2_ROOT_INO}};
  std::string buffer(handle_->filesystem->blocksize * 3UL, '\0');
  while (!open.empty()) {
    const auto [directory, inode] = std::move(open.back());
    open.pop_back();
    Listing listing;
    const errcode_t code =
        ::ext2fs_dir_iterate2(handle_->filesystem, inode, 0, buffer.data(), &note_entry, &listing);
    if (code != 0) return ext2_failure(code, handle_->path + ": " + printable(directory, 200));
    for (Found& found : listing.names) {
      std::string path = directory + "/" + found.name;
      // A directory within itself would go on for ever.
      if (listing.is_full || all.size() >= kMostNodes || path.size() > kMostPath) {
        return fail(Errc::too_large, handle_->path + " holds too much at " + printable(path, 200));
      }
      TRY_ASSIGN(TreeNode node, context(handle_->node(found.inode), handle_->path));
      if (S_ISDIR(node.mode)) open.emplace_back(path, found.inode);
      all.insert_or_assign(std::move(path), std::move(node));
    }
  }
  return all;
}

Result<void> ImageTree::read(const TreeNode& file, const Take& take) const {
  TRY_ASSIGN(const OpenFile open, OpenFile::open(handle_->filesystem, file.inode));
  std::string buffer(kPiece, '\0');
  for (std::uint64_t left = file.size.value; left > 0;) {
    TRY_ASSIGN(const std::size_t got, open.read(buffer.data(), buffer.size()));
    if (got == 0) return fail(Errc::io, handle_->path + ": a file ends early");
    if (!take(std::string_view(buffer).substr(0, got))) return {};
    left -= std::min<std::uint64_t>(left, got);
  }
  return {};
}

Result<std::string> ImageTree::text(const TreeNode& file, std::size_t most) const {
  std::string all;
  TRY(read(file, [&](std::string_view piece) {
    all.append(piece.substr(0, most - all.size()));
    return all.size() < most;
  }));
  return all;
}

Result<bool> ImageTree::same_content(const ImageTree& a, const TreeNode& in_a, const ImageTree& b,
                                     const TreeNode& in_b) {
  TRY_ASSIGN(const OpenFile left, OpenFile::open(a.handle_->filesystem, in_a.inode));
  TRY_ASSIGN(const OpenFile right, OpenFile::open(b.handle_->filesystem, in_b.inode));
  std::array<std::string, 2> buffers{std::string(kPiece, '\0'), std::string(kPiece, '\0')};
  while (true) {
    TRY_ASSIGN(const std::size_t got, left.read(buffers[0].data(), kPiece));
    TRY_ASSIGN(const std::size_t other, right.read(buffers[1].data(), kPiece));
    if (got != other) return false;
    if (got == 0) return true;
    if (!std::equal(buffers[0].begin(), buffers[0].begin() + static_cast<std::ptrdiff_t>(got),
                    buffers[1].begin())) {
      return false;
    }
  }
}

}  // namespace mvr::image
