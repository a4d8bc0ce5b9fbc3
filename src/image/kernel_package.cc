#include "image/kernel_package.h"

#include <unistd.h>

#include "base/text.h"
#include "image/entry_store.h"
#include "image/program.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr Duration kDownloadLimit{600'000};
constexpr Duration kStepLimit{120'000};
constexpr std::size_t kMaxRelease = 64;

// Debian names its cloud flavour; Ubuntu's "virtual" is the kernel of its cloud images.
Result<std::string> meta_package() {
  TRY_ASSIGN(const std::string release, sys::read_file("/etc/os-release"));
  if (release.find("ID=ubuntu") != std::string::npos) return std::string("linux-image-virtual");
  if (release.find("debian") != std::string::npos)
    return "linux-image-cloud-" + host_architecture();
  return fail(Errc::unsupported,
              "no kernel package is known for this distribution; give one with --deb FILE");
}

Result<std::vector<std::string>> download(const std::string& directory,
                                          const std::function<void(const std::string&)>& progress) {
  TRY_ASSIGN(const std::string meta, meta_package());
  auto listed = run_quiet({"apt-cache", "depends", "--important", meta}, kStepLimit);
  const auto names = listed ? kernel_dependencies(*listed) : std::vector<std::string>{};
  if (names.empty()) {
    return fail(Errc::not_found, "apt does not know " + meta +
                                     "; run 'apt-get update', or give a package with --deb FILE");
  }
  std::vector<std::string> argv = {"apt-get", "download"};
  for (const auto& name : names) {
    progress("downloading " + name);
    argv.push_back(name);
  }
  sys::RunOptions options;
  options.argv = std::move(argv);
  options.env = inherited_environment();
  options.directory = directory;
  options.limit = kDownloadLimit;
  TRY(context(sys::run_ok(options), "apt-get download"));
  std::vector<std::string> files;
  TRY_ASSIGN(const auto entries, sys::list_directory(directory));
  for (const auto& entry : entries) {
    if (entry.ends_with(".deb")) files.push_back(directory + "/" + entry);
  }
  return files;
}

// The one file boot/vmlinuz-<release> below the unpacked root.
Result<std::string> find_release(const std::string& root) {
  constexpr std::string_view prefix = "vmlinuz-";
  std::string release;
  if (auto names = sys::list_directory(root + "/boot")) {
    for (const auto& name : *names) {
      if (name.starts_with(prefix)) release = name.substr(prefix.size());
    }
  }
  const bool plain = !release.empty() && release.size() <= kMaxRelease && release.front() != '.' &&
                     release.find('/') == std::string::npos;
  if (!plain) return fail(Errc::invalid, "the package holds no kernel (boot/vmlinuz-*)");
  return release;
}

// Moves kernel and modules into the entry and indexes the modules.
Result<void> arrange(const UnpackedKernel& work, const std::string& root) {
  TRY(sys::make_directories(work.entry()));
  TRY(sys::rename_durably(root + "/boot/vmlinuz-" + work.release, work.entry() + "/vmlinuz"));
  for (const std::string base : {root, root + "/usr"}) {
    const std::string modules = base + "/lib/modules/" + work.release;
    if (!sys::exists(modules)) continue;
    TRY_ASSIGN(const std::string depmod, find_program("depmod", "kmod"));
    TRY(context(run_quiet({depmod, "-b", base, work.release}, kStepLimit), "depmod"));
    return sys::rename_durably(modules, work.entry() + "/modules");
  }
  return {};  // everything is built in
}

}  // namespace

UnpackedKernel::~UnpackedKernel() {
  if (!directory_.empty()) (void)sys::remove_tree(directory_);
}

std::vector<std::string> kernel_dependencies(const std::string& apt_cache_output) {
  std::vector<std::string> names;
  for (const std::string_view line : split(apt_cache_output, '\n')) {
    const auto at = line.find("Depends: ");
    if (at == std::string_view::npos) continue;
    const std::string_view name = line.substr(at + 9);
    if (!name.starts_with("linux-image-") && !name.starts_with("linux-modules-")) continue;
    names.emplace_back(name);
    // Ubuntu splits the modules off by a fixed naming rule; its meta package names the image only.
    if (name.ends_with("-generic"))
      names.push_back("linux-modules-" + std::string(name.substr(12)));
  }
  return names;
}

Result<UnpackedKernel> unpack_kernel(const std::string& root,
                                     const std::vector<std::string>& packages,
                                     const std::function<void(const std::string&)>& progress) {
  UnpackedKernel work(root + "/.work-" + std::to_string(::getpid()));
  TRY(sys::remove_tree(work.directory()));
  const std::string tree = work.directory() + "/root";
  TRY(sys::make_directories(tree));
  std::vector<std::string> files = packages;
  if (files.empty()) {
    TRY_ASSIGN(files, download(work.directory(), progress));
  }
  TRY_ASSIGN(const std::string dpkg, find_program("dpkg-deb", "dpkg"));
  for (const auto& file : files) {
    const std::string name = file.substr(file.rfind('/') + 1);
    progress("unpacking " + name);
    TRY(context(run_quiet({dpkg, "-x", file, tree}, kStepLimit), printable(file, 200)));
    work.source += (work.source.empty() ? "" : " ") + name;
  }
  TRY_ASSIGN(work.release, find_release(tree));
  TRY(arrange(work, tree));
  return work;
}

}  // namespace mvr::image
