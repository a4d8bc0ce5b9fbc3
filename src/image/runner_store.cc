#include "image/runner_store.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <optional>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "image/entry_store.h"
#include "image/ext4_image.h"
#include "image/store.h"
#include "image/tree_image.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr const char* kDrive = "tools.ext4";
constexpr const char* kListener = "bin/Runner.Listener";
constexpr const char* kUse = ".in-use.json";
constexpr const char* kLock = ".lock";
constexpr const char* kUpdate = "update";  // the builder of what updates made
constexpr std::size_t kMaxUse = 4096;

EntryStore runners(const std::string& state_dir) {
  return EntryStore({state_dir + "/runners", kDrive, "runner release",
                     "get it with 'mvrunner runner update', or with 'mvrunner runner install NAME "
                     "FILE', FILE being a tarball of github.com/actions/runner/releases"});
}

bool is_version(std::string_view text) {
  const auto parts = split(text, '.');
  if (parts.size() != 3) return false;
  for (const std::string_view part : parts) {
    if (part.size() > 6 || !parse_u64(part)) return false;
  }
  return true;
}

// The release, plain files owned by root.
Result<Ext4Report> write_drive(const std::string& source, const std::string& drive) {
  Ext4Options options;
  options.label = "tools";
  options.rootfs = false;
  options.program = kListener;
  struct stat facts {};
  if (::stat(source.c_str(), &facts) != 0) return fail_errno(errno, source);
  const auto write = [&]() -> Result<Ext4Report> {
    if (S_ISDIR(facts.st_mode)) return write_tree_image(source, drive, options);
    TRY_ASSIGN(const Fd tarball, sys::open_read(source));
    TarLayer layer;
    layer.fd = tarball.get();
    layer.what = source;
    layer.whiteouts = false;
    return write_ext4_image({layer}, drive, options);
  };
  TRY_ASSIGN(Ext4Report report, context(write(), source + ": not a runner release"));
  TRY(check_ext4(drive));
  return report;
}

std::string use_path(const std::string& state_dir) { return state_dir + "/runners/" + kUse; }

bool is_alias(const std::string& name) { return name == kCurrentRunner || name == kPreviousRunner; }

std::string text_of(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

Result<void> describe_release(const RunnerInstall& wanted, Manifest& manifest) {
  manifest.builder = wanted.is_update ? kUpdate : "unpacked";
  manifest.source = wanted.origin.empty() ? wanted.source : wanted.origin;
  manifest.architecture = host_architecture();
  if (!wanted.sha256.empty()) manifest.labels["sha256"] = wanted.sha256;
  const auto release = parse_release_name(wanted.source);
  if (!release) return {};
  manifest.labels["version"] = release->version;
  if (release->architecture == manifest.architecture) return {};
  return fail(Errc::unsupported, wanted.source + " is for " + release->architecture +
                                     ", this host boots " + manifest.architecture);
}

// What is called `current` when it is installed has a name of its own all the same.
std::string own_name(const Manifest& manifest) {
  const auto version = manifest.labels.find("version");
  if (version != manifest.labels.end()) return version->second;
  constexpr std::size_t kPrefix = 7;  // "sha256:"
  return "unversioned-" + manifest.digest.substr(kPrefix, 12);
}

}  // namespace

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

Result<std::vector<Manifest>> RunnerStore::list() const { return runners(state_dir_).list(); }

Result<Manifest> RunnerStore::find(const std::string& name) const {
  if (!is_alias(name)) return runners(state_dir_).find(name);
  TRY_ASSIGN(const RunnerUse in_use, use());
  const std::string& target = name == kCurrentRunner ? in_use.current : in_use.previous;
  // The store says of the alias itself what is missing, and how to get it.
  return runners(state_dir_).find(target.empty() ? name : target);
}

std::string RunnerStore::drive_path(const std::string& name) const {
  return runners(state_dir_).data_path(name);
}

Result<Fd> RunnerStore::pin(const std::string& name) const { return runners(state_dir_).pin(name); }

Result<WorkDirectory> RunnerStore::make_work_directory() const {
  return runners(state_dir_).make_work_directory();
}

