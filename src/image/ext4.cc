// ext4 files made by mke2fs. The feature list is spelled out, so that neither /etc/mke2fs.conf nor
// a newer e2fsprogs puts in something that an older guest kernel cannot mount.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <set>
#include <utility>

#include <fts.h>

#include "base/fd.h"
#include "base/text.h"
#include "image/build.h"
#include "image/program.h"
#include "sys/files.h"
#include "sys/process.h"

namespace mvr::image {
namespace {

constexpr std::uint64_t kBlock = 4096;
constexpr std::uint64_t kInode = 256;
constexpr Bytes kSmallest = mib(8);
constexpr int kSizeAttempts = 4;
constexpr const char* kFeatures =
    "none,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum";
// Inode tables need no zeroing: the file is new and sparse.
constexpr const char* kOptions =
    "root_owner=0:0,lazy_itable_init=1,nodiscard,assume_storage_prezeroed=1";
constexpr const char* kScratchOptions =
    "root_owner=0:0,lazy_itable_init=1,nodiscard,assume_storage_prezeroed=1,packed_meta_blocks=1";
constexpr const char* kScratchFeatures =
    "none,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super2,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum";

struct Measure {
  std::uint64_t inodes = 0;
  std::uint64_t blocks = 0;
};

std::uint64_t blocks_of(std::uint64_t bytes) { return (bytes + kBlock - 1) / kBlock; }

// What a file's data takes. Holes stay holes; a filesystem that compresses or inlines allocates
// less than ext4 will, so a wrong guess is corrected by trying again with more.
std::uint64_t file_blocks(const struct stat& facts) {
  const auto size = static_cast<std::uint64_t>(facts.st_size);
  const auto allocated = static_cast<std::uint64_t>(facts.st_blocks) * 512U;
  return blocks_of(allocated == 0 ? size : std::min(size, allocated));
}

class Measurer {
 public:
  void add(const FTSENT& entry) {
    const struct stat& facts = *entry.fts_statp;
    if (!S_ISDIR(facts.st_mode) && facts.st_nlink > 1 &&
        !linked_.insert({facts.st_dev, facts.st_ino}).second) {
      return;
    }
    total_.inodes += 1;
    if (S_ISREG(facts.st_mode)) total_.blocks += file_blocks(facts);
    if (S_ISDIR(facts.st_mode)) {
      total_.blocks += 1 + blocks_of(static_cast<std::uint64_t>(facts.st_size));
    }
    // Short links live in the inode.
    if (S_ISLNK(facts.st_mode) && facts.st_size >= 60) total_.blocks += 1;
  }
  [[nodiscard]] Measure total() const { return total_; }

 private:
  Measure total_;
  std::set<std::pair<dev_t, ino_t>> linked_;
};

Result<Measure> measure_tree(const std::string& tree) {
  std::string root = tree;
  const std::array<char*, 2> roots{root.data(), nullptr};
  const std::unique_ptr<FTS, int (*)(FTS*)> walk(
      ::fts_open(roots.data(), FTS_PHYSICAL | FTS_NOCHDIR, nullptr), ::fts_close);
  if (!walk) return fail_errno(errno, "read " + tree);
  Measurer measurer;
  errno = 0;
  while (const FTSENT* entry = ::fts_read(walk.get())) {
    if (entry->fts_info == FTS_DP) continue;
    if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_DNR || entry->fts_info == FTS_NS) {
      return fail_errno(entry->fts_errno, std::string("read ") + entry->fts_path);
    }
    measurer.add(*entry);
    errno = 0;
  }
  if (errno != 0) return fail_errno(errno, "read " + tree);
  return measurer.total();
}

// Data, inode tables, and about 2 % for bitmaps, extent blocks and extended attributes.
Bytes first_size(const Measure& measure, Bytes slack) {
  const std::uint64_t data = measure.blocks * kBlock;
  const Bytes needed{data + data / 50 + measure.inodes * kInode * 5 / 4};
  const Bytes size = std::max(needed + slack + mib(4), kSmallest);
  return Bytes{(size.value + kBlock - 1) / kBlock * kBlock};
}

// Removes what it names unless told to keep it.
class Unfinished {
 public:
  explicit Unfinished(std::string path) : path_(std::move(path)) {}
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  Unfinished(Unfinished&&) = delete;
  Unfinished& operator=(Unfinished&&) = delete;
  ~Unfinished() {
    if (!path_.empty()) (void)sys::remove_file(path_);
  }
  void keep() { path_.clear(); }

