#include "vmm/jailer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "base/text.h"
#include "sys/files.h"
#include "sys/open_below.h"
#include "vmm/firecracker_config.h"

namespace mvr::vmm {
namespace {

constexpr std::size_t kLongestId = 64;
constexpr const char* kOpenFiles = "no-file=1024";  // some 60 are used

bool is_id(std::string_view text) {
  return !text.empty() && text.size() <= kLongestId &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-';
         });
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// What the VMM's user does not own it must be able to read and nothing more, for other VMs have the
// same file; its own file it must own, and nobody else.
Result<void> check_access(const std::string& path, bool is_shared, std::uint32_t uid) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return fail_errno(errno, path);
  if (!S_ISREG(info.st_mode)) return fail(Errc::invalid, path + " is not a regular file");
  if (!is_shared) {
    if (info.st_uid == uid && (info.st_mode & 0077U) == 0) return {};
    return fail(Errc::invalid, path + " must belong to user " + std::to_string(uid) + " alone");
  }
  const bool is_ours = info.st_uid == 0 || info.st_uid == ::geteuid();
  if (is_ours && info.st_uid != uid && (info.st_mode & 0022U) == 0 && (info.st_mode & 0004U) != 0) {
    return {};
  }
  return fail(Errc::invalid, path + " must be readable and not writable for the VM's user");
}

Result<void> link_into(const std::string& from, const std::string& to) {
  if (::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), AT_SYMLINK_FOLLOW) == 0) return {};
  if (errno != EXDEV) return fail_errno(errno, "link " + from + " into the jail");
  return fail(Error{Errc::unsupported, from + " and " + to + " are on different file systems",
                    "keep images, kernels and VMs below one state directory on one file system"});
}

// Empty, for the VMM to write to.
Result<void> make_log(const std::string& path, std::uint32_t uid) {
  TRY(sys::write_file(path, "", 0600));
  return sys::change_owner(path, uid, uid);
}

Result<void> link_files(const Jail& jail, const MachineSpec& spec) {
  struct File {
    std::string from;
    std::string name;
    bool is_shared;
  };
  std::vector<File> files;
  if (spec.restore_from.empty()) {
    files = {{spec.kernel, std::string(kJailKernel), true},
             {spec.initramfs, std::string(kJailInitramfs), true}};
  } else {
    for (const std::string_view name : {kJailMachine, kJailMemory}) {
      files.push_back({spec.restore_from + std::string(name), std::string(name), true});
    }
  }
  for (const Drive& drive : spec.drives) {
    files.push_back({drive.path, jail_drive(drive), drive.read_only});
  }
  for (const File& file : files) {
    TRY(context(check_access(file.from, file.is_shared, spec.uid), file.name.substr(1)));
    TRY(link_into(file.from, jail.root + file.name));
  }
  return {};
}

Result<void> fill(const Jail& jail, const MachineSpec& spec, std::string_view config) {
  const auto inside = [&](std::string_view name) { return jail.root + std::string(name); };
  if (spec.restore_from.empty()) TRY(sys::write_file(inside(kJailConfig), config, 0444));
  TRY(link_files(jail, spec));
  TRY(make_log(inside(kJailMetrics), spec.uid));
  TRY(make_log(inside(kJailLog), spec.uid));
  return link_into(inside(kJailLog), jail.log);
}

// The root that a monitor's socket, made by make_jail(), leads to.
Result<std::string> root_behind(const std::string& monitor_socket) {
  std::string target(PATH_MAX, '\0');
  const ssize_t length = ::readlink(monitor_socket.c_str(), target.data(), target.size());
  if (length < 0) return fail_errno(errno, monitor_socket);
  target.resize(static_cast<std::size_t>(length));
  if (target.ends_with(kJailApi)) return target.substr(0, target.size() - kJailApi.size());
  return fail(Errc::invalid, monitor_socket + " does not lead to a jail");
}

