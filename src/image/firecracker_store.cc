#include "image/firecracker_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "base/text.h"
#include "image/archive_files.h"
#include "image/kernel_package.h"
#include "image/store_files.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr const char* kCurrent = "/current";
constexpr std::array kPrograms{"firecracker", "jailer"};

bool is_version(std::string_view text) {
  const auto parts = split(text, '.');
  return parts.size() == 3 && std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
           return part.size() <= 4 && parse_u64(part).has_value();
         });
}

// Releases have "release-v1.16.1-x86_64/firecracker-v1.16.1-x86_64", and with it files that begin
// alike and end in ".debug", ".json" or ".toml".
bool is_program(std::string_view path, std::string_view program) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  if (!name.starts_with(program)) return false;
  const std::string_view rest = name.substr(program.size());
  if (rest.empty()) return true;
  return rest.starts_with("-v") && (rest.ends_with("-x86_64") || rest.ends_with("-aarch64"));
}

Result<std::string> take_program(const ArchiveFiles& files, const std::string& tarball,
                                 const std::string& program, const std::string& directory) {
  for (const std::string& name : files.names()) {
    if (!is_program(name, program)) continue;
    std::string path = directory + "/" + program;
    TRY_ASSIGN(const std::string unpacked, files.path_of(name));
    TRY(rename_with(unpacked, path, 0));
    if (::chmod(path.c_str(), 0755) != 0) return fail_errno(errno, "chmod " + path);
    TRY(sys::fsync_path(path));
    return path;
  }
  return fail(Errc::not_found, tarball + " has no " + program +
                                   ": a release is called firecracker-vVERSION-ARCHITECTURE.tgz");
}

}  // namespace

Result<WorkDirectory> FirecrackerStore::make_work_directory() const {
  TRY(sys::make_directories(root_));
  // What a process that ended in the middle left.
  TRY_ASSIGN(const std::vector<std::string> names, sys::list_directory(root_));
  for (const std::string& name : names) {
    if (name.starts_with(kWorkPrefix)) (void)sweep_work_directory(root_ + "/" + name);
  }
  return open_work_directory(root_);
}

Result<UnpackedFirecracker> FirecrackerStore::unpack(const std::string& tarball) const {
  TRY_ASSIGN(WorkDirectory work, make_work_directory());
  const std::string scratch = work.path() + "/scratch";
  const std::string entry = work.path() + "/entry";
  TRY(sys::make_directories(scratch));
  TRY(sys::make_directories(entry));
  TRY_ASSIGN(const ArchiveFiles files, ArchiveFiles::unpack(tarball, scratch));
  TRY_ASSIGN(std::string firecracker, take_program(files, tarball, kPrograms[0], entry));
  TRY_ASSIGN(std::string jailer, take_program(files, tarball, kPrograms[1], entry));
  return UnpackedFirecracker{std::move(work), std::move(firecracker), std::move(jailer)};
}

Result<void> FirecrackerStore::publish(const UnpackedFirecracker& release,
                                       const std::string& version) const {
  if (!is_version(version)) {
    return fail(Errc::invalid, "\"" + printable(version, 40) + "\" is no version");
  }
  const std::string entry = release.work.path() + "/entry";
  if (::chmod(entry.c_str(), 0755) != 0) return fail_errno(errno, "chmod " + entry);
  TRY(sys::fsync_path(entry));
  // A VM has the program open, and its jail a copy: what had the name goes with the work directory.
  const std::string target = root_ + "/" + version;
  auto placed = rename_with(entry, target, RENAME_NOREPLACE);
  if (!placed && placed.error().code == Errc::exists) {
    placed = rename_with(entry, target, RENAME_EXCHANGE);
  }
  TRY(std::move(placed));
  const std::string link = release.work.path() + "/current";
  if (::symlink(version.c_str(), link.c_str()) != 0) return fail_errno(errno, "create " + link);
  TRY(rename_with(link, root_ + kCurrent, 0));
  return sys::fsync_path(root_);
}

Result<std::vector<InstalledFirecracker>> FirecrackerStore::list() const {
  std::vector<InstalledFirecracker> found;
  if (!sys::exists(root_)) return found;
  std::error_code error;
  const std::string current = std::filesystem::read_symlink(root_ + kCurrent, error).string();
  TRY_ASSIGN(const std::vector<std::string> names, sys::list_directory(root_));
  for (const std::string& name : names) {
    if (is_version(name)) found.push_back({name, name == current});
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return is_older_release(b.version, a.version); });
  return found;
}

Result<void> FirecrackerStore::remove(const std::string& version) const {
  TRY_ASSIGN(const std::vector<InstalledFirecracker> all, list());
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const auto& each) { return each.version == version; });
  if (found == all.end()) {
    return fail(Errc::not_found, "Firecracker \"" + printable(version, 40) + "\" is not in " +
                                     root_ + ": 'mvrunner firecracker ls' lists what is");
  }
  if (found->is_current) {
    return fail(Errc::busy, "Firecracker " + version + " is current: install another one first");
  }
  TRY_ASSIGN(const std::string aside, set_aside(root_, root_ + "/" + version));
  return sys::remove_tree(aside);
}

std::string FirecrackerStore::program(const std::string& name) const {
  const bool is_ours = std::find(kPrograms.begin(), kPrograms.end(), name) != kPrograms.end();
  if (!is_ours) return {};
  std::string path = root_ + kCurrent + "/" + name;
  return ::access(path.c_str(), X_OK) == 0 ? path : std::string();
}

}  // namespace mvr::image
