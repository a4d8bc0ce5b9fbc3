#include "image/kernel_package.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/text.h"
#include "image/entry_store.h"
#include "image/kernel_image.h"
#include "image/program.h"
#include "sys/files.h"
#include "sys/process.h"

namespace mvr::image {
namespace {

constexpr Duration kStepLimit{120'000};
constexpr Duration kDownloadLimit{900'000};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The words of ID and ID_LIKE, own name first: {"linuxmint", "ubuntu", "debian"}.
std::vector<std::string> distributions(std::string_view os_release) {
  std::vector<std::string> names;
  for (const std::string_view key : {"ID=", "ID_LIKE="}) {
    for (const std::string_view line : split(os_release, '\n')) {
      if (!line.starts_with(key)) continue;
      std::string value(line.substr(key.size()));
      value.erase(std::remove(value.begin(), value.end(), '"'), value.end());
      for (const std::string_view word : split(value, ' ')) names.emplace_back(word);
    }
  }
  return names;
}

// apt in a directory of ours; its own unprivileged user could not write there.
Result<void> apt_download(const std::vector<std::string>& packages, const std::string& directory) {
  sys::RunOptions options;
  options.argv = {"apt-get", "download", "-q", "-o", "APT::Sandbox::User=root"};
  options.argv.insert(options.argv.end(), packages.begin(), packages.end());
  options.env = inherited_environment();
  options.directory = directory;
  options.limit = kDownloadLimit;
  TRY_ASSIGN(const sys::RunResult result, sys::run(options));
  if (result.exit.ok()) return {};
  return fail(Errc::unavailable, "apt-get download: " + last_words(result.err) +
                                     "; run 'apt-get update', or give a package with --deb FILE");
}

// 0 when apt does not say: there is no bar then.
Bytes size_of_downloads(const std::vector<std::string>& packages) {
  std::vector<std::string> argv = {"apt-get", "download", "--print-uris"};
  argv.insert(argv.end(), packages.begin(), packages.end());
  const auto output = run_quiet(argv, kStepLimit);
  return output ? download_size(*output) : Bytes{0};
}

Bytes size_of_files(const std::string& directory) {
  Bytes size;
  const auto names = sys::list_directory(directory);
  for (const auto& name : names.value_or(std::vector<std::string>())) {
    size += sys::allocated_size(directory + "/" + name);
  }
  return size;
}

Result<std::vector<std::string>> dependencies_of(const std::string& package,
                                                 std::string_view prefix) {
  auto output = run_quiet({"apt-cache", "depends", package}, kStepLimit);
  if (!output) {
    return fail(Errc::not_found, "apt does not know " + package +
                                     "; run 'apt-get update', or give a package with --deb FILE");
  }
  return kernel_dependencies(*output, prefix);
}

Result<std::vector<std::string>> wanted_packages() {
  TRY_ASSIGN(const std::string os_release, sys::read_file("/etc/os-release"));
  TRY_ASSIGN(const std::string newest, newest_kernel_package(os_release, host_architecture()));
  TRY_ASSIGN(std::vector<std::string> wanted, dependencies_of(newest, "linux-image-"));
  if (wanted.empty()) return fail(Errc::not_found, "apt: " + newest + " depends on no kernel");
  wanted.resize(1);
  // Ubuntu has the modules in a package beside.
  TRY_ASSIGN(const auto modules, dependencies_of(wanted.front(), "linux-modules-"));
  wanted.insert(wanted.end(), modules.begin(), modules.end());
  return wanted;
}

Result<std::string> kernel_release(const std::string& root) {
  constexpr std::string_view prefix = "vmlinuz-";
  std::vector<std::string> releases;
  if (const auto names = sys::list_directory(root + "/boot")) {
    for (const std::string& name : *names) {
      if (name.starts_with(prefix)) releases.push_back(name.substr(prefix.size()));
    }
  }
  if (releases.empty()) {
    return fail(Errc::invalid,
                "the package holds no kernel (boot/vmlinuz-<release>): give that of one kernel "
                "(linux-image-<version>...), not the one that depends on the newest");
  }
  if (releases.size() > 1) return fail(Errc::invalid, "the packages hold more than one kernel");
  if (is_release_name(releases.front())) return releases.front();
  return fail(Errc::invalid, "\"" + printable(releases.front(), 80) + "\" is no kernel release");
}

// depmod looks below lib/modules or usr/lib/modules, as it was built: here both are the same.
Result<void> run_depmod(const std::string& base, const std::string& release) {
  const std::string link = base + "/usr";
  if (::symlink(".", link.c_str()) != 0) return fail_errno(errno, "create " + link);
  TRY_ASSIGN(const std::string depmod, find_program("depmod", "kmod"));
  TRY(run_quiet({depmod, "-b", base, release}, kStepLimit));
  return {};
}

// Moves the modules to <directory>/base/lib/modules/<release> and indexes them.
Result<std::string> take_modules(const std::string& root, const std::string& directory,
                                 const std::string& release) {
  for (const char* place : {"/usr/lib/modules/", "/lib/modules/"}) {
    const std::string found = root + place + release;
    struct stat info {};
    if (::lstat(found.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) continue;
    const std::string base = directory + "/base";
    std::string target = base + "/lib/modules/" + release;
    TRY(sys::make_directories(base + "/lib/modules"));
    if (std::rename(found.c_str(), target.c_str()) != 0) return fail_errno(errno, target);
    // Links to the headers on some other machine.
    for (const char* link : {"/build", "/source"}) TRY(sys::remove_file(target + link));
    TRY(run_depmod(base, release));
    return target;
  }
  return std::string();
}

Result<std::string> built_release(const std::string& built) {
  TRY_ASSIGN(const std::string text, sys::read_file(built + "/release", 256));
  const std::string release(text.substr(0, text.find('\n')));
  if (is_release_name(release)) return release;
  return fail(Errc::invalid, built + "/release: \"" + printable(release, 80) +
                                 "\" is no kernel release (what uname -r prints)");
}

Result<std::string> built_image(const std::string& built) {
  for (const char* name : {"/vmlinux", "/bzImage", "/Image"}) {
    if (sys::exists(built + name)) return built + name;
  }
  return fail(Errc::not_found,
              built + " holds no vmlinux, bzImage or Image: make it by kernel/build");
}

}  // namespace

Result<std::string> newest_kernel_package(std::string_view os_release,
                                          const std::string& architecture) {
  const bool is_known = architecture == "amd64" || architecture == "arm64";
  for (const std::string& name : distributions(os_release)) {
    if (is_known && name == "debian") return "linux-image-cloud-" + architecture;
    if (is_known && name == "ubuntu") return std::string("linux-image-virtual");
  }
  return fail(Errc::unsupported, "no kernel package is known for this distribution on " +
                                     architecture + "; give one with --deb FILE");
}

Bytes download_size(std::string_view uris) {
  Bytes size;
  for (const std::string_view line : split(uris, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() < 3 || !words[0].starts_with("'")) continue;
    size += Bytes{parse_u64(words[2]).value_or(0)};
  }
  return size;
}

std::vector<std::string> kernel_dependencies(std::string_view apt_output, std::string_view prefix) {
  std::vector<std::string> found;
  for (const std::string_view line : split(apt_output, '\n')) {
    // "  Depends: x" and "  PreDepends: x"; "  Recommends: x" and " |Depends: x" are no must.
    constexpr std::string_view label = "Depends: ";
    const auto at = line.find(label);
    if (at == std::string_view::npos || !line.starts_with("  ")) continue;
    const std::string_view name = line.substr(at + label.size());
    if (!name.starts_with(prefix)) continue;
    const std::string_view version = name.substr(prefix.size());
    if (is_release_name(version) && is_digit(version.front())) found.emplace_back(name);
  }
  return found;
}

Result<std::vector<std::string>> download_kernel(const std::string& directory,
                                                 const Progress& progress, const Bar& bar) {
  TRY_ASSIGN(const std::vector<std::string> wanted, wanted_packages());
  for (const std::string& name : wanted) progress("downloading " + name);
  const Bytes all = bar ? size_of_downloads(wanted) : Bytes{0};
  const Watcher watcher(bar, all, [directory] { return size_of_files(directory); });
  TRY(apt_download(wanted, directory));
  TRY_ASSIGN(const auto names, sys::list_directory(directory));
  std::vector<std::string> paths;
  for (const std::string& name : names) {
    if (name.ends_with(".deb")) paths.push_back(directory + "/" + name);
  }
  if (!paths.empty()) return paths;
  return fail(Errc::protocol, "apt-get download left no package in " + directory);
}

Result<UnpackedKernel> unpack_kernel(const std::vector<std::string>& packages,
                                     const std::string& directory, const Progress& progress) {
  TRY_ASSIGN(const std::string dpkg, find_program("dpkg-deb", "dpkg"));
  const std::string root = directory + "/root";
  TRY(sys::make_directories(root));
  for (const std::string& package : packages) {
    progress("unpacking " + package.substr(package.rfind('/') + 1));
    TRY(context(run_quiet({dpkg, "-x", package, root}, kStepLimit), printable(package, 200)));
  }
  UnpackedKernel kernel;
  TRY_ASSIGN(kernel.release, kernel_release(root));
  kernel.image = root + "/boot/vmlinuz-" + kernel.release;
  struct stat info {};
  if (::lstat(kernel.image.c_str(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_size == 0) {
    return fail(Errc::invalid, "boot/vmlinuz-" + kernel.release + " in the package is no kernel");
  }
  TRY_ASSIGN(kernel.modules,
             context(take_modules(root, directory, kernel.release), "index the modules"));
  if (kernel.modules.empty()) {
    progress("no modules in there: the drivers must be built into this kernel");
  }
  return kernel;
}

Result<UnpackedKernel> copy_built_kernel(const std::string& built, const std::string& directory,
                                         const Progress& progress) {
  progress("copying " + built);
  UnpackedKernel kernel;
  TRY_ASSIGN(kernel.release, built_release(built));
  TRY_ASSIGN(const std::string image, built_image(built));
  TRY(check_kernel_image(image));
  kernel.image = directory + "/image";
  TRY(sys::copy_sparse(image, kernel.image, 0444));
  const std::string root = directory + "/root";
  const std::string modules = root + "/lib/modules/" + kernel.release;
  TRY(sys::make_directories(modules));
  for (const char* list : {"/modules.builtin", "/modules.builtin.modinfo", "/modules.order"}) {
    TRY(sys::copy_sparse(built + list, modules + list, 0444));
  }
  TRY_ASSIGN(kernel.modules,
             context(take_modules(root, directory, kernel.release), "index what is built in"));
  return kernel;
}

bool is_older_release(std::string_view a, std::string_view b) {
  // The leading run of digits, or of anything else.
  const auto run = [](std::string_view text, bool digits) {
    std::size_t end = 0;
    while (end < text.size() && is_digit(text[end]) == digits) ++end;
    return text.substr(0, end);
  };
  while (!a.empty() && !b.empty()) {
    const bool digits = is_digit(a.front());
    if (digits != is_digit(b.front())) return digits;
    std::string_view first = run(a, digits);
    std::string_view second = run(b, digits);
    a.remove_prefix(first.size());
    b.remove_prefix(second.size());
    if (digits) {
      first.remove_prefix(std::min(first.find_first_not_of('0'), first.size()));
      second.remove_prefix(std::min(second.find_first_not_of('0'), second.size()));
      if (first.size() != second.size()) return first.size() < second.size();
    }
    if (first != second) return first < second;
  }
  return a.empty() && !b.empty();
}

bool is_release_name(std::string_view name) {
  const auto is_alnum = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  const auto is_allowed = [&](char c) {
    return is_alnum(c) || std::string_view(".+_~-").find(c) != std::string_view::npos;
  };
  return !name.empty() && name.size() <= 64 && is_alnum(name.front()) &&
         std::all_of(name.begin(), name.end(), is_allowed);
}

}  // namespace mvr::image
