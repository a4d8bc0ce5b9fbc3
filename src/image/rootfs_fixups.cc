#include "image/rootfs_fixups.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/fd.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

// A directory of the tree as the guest would see it: "/etc" being a link to "/somewhere" stays
// inside. Empty when the tree has no such directory.
Result<Fd> open_inside(int root, const char* path) {
  struct open_how how {};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  Fd found(static_cast<int>(::syscall(SYS_openat2, root, path, &how, sizeof how)));
  if (found) return found;
  if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return Fd();
  return fail_errno(errno, std::string("open /") + path + " of the image");
}

Result<void> remove_name(int directory, const std::string& name) {
  if (::unlinkat(directory, name.c_str(), 0) == 0 || errno == ENOENT || errno == EISDIR) return {};
  return fail_errno(errno, "remove " + name + " from the image");
}

bool is_plain_file(int directory, const char* name, bool empty) {
  struct stat facts {};
  return ::fstatat(directory, name, &facts, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(facts.st_mode) &&
         (facts.st_size == 0) == empty;
}

Result<void> empty_machine_id(int etc) {
  constexpr const char* name = "machine-id";
  if (!is_plain_file(etc, name, false)) return {};
  TRY(remove_name(etc, name));
  const Fd file(::openat(etc, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444));
  if (!file) return fail_errno(errno, "empty /etc/machine-id of the image");
  return {};
}

Result<void> fix_etc(int root) {
  TRY_ASSIGN(const Fd etc, open_inside(root, "etc"));
  if (!etc) return {};
  for (const char* name : {"hosts", "hostname", "resolv.conf"}) {
    if (is_plain_file(etc.get(), name, true)) TRY(remove_name(etc.get(), name));
  }
  return empty_machine_id(etc.get());
}

Result<void> remove_host_keys(int root) {
  TRY_ASSIGN(const Fd ssh, open_inside(root, "etc/ssh"));
  if (!ssh) return {};
  for (const char* kind : {"rsa", "dsa", "ecdsa", "ed25519"}) {
    const std::string key = std::string("ssh_host_") + kind + "_key";
    TRY(remove_name(ssh.get(), key));
    TRY(remove_name(ssh.get(), key + ".pub"));
  }
  return {};
}

Result<void> make_mount_point(int root, const char* name, mode_t mode) {
  if (::mkdirat(root, name, mode) != 0) {
    if (errno == EEXIST) return {};
    return fail_errno(errno, std::string("make /") + name + " in the image");
  }
  // The umask does not decide what the guest sees.
  if (::fchmodat(root, name, mode, 0) != 0) return fail_errno(errno, std::string("chmod /") + name);
  return {};
}

}  // namespace

Result<void> fix_up_rootfs(const std::string& tree) {
  const Fd root(::open(tree.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return fail_errno(errno, "open " + tree);
  TRY(remove_name(root.get(), ".dockerenv"));
  TRY_ASSIGN(const Fd run, open_inside(root.get(), "run"));
  if (run) TRY(remove_name(run.get(), ".containerenv"));
  TRY(fix_etc(root.get()));
  TRY(remove_host_keys(root.get()));
  for (const char* name : {"proc", "sys", "dev", "run"}) {
    TRY(make_mount_point(root.get(), name, 0755));
  }
  return make_mount_point(root.get(), "tmp", 01777);
}

}  // namespace mvr::image