 private:
  std::string path_;
};

// An empty file of this length: mke2fs is told that it reads as zeros.
Result<void> make_sparse(const std::string& path, Bytes size) {
  const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return fail_errno(errno, "create " + path);
  if (::ftruncate(file.get(), static_cast<off_t>(size.value)) != 0) {
    return fail_errno(errno, path + ": give it a length of " + format_bytes(size));
  }
  return {};
}

// A volume label is at most 16 bytes.
std::string short_label(const std::string& label) { return label.substr(0, 16); }

Result<sys::RunResult> run_e2fs(const std::string& program, std::vector<std::string> arguments) {
  TRY_ASSIGN(const std::string path, find_program(program, "e2fsprogs"));
  sys::RunOptions options;
  options.argv = {path};
  options.argv.insert(options.argv.end(), std::make_move_iterator(arguments.begin()),
                      std::make_move_iterator(arguments.end()));
  // Nothing of the user's environment changes what is written.
  options.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  options.limit = std::chrono::minutes(30);
  return sys::run(options);
}

// What mke2fs says when the filesystem, not the host's disk, was too small.
bool is_too_small(const std::string& message) {
  return message.find("Could not allocate") != std::string::npos ||
         message.find("No free space in") != std::string::npos;
}

// mke2fs on a new sparse file of this size. `arguments`: what differs between our filesystems.
Result<sys::RunResult> make_ext4(const std::string& path, Bytes size,
                                 const std::vector<std::string>& arguments) {
  TRY(make_sparse(path, size));
  std::vector<std::string> all = {"-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "0"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  all.push_back(path);
  return run_e2fs("mke2fs", std::move(all));
}

tl::unexpected<Error> mke2fs_failure(const std::string& path, Bytes size,
                                     const sys::RunResult& result) {
  std::string text = "mke2fs " + path;
  text.append(" (").append(format_bytes(size)).append("): ").append(result.exit.to_text());
  return fail(Errc::io, text.append(": ").append(last_words(result.err)));
}

Result<void> check_clean(const std::string& path) {
  TRY_ASSIGN(const sys::RunResult result, run_e2fs("e2fsck", {"-fn", path}));
  if (result.exit.ok()) return {};
  return fail(Errc::io, "e2fsck does not accept the new filesystem " + path + " (" +
                            result.exit.to_text() + "): " + last_words(result.out + result.err));
}

}  // namespace

Result<void> write_ext4(const std::string& tree, const std::string& output,
                        const std::string& label, Bytes slack, const Bar& bar) {
  TRY_ASSIGN(const Measure measure, measure_tree(tree));
  const Watcher watcher(bar, Bytes{measure.blocks * kBlock},
                        [output] { return sys::allocated_size(output); });
  Bytes size = first_size(measure, slack);
  // Spare inodes: lost+found, and what the guest adds if it ever mounts this writable.
  const std::string inodes = std::to_string(measure.inodes + measure.inodes / 16 + 1024);
  Unfinished unfinished(output);
  for (int attempt = 1;; ++attempt) {
    TRY_ASSIGN(const sys::RunResult result,
               make_ext4(output, size,
                         {"-O", kFeatures, "-E", kOptions, "-N", inodes, "-L", short_label(label),
                          "-d", tree}));
    if (result.exit.ok()) break;
    if (attempt == kSizeAttempts || !is_too_small(result.err)) {
      return mke2fs_failure(output, size, result);
    }
    size = Bytes{(size.value + size.value / 2) / kBlock * kBlock};
  }
  TRY(check_clean(output));
  unfinished.keep();
  return {};
}

Result<void> make_scratch_template(const std::string& path, Bytes size) {
  if (size < mib(16)) {
    return fail(Errc::invalid, "a scratch disk of " + format_bytes(size) + " is too small: 16MiB");
  }
  const std::string partial = path + ".new-" + std::to_string(::getpid());
  Unfinished unfinished(partial);
  // All metadata in one run at the front and every inode table marked as zeroed: a copy moves a
  // few hundred KiB, and the guest's kernel initialises nothing in the background.
  TRY_ASSIGN(const sys::RunResult result,
             make_ext4(partial, Bytes{size.value / kBlock * kBlock},
                       {"-O", kScratchFeatures, "-E", kScratchOptions, "-L", "scratch"}));
  if (!result.exit.ok()) return mke2fs_failure(partial, size, result);
  TRY(check_clean(partial));
  TRY(sys::fsync_path(partial));
  TRY(sys::rename_durably(partial, path));
  unfinished.keep();
  return {};
}

}  // namespace mvr::image
