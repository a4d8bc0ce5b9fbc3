// <state>/kernels: what guests boot. An entry is a directory named by its release; it appears, is
// replaced and disappears by one rename. VMs need it only while they start: nothing is pinned.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "image/entry_store.h"
#include "image/kernel_package.h"
#include "image/store.h"
#include "sys/files.h"
#include "sys/loop.h"

namespace mvr::image {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kSchema = 1;
constexpr const char* kImage = "/vmlinuz";
constexpr const char* kModules = "/modules";
constexpr const char* kRecord = "/kernel.json";
constexpr const char* kRemedy = "install one with 'mvrunner kernel install'";

std::string root_of(const std::string& state_dir) { return state_dir + "/kernels"; }

// Work directories as those of the other stores; entries here have names and contents of their
// own.
Result<WorkDirectory> make_work_directory(const std::string& state_dir) {
  return EntryStore({root_of(state_dir), "vmlinuz", "kernel", kRemedy}).make_work_directory();
}

std::string record_json(const Kernel& kernel) {
  Json object;
  object["schema"] = kSchema;
  object["name"] = kernel.name;
  object["digest"] = kernel.digest;
  object["source"] = kernel.source;
  object["modules"] = !kernel.modules.empty();
  object["created"] = format_iso8601(sys::wall_now());
  return object.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<std::string> text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found != object.end() && found->is_string()) return found->get<std::string>();
  return fail(Errc::invalid, std::string("\"") + key + "\" must be a string");
}

Result<Kernel> parse_record(const std::string& text, const std::string& entry) {
  const Json object = Json::parse(text, nullptr, false);
  if (!object.is_object() || object.value("schema", Json()) != kSchema) {
    return fail(Errc::invalid, "not the record of a kernel; install it again");
  }
  Kernel kernel;
  TRY_ASSIGN(kernel.name, text_of(object, "name"));
  TRY_ASSIGN(kernel.digest, text_of(object, "digest"));
  TRY_ASSIGN(kernel.source, text_of(object, "source"));
  const Json has_modules = object.value("modules", Json());
  if (!has_modules.is_boolean()) return fail(Errc::invalid, "\"modules\" must be true or false");
  kernel.path = entry + kImage;
  if (has_modules.get<bool>()) kernel.modules = entry + kModules;
  return kernel;
}

Error missing(const std::string& root, const std::string& name) {
  return Error{Errc::not_found, "kernel \"" + printable(name, 80) + "\" does not exist in " + root +
                                    ": 'mvrunner kernel ls' lists them, or " + kRemedy};
}

Result<Kernel> read_entry(const std::string& root, const std::string& name) {
  const std::string entry = root + "/" + name;
  if (!is_release_name(name) || !sys::exists(entry)) return fail(missing(root, name));
  TRY_ASSIGN(const std::string text, sys::read_file(entry + kRecord));
  TRY_ASSIGN(Kernel kernel, context(parse_record(text, entry), entry + kRecord));
  if (kernel.name != name) {
    return fail(Errc::invalid, entry + kRecord + ": it is the record of another kernel");
  }
  if (!sys::exists(kernel.path)) return fail(Errc::invalid, kernel.path + " is missing");
  return kernel;
}

Result<void> move_path(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) == 0) return {};
  return fail_errno(errno, "rename " + from + " to " + to);
}

// An entry appears whole, also after a loss of power: its thousands of small files are written
// out in one go before the rename.
Result<void> publish(const std::string& entry, const std::string& root, const std::string& name) {
  TRY_ASSIGN(const Fd directory, sys::open_read(root));
  if (::syncfs(directory.get()) != 0) return fail_errno(errno, "sync " + root);
  const std::string target = root + "/" + name;
  // The old entry, if there is one, changes places and goes with the work directory.
  if (::renameat2(AT_FDCWD, entry.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) != 0) {
    if (errno != ENOENT) return fail_errno(errno, "replace " + target);
    TRY(move_path(entry, target));
  }
  return sys::fsync_path(root);
}

