#include "image/ext4_image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <memory>

#include "base/fd.h"
#include "base/text.h"
#include "image/ext4_format.h"
#include "image/layer_reader.h"
#include "image/rootfs_fixups.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

// Behind every block an image can have.
constexpr std::uint64_t kSumsOffset = std::uint64_t{kMaxBlocks} * kBlockSize;
constexpr Bytes kSmallest = mib(2);
constexpr std::size_t kMaxLayers = 4096;

// The image while it has no name yet: where the host's filesystem cannot do without, one that goes
// with the object.
class Draft {
 public:
  Draft() = default;
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  Draft(Draft&&) = delete;
  Draft& operator=(Draft&&) = delete;
  ~Draft() {
    if (!name_.empty()) (void)sys::remove_file(name_);
  }

  Result<void> open(const std::string& output) {
    const auto parent = std::filesystem::path(output).parent_path();
    const std::string directory = parent.empty() ? "." : parent.string();
    fd_ = Fd(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644));
    if (fd_) return {};
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) {
      return fail_errno(errno, "create " + output);
    }
    name_ = output + ".new-" + std::to_string(::getpid());
    fd_ = Fd(::open(name_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (fd_) return {};
    const int number = errno;
    name_.clear();
    return fail_errno(number, "create " + output);
  }

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_.get()); }

  Result<void> publish(const std::string& output) {
    if (::fsync(fd_.get()) != 0) return fail_errno(errno, "write " + output);
    if (!name_.empty()) {
      TRY(sys::rename_durably(name_, output));
      name_.clear();
      return {};
    }
    TRY(sys::remove_file(output));
    if (::linkat(AT_FDCWD, path().c_str(), AT_FDCWD, output.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      return fail_errno(errno, "name " + output);
    }
    return {};
  }

 private:
  Fd fd_;
  std::string name_;
};

Result<void> check_digest(const TarLayer& layer, const std::string& expected,
                          const std::string& found) {
  if (expected.empty() || expected == found) return {};
  return fail(Errc::invalid, layer.what + ": its content is " + found + ", not " + expected);
}

Result<void> make_lost_and_found(FileTree& tree, std::uint16_t layer) {
  constexpr const char* name = "lost+found";
  const NodeId found = tree.find(FileTree::kRoot, name);
  if (found != kNone && tree.is_directory(found)) return {};
  if (found != kNone) return fail(Errc::invalid, "entry \"lost+found\": no directory");
  Inode inode;
  inode.mode = S_IFDIR | 0700;
  inode.mtime = tree.inode_of(FileTree::kRoot).mtime;
  TRY_ASSIGN(const InodeId made, tree.add_inode(inode));
  TRY(tree.add(FileTree::kRoot, name, made, layer));
  return {};
}

Result<void> check_program(FileTree& tree, const std::string& path) {
  if (path.empty()) return {};
  const NodeId found = look_up(tree, path);
  if (found == kNone || !S_ISREG(tree.inode_of(found).mode)) {
    return fail(Errc::invalid, "it has no " + path);
  }
  constexpr unsigned everyone = S_IROTH | S_IXOTH;
  if ((tree.inode_of(found).mode & everyone) == everyone) return {};
  return fail(Errc::invalid, path + " is not executable for everyone: chmod -R a+rX it first");
}

// Of files; what a pipe will bring is not known.
Bytes bytes_of(const std::vector<TarLayer>& layers) {
  Bytes all;
  for (const TarLayer& layer : layers) {
    struct stat facts {};
    if (::fstat(layer.fd, &facts) == 0 && S_ISREG(facts.st_mode)) {
      all += Bytes{static_cast<std::uint64_t>(facts.st_size)};
    }
  }
  return all;
}

class Writer {
 public:
  Writer(int fd, const Ext4Options& options)
      : options_(options),
        blocks_(fd, kFirstDataBlock, limit(options)),
        sums_(fd, kSumsOffset),
        work_(fd, sums_),
        tree_([this](Run run) { return give_back(run); }) {}

