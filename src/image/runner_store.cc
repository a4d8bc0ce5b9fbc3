// Releases of actions/runner as read-only drives.
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <optional>

#include "base/text.h"
#include "image/build.h"
#include "image/entry_store.h"
#include "image/extract.h"
#include "image/program.h"
#include "image/store.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr const char* kDrive = "tools.ext4";
constexpr const char* kListener = "bin/Runner.Listener";

EntryStore runners(const std::string& state_dir) {
  return EntryStore({state_dir + "/runners", kDrive, "runner release",
                     "install it with 'mvrunner runner install NAME FILE', FILE being a tarball of "
                     "github.com/actions/runner/releases"});
}

struct ReleaseName {
  std::string architecture;
  std::string version;
};

bool is_version(std::string_view text) {
  const auto parts = split(text, '.');
  if (parts.size() != 3) return false;
  for (const std::string_view part : parts) {
    if (part.size() > 6 || !parse_u64(part)) return false;
  }
  return true;
}

// "actions-runner-linux-x64-2.336.0.tar.gz" and the directory name without its ending.
std::optional<ReleaseName> parse_release_name(const std::string& source) {
  std::filesystem::path path(source);
  if (path.filename().empty()) path = path.parent_path();
  std::string name = path.filename().string();
  constexpr std::string_view prefix = "actions-runner-linux-";
  if (name.compare(0, prefix.size(), prefix) != 0) return std::nullopt;
  name.erase(0, prefix.size());
  for (const std::string_view ending : {".tar.gz", ".tgz", ".tar"}) {
    if (name.size() > ending.size() &&
        name.compare(name.size() - ending.size(), ending.size(), ending) == 0) {
      name.erase(name.size() - ending.size());
    }
  }
  const std::size_t dash = name.find('-');
  if (dash == std::string::npos || !is_version(std::string_view(name).substr(dash + 1))) {
    return std::nullopt;
  }
  const std::string machine = name.substr(0, dash);
  if (machine != "x64" && machine != "arm64") return std::nullopt;
  return ReleaseName{machine == "x64" ? "amd64" : machine, name.substr(dash + 1)};
}

// Fills `tree` with the release, owned by root.
Result<void> unpack(const std::string& source, const std::string& tree) {
  TRY(sys::make_directories(tree));
  struct stat facts {};
  if (::stat(source.c_str(), &facts) != 0) return fail_errno(errno, source);
  if (!S_ISDIR(facts.st_mode)) {
    return extract_file(source, tree, Trust::release, {500'000, gib(16)});
  }
  std::error_code error;
  const std::string from = std::filesystem::absolute(source, error).string() + "/.";
  if (error) return fail_errno(error.value(), source);
  TRY(run_quiet({"cp", "-a", "--no-preserve=ownership", "--", from, tree},
                std::chrono::minutes(30)));
  return {};
}

Result<void> check_release(const std::string& source, const std::string& tree) {
  struct stat facts {};
  const std::string listener = tree + "/" + kListener;
  if (::lstat(listener.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return fail(Errc::invalid, source + " is not a runner release: it has no " + kListener);
  }
  constexpr mode_t everyone = S_IROTH | S_IXOTH;
  if ((facts.st_mode & everyone) != everyone) {
    return fail(Errc::invalid, source + ": " + kListener +
                                   " is not executable for everyone: chmod -R a+rX it first");
  }
  return {};
}

}  // namespace

Result<std::vector<Manifest>> RunnerStore::list() const { return runners(state_dir_).list(); }

Result<Manifest> RunnerStore::find(const std::string& name) const {
  return runners(state_dir_).find(name);
}

std::string RunnerStore::drive_path(const std::string& name) const {
  return runners(state_dir_).data_path(name);
}

Result<Fd> RunnerStore::pin(const std::string& name) const { return runners(state_dir_).pin(name); }

Result<void> RunnerStore::remove(const std::string& name) const {
  return runners(state_dir_).remove(name);
}

Result<Manifest> RunnerStore::install(const std::string& name, const std::string& source) const {
  const EntryStore store = runners(state_dir_);
  TRY(check_entry_name(name, "runner release"));
  TRY_ASSIGN(const WorkDirectory work, store.make_work_directory());
  const std::string tree = work.path() + "/tree";
  TRY(unpack(source, tree));
  TRY(check_release(source, tree));
  const std::string drive = work.path() + "/" + kDrive;
  TRY(write_ext4(tree, drive, "tools", Bytes{0}));
  TRY_ASSIGN(Manifest manifest, describe_drive(drive));
  manifest.name = name;
  manifest.builder = "unpacked";
  manifest.source = source;
  manifest.architecture = host_architecture();
  if (const auto release = parse_release_name(source)) {
    manifest.labels["version"] = release->version;
    if (release->architecture != manifest.architecture) {
      return fail(Errc::unsupported, source + " is for " + release->architecture +
                                         ", this host boots " + manifest.architecture);
    }
  }
  TRY(store.publish(work.path(), manifest));
  return manifest;
}

}  // namespace mvr::image
