// What e2fsprogs does for us: empty filesystems, and checks. The feature list is spelled out, so
// that neither /etc/mke2fs.conf nor a newer e2fsprogs puts in something that an older guest kernel
// cannot mount.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/fd.h"
#include "base/text.h"
#include "image/build.h"
#include "image/ext4_image.h"
#include "image/program.h"
#include "sys/files.h"
#include "sys/process.h"

namespace mvr::image {
namespace {

constexpr std::uint64_t kBlock = 4096;
// Inode tables need no zeroing: the file is new and sparse.
constexpr const char* kScratchOptions =
    "root_owner=0:0,lazy_itable_init=1,nodiscard,assume_storage_prezeroed=1,packed_meta_blocks=1";
constexpr const char* kScratchFeatures =
    "none,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super2,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum";

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

}  // namespace

Result<void> check_ext4(const std::string& path) {
  TRY_ASSIGN(const sys::RunResult result, run_e2fs("e2fsck", {"-fn", path}));
  if (result.exit.ok()) return {};
  return fail(Errc::io, "e2fsck does not accept the new filesystem " + path + " (" +
                            result.exit.to_text() + "): " + last_words(result.out + result.err));
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
  TRY(check_ext4(partial));
  TRY(sys::fsync_path(partial));
  TRY(sys::rename_durably(partial, path));
  unfinished.keep();
  return {};
}

}  // namespace mvr::image