// The whole tree of modules stays, some 90 MB: what a later agent or a job's modprobe needs is not
// known when a kernel is installed.
Result<void> make_entry(const UnpackedKernel& unpacked, const std::string& source,
                        const std::string& entry) {
  TRY(sys::make_directories(entry));
  Kernel kernel;
  kernel.name = unpacked.release;
  kernel.source = source;
  kernel.path = entry + kImage;
  TRY(move_path(unpacked.image, kernel.path));
  // VMMs read it as users of their own.
  if (::chmod(kernel.path.c_str(), 0444) != 0) return fail_errno(errno, "chmod " + kernel.path);
  if (!unpacked.modules.empty()) {
    kernel.modules = entry + kModules;
    TRY(move_path(unpacked.modules, kernel.modules));
  }
  const std::string digest = sys::sha256_file(kernel.path);
  if (digest.empty()) return fail(Errc::io, "cannot read " + kernel.path);
  kernel.digest = "sha256:" + digest;
  return sys::write_file(entry + kRecord, record_json(kernel), 0444);
}

Result<void> install_entry(const UnpackedKernel& unpacked, const std::string& source,
                           const WorkDirectory& work, const std::string& root) {
  const std::string entry = work.path() + "/entry";
  TRY(make_entry(unpacked, source, entry));
  return publish(entry, root, unpacked.release);
}

// Absolute, as the programs that read them run elsewhere.
Result<std::vector<std::string>> given_paths(const std::vector<std::string>& packages) {
  std::vector<std::string> paths;
  for (const std::string& package : packages) {
    std::error_code error;
    const auto path = std::filesystem::absolute(package, error);
    if (error || !sys::exists(path.string())) {
      return fail(Errc::not_found, printable(package, 200) + " does not exist");
    }
    paths.push_back(path.string());
  }
  return paths;
}

std::string source_of(const std::vector<std::string>& packages) {
  std::vector<std::string> names;
  names.reserve(packages.size());
  for (const std::string& path : packages) names.push_back(path.substr(path.rfind('/') + 1));
  return join(names, " ");
}

}  // namespace

Result<std::vector<Kernel>> KernelStore::list() const {
  std::vector<Kernel> found;
  const std::string root = root_of(state_dir_);
  if (!sys::exists(root)) return found;
  TRY_ASSIGN(const std::vector<std::string> names, sys::list_directory(root));
  for (const std::string& name : names) {
    if (auto kernel = read_entry(root, name)) found.push_back(std::move(*kernel));
  }
  std::sort(found.begin(), found.end(),
            [](const Kernel& a, const Kernel& b) { return is_older_release(b.name, a.name); });
  return found;
}

Result<Kernel> KernelStore::find(const std::string& name) const {
  if (name != "default") return read_entry(root_of(state_dir_), name);
  TRY_ASSIGN(std::vector<Kernel> kernels, list());
  if (!kernels.empty()) return std::move(kernels.front());
  return fail(Errc::not_found, "no kernel is in " + root_of(state_dir_) + ": " + kRemedy);
}

Result<Kernel> KernelStore::install(const std::vector<std::string>& packages,
                                    const std::function<void(const std::string&)>& progress,
                                    const Bar& bar) const {
  const Progress say = progress ? progress : [](const std::string&) {};
  TRY_ASSIGN(std::vector<std::string> files, given_paths(packages));
  TRY_ASSIGN(const WorkDirectory work, make_work_directory(state_dir_));
  if (files.empty()) {
    TRY_ASSIGN(files, download_kernel(work.path(), say, bar));
  }
  TRY_ASSIGN(const UnpackedKernel unpacked, unpack_kernel(files, work.path(), say));
  TRY(install_entry(unpacked, source_of(files), work, root_of(state_dir_)));
  return find(unpacked.release);
}

Result<Kernel> KernelStore::install_built(
    const std::string& directory, const std::function<void(const std::string&)>& progress) const {
  const Progress say = progress ? progress : [](const std::string&) {};
  TRY_ASSIGN(const std::vector<std::string> given, given_paths({directory}));
  TRY_ASSIGN(const WorkDirectory work, make_work_directory(state_dir_));
  TRY_ASSIGN(const UnpackedKernel copied, copy_built_kernel(given.front(), work.path(), say));
  TRY(install_entry(copied, given.front(), work, root_of(state_dir_)));
  return find(copied.release);
}

Result<void> KernelStore::remove(const std::string& name) const {
  const std::string root = root_of(state_dir_);
  // A damaged entry can be removed as well.
  if (!is_release_name(name) || !sys::exists(root + "/" + name)) return fail(missing(root, name));
  // Gone in one step; the files follow with the work directory.
  TRY_ASSIGN(const WorkDirectory work, make_work_directory(state_dir_));
  TRY(move_path(root + "/" + name, work.path() + "/entry"));
  return sys::fsync_path(root);
}

}  // namespace mvr::image