  Result<void> read(const std::vector<TarLayer>& layers) {
    const Bytes all = options_.expected.value != 0 ? options_.expected : bytes_of(layers);
    const Watcher watcher(options_.bar, all, [this] { return Bytes{read_.load()}; });
    ContentWriter content(blocks_, work_);
    for (const TarLayer& layer : layers) {
      TRY(context(read_layer(layer, content), layer.what));
      ++layer_;
    }
    return work_.complete();
  }

  Result<Formatted> finish(const std::string& path) {
    TRY(check_program(tree_, options_.program));
    if (options_.rootfs) TRY(fix_up_rootfs(tree_, layer_));
    // Builders make it 0555 or private; it is the root's of every VM.
    Inode& root = tree_.inode_of(FileTree::kRoot);
    root.mode = S_IFDIR | 0755;
    root.uid = 0;
    root.gid = 0;
    TRY(make_lost_and_found(tree_, layer_));
    FormatOptions format;
    format.path = path;
    format.label = options_.label;
    format.blocks = options_.size.value == 0 ? 0 : limit(options_);
    format.journal = options_.journal;
    return format_ext4(tree_, blocks_, sums_, format);
  }

  [[nodiscard]] std::uint64_t entries() const { return entries_; }

 private:
  static std::uint32_t limit(const Ext4Options& options) {
    if (options.size.value == 0) return kMaxBlocks;
    return static_cast<std::uint32_t>(options.size.value / kBlockSize);
  }

  Result<void> give_back(Run run) {
    TRY(work_.settle(run));
    return blocks_.give_back(run);
  }

  Result<void> read_layer(const TarLayer& layer, ContentWriter& content) {
    TarStream tar(layer.fd, read_);
    TRY(tar.open(!layer.digest.empty(), !layer.diff_id.empty()));
    LayerReader reader({tree_, content, options_.rootfs}, layer, layer_);
    TRY(reader.read(tar));
    TRY(tar.drain());
    entries_ += reader.entries();
    if (!layer.digest.empty()) TRY(check_digest(layer, layer.digest, tar.digest()));
    return layer.diff_id.empty() ? Result<void>()
                                 : check_digest(layer, layer.diff_id, tar.diff_id());
  }

  const Ext4Options& options_;
  BlockFile blocks_;
  ContentSums sums_;
  ContentWork work_;
  FileTree tree_;
  std::uint16_t layer_ = 0;
  std::uint64_t entries_ = 0;
  std::atomic<std::uint64_t> read_ = 0;  // the bar's thread looks at it
};

Result<void> check_options(const std::vector<TarLayer>& layers, const Ext4Options& options) {
  if (layers.size() > kMaxLayers) return fail(Errc::too_large, "more than 4096 layers");
  if (options.size.value == 0) return {};
  const Bytes most{kSumsOffset};
  if (options.size < kSmallest || options.size > most) {
    return fail(Errc::invalid, "an image of " + format_bytes(options.size) + ": give it between " +
                                   format_bytes(kSmallest) + " and " + format_bytes(most));
  }
  return {};
}

}  // namespace

Result<Ext4Report> write_ext4_image(const std::vector<TarLayer>& layers, const std::string& output,
                                    const Ext4Options& options) {
  TRY(check_options(layers, options));
  TRY(sys::remove_file(output));
  const Utf8Names names;
  Draft draft;
  TRY(draft.open(output));
  Writer writer(draft.fd(), options);
  TRY(writer.read(layers));
  TRY_ASSIGN(const Formatted formatted, writer.finish(draft.path()));
  TRY(draft.publish(output));
  Ext4Report report;
  report.size = Bytes{std::uint64_t{formatted.blocks} * kBlockSize};
  report.allocated = sys::allocated_size(output);
  report.entries = writer.entries();
  report.digest = formatted.digest;
  return report;
}

}  // namespace mvr::image