Result<void> RunnerStore::remove(const std::string& name) const {
  TRY_ASSIGN(const Manifest manifest, find(name));
  TRY_ASSIGN(RunnerUse in_use, use());
  if (manifest.name == in_use.current) {
    return fail(Errc::busy,
                "runner release \"" + manifest.name + "\" is current: update or roll back first");
  }
  TRY(runners(state_dir_).remove(manifest.name));
  if (manifest.name != in_use.previous) return {};
  in_use.previous.clear();
  return write_use(in_use);
}

Result<Manifest> RunnerStore::install(const RunnerInstall& wanted) const {
  const EntryStore store = runners(state_dir_);
  TRY(check_entry_name(wanted.name, "runner release"));
  if (wanted.name == kPreviousRunner) {
    return fail(Errc::invalid, "\"previous\" is what was current before: take another name");
  }
  TRY_ASSIGN(const WorkDirectory work, store.make_work_directory());
  const std::string drive = work.path() + "/" + kDrive;
  TRY_ASSIGN(const Ext4Report report, write_drive(wanted.source, drive));
  Manifest manifest = describe_drive(report);
  TRY(describe_release(wanted, manifest));
  const bool becomes_current = wanted.name == kCurrentRunner;
  manifest.name = becomes_current ? own_name(manifest) : wanted.name;
  TRY(store.publish(work.path(), manifest));
  if (becomes_current) TRY(make_current(manifest.name));
  return manifest;
}

Result<RunnerUse> RunnerStore::use() const {
  const std::string path = use_path(state_dir_);
  const auto text = sys::read_file(path, kMaxUse);
  if (!text && text.error().code == Errc::not_found) return RunnerUse{};
  if (!text) return fail(text.error());
  const auto object = nlohmann::json::parse(*text, nullptr, false);
  if (!object.is_object()) {
    return fail(Errc::invalid, path + " is broken: remove it, and run 'mvrunner runner update'");
  }
  return RunnerUse{text_of(object, "current"), text_of(object, "previous"),
                   text_of(object, "held")};
}

Result<void> RunnerStore::write_use(const RunnerUse& use) const {
  const nlohmann::json object{
      {"current", use.current}, {"previous", use.previous}, {"held", use.held}};
  return sys::write_file_atomic(use_path(state_dir_), object.dump(2) + "\n");
}

Result<void> RunnerStore::make_current(const std::string& name) const {
  TRY_ASSIGN(const Manifest manifest, runners(state_dir_).find(name));
  TRY_ASSIGN(RunnerUse in_use, use());
  if (in_use.current != manifest.name) {
    in_use.previous = in_use.current;
    in_use.current = manifest.name;
  }
  in_use.held.clear();
  return write_use(in_use);
}

Result<RunnerUse> RunnerStore::roll_back() const {
  TRY_ASSIGN(const RunnerUse before, use());
  if (before.previous.empty()) {
    return fail(Errc::not_found, "no runner release was current before: see mvrunner runner ls");
  }
  TRY(runners(state_dir_).find(before.previous));
  RunnerUse after{before.previous, before.current, before.current};
  TRY(write_use(after));
  return after;
}

Result<std::vector<std::string>> RunnerStore::prune(const std::string& keep) const {
  TRY_ASSIGN(const RunnerUse in_use, use());
  TRY_ASSIGN(const std::vector<Manifest> all, list());
  std::vector<std::string> removed;
  for (const Manifest& each : all) {
    const bool is_wanted =
        each.name == in_use.current || each.name == in_use.previous || each.name == keep;
    if (is_wanted || each.builder != kUpdate) continue;
    // What VMs still use goes with a later update.
    if (runners(state_dir_).remove(each.name)) removed.push_back(each.name);
  }
  return removed;
}

Result<Fd> RunnerStore::lock() const {
  const std::string root = state_dir_ + "/runners";
  TRY(sys::make_directories(root));
  auto lock = sys::lock_file(root + "/" + kLock, true);
  if (!lock && lock.error().code == Errc::busy) {
    return fail(Errc::busy, "another update of the runner is under way");
  }
  return lock;
}

}  // namespace mvr::image