Result<Fd> open_root(const std::string& root) {
  Fd directory(::open(root.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return fail_errno(errno, "open " + root);
  return directory;
}

}  // namespace

Result<Jail> jail_of(const MachineSpec& spec, const std::string& firecracker) {
  if (!is_id(spec.name)) {
    return fail(Errc::invalid, "\"" + printable(spec.name, 80) +
                                   "\" is no id for the jailer: letters, digits and '-', at most " +
                                   std::to_string(kLongestId));
  }
  if (spec.uid == 0) return fail(Errc::invalid, "Firecracker needs a user of its own");
  if (!spec.tap_name.empty() && spec.netns.empty()) {
    return fail(Errc::invalid, "the tap " + spec.tap_name + " is in no network namespace");
  }
  Jail jail;
  jail.id = spec.name;
  jail.directory = spec.directory + "/" + base_name(firecracker) + "/" + spec.name;
  jail.root = jail.directory + "/root";
  jail.log = spec.directory + "/firecracker.log";
  return jail;
}

std::vector<std::string> jailer_arguments(const MachineSpec& spec, const JailPrograms& programs,
                                          const Jail& jail) {
  const std::string user = std::to_string(spec.uid);
  std::vector<std::string> words{programs.jailer,
                                 "--id",
                                 jail.id,
                                 "--exec-file",
                                 programs.firecracker,
                                 "--uid",
                                 user,
                                 "--gid",
                                 user,
                                 "--chroot-base-dir",
                                 spec.directory,
                                 "--resource-limit",
                                 kOpenFiles,
                                 "--resource-limit",
                                 "fsize=" + std::to_string(file_size_limit(spec))};
  if (!spec.netns.empty()) words.insert(words.end(), {"--netns", spec.netns});
  words.emplace_back("--");
  if (spec.restore_from.empty()) {
    words.insert(words.end(), {"--config-file", std::string(kJailConfig)});
  } else {
    // What a state does not hold. Its own file is there before: else the log would be of its user.
    words.insert(words.end(), {"--log-path", std::string(kJailLog), "--level", "Info",
                               "--show-level", "--metrics-path", std::string(kJailMetrics)});
  }
  words.insert(words.end(), {"--api-sock", std::string(kJailApi)});
  return words;
}

Result<void> make_jail(const Jail& jail, const MachineSpec& spec, std::string_view config) {
  // A device file of an earlier jail would make the jailer fail.
  TRY(context(remove_jail(jail, spec), "remove an earlier jail"));
  TRY(sys::make_directories(jail.root, 0700));
  const std::string run = jail.root + std::string(kJailRun);
  TRY(sys::make_directories(run, 0700));
  TRY(context(fill(jail, spec, config), "jail of " + spec.name));
  const std::string api = jail.root + std::string(kJailApi);
  if (::symlink(api.c_str(), spec.monitor_socket.c_str()) != 0) {
    return fail_errno(errno, "link " + spec.monitor_socket);
  }
  TRY(context(offer_agent_socket(spec), "jail of " + spec.name));
  return sys::change_owner(run, spec.uid, spec.uid);
}

Result<void> remove_jail(const Jail& jail, const MachineSpec& spec) {
  TRY(sys::remove_file(spec.monitor_socket));
  TRY(sys::remove_file(jail.log));
  return sys::remove_tree(jail.directory);
}

Result<void> offer_agent_socket(const MachineSpec& spec) {
  struct stat info {};
  if (::lstat(spec.agent_socket.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) {
    return fail(Errc::not_found, "nobody listens at " + spec.agent_socket);
  }
  if (::lchown(spec.agent_socket.c_str(), spec.uid, spec.uid) != 0) {
    return fail_errno(errno, "give " + spec.agent_socket + " to the VM's user");
  }
  TRY_ASSIGN(const std::string path, root_behind(spec.monitor_socket));
  TRY_ASSIGN(const Fd root, open_root(path));
  const std::string directory(kJailRun.substr(1));
  TRY_ASSIGN(const Fd run, sys::open_below(root.get(), directory.c_str(), path + "/run"));
  const std::string name = base_name(jail_agent_socket());
  if (::unlinkat(run.get(), name.c_str(), 0) != 0 && errno != ENOENT) {
    return fail_errno(errno, "remove the former socket of the agent");
  }
  if (::linkat(AT_FDCWD, spec.agent_socket.c_str(), run.get(), name.c_str(), 0) != 0) {
    return fail_errno(errno, "link " + spec.agent_socket + " into the jail");
  }
  return {};
}

namespace {

Result<void> take_file(const Fd& run, const std::string& name, const std::string& target) {
  TRY_ASSIGN(const Fd file, sys::refer_below(run.get(), name.c_str(), name));
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return fail_errno(errno, name);
  if (!S_ISREG(info.st_mode) || info.st_nlink != 1) {
    return fail(Errc::invalid, name + " is not a file of its own");
  }
  if (::renameat(run.get(), name.c_str(), AT_FDCWD, target.c_str()) != 0) {
    return fail_errno(errno, "move " + name + " out of the jail");
  }
  struct stat moved {};
  if (::lstat(target.c_str(), &moved) != 0) return fail_errno(errno, target);
  if (moved.st_ino != info.st_ino || moved.st_dev != info.st_dev) {
    return fail(Errc::invalid, name + " was exchanged");
  }
  TRY(sys::change_owner(target, ::geteuid(), ::getegid()));
  if (::chmod(target.c_str(), 0444) != 0) return fail_errno(errno, "chmod " + target);
  return {};
}

}  // namespace

Result<void> take_state(const std::string& monitor_socket, const std::string& directory) {
  TRY_ASSIGN(const std::string path, root_behind(monitor_socket));
  TRY_ASSIGN(const Fd root, open_root(path));
  const std::string inside(kJailRun.substr(1));
  TRY_ASSIGN(const Fd run, sys::open_below(root.get(), inside.c_str(), path + "/run"));
  for (const auto& [written, kept] :
       {std::pair(kJailSavedMachine, kJailMachine), std::pair(kJailSavedMemory, kJailMemory)}) {
    TRY(take_file(run, base_name(std::string(written)), directory + std::string(kept)));
  }
  return {};
}

bool is_jailed(const std::string& monitor_socket) {
  return root_behind(monitor_socket).has_value();
}

Result<Fd> find_api_socket(const std::string& monitor_socket) {
  TRY_ASSIGN(const std::string path, root_behind(monitor_socket));
  const std::string target = path + std::string(kJailApi);
  TRY_ASSIGN(const Fd root, open_root(path));
  const std::string name(kJailApi.substr(1));
  TRY_ASSIGN(Fd socket, sys::refer_below(root.get(), name.c_str(), target));
  struct stat info {};
  if (::fstat(socket.get(), &info) != 0) return fail_errno(errno, target);
  if (!S_ISSOCK(info.st_mode)) return fail(Errc::invalid, target + " is no socket");
  return socket;
}

}  // namespace mvr::vmm
