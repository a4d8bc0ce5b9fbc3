// <state>/kernels: what guests boot. An entry is a directory named by its release; it appears and
// disappears by one rename.
#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "image/kernel_package.h"
#include "image/store.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

using nlohmann::json;

constexpr const char* kRemedy = "install one with 'mvrunner kernel install'";

// Numbers compare as numbers, so that 6.1.0-39 is newer than 6.1.0-9.
bool is_newer(std::string_view a, std::string_view b) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  while (!a.empty() && !b.empty()) {
    if (digit(a.front()) && digit(b.front())) {
      const auto take = [&](std::string_view& text) {
        std::size_t length = 0;
        while (length < text.size() && length < 18 && digit(text[length])) ++length;
        const auto number = parse_u64(text.substr(0, length)).value_or(0);
        text.remove_prefix(length);
        return number;
      };
      const auto left = take(a);
      const auto right = take(b);
      if (left != right) return left > right;
      continue;
    }
    if (a.front() != b.front()) return a.front() > b.front();
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
  return a.size() > b.size();
}

Result<Kernel> read_kernel(const std::string& directory) {
  TRY_ASSIGN(const std::string text, sys::read_file(directory + "/kernel.json"));
  const json entry = json::parse(text, nullptr, false);
  Kernel kernel;
  for (const auto& [name, field] :
       {std::pair{"name", &kernel.name}, std::pair{"digest", &kernel.digest},
        std::pair{"source", &kernel.source}}) {
    if (!entry.is_object() || !entry.contains(name) || !entry[name].is_string()) {
      return fail(Errc::invalid, directory + "/kernel.json: no text '" + name +
                                     "'; remove the directory and install again");
    }
    *field = entry[name].get<std::string>();
  }
  kernel.path = directory + "/vmlinuz";
  if (sys::exists(directory + "/modules/modules.dep")) kernel.modules = directory + "/modules";
  return kernel;
}

}  // namespace

Result<std::vector<Kernel>> KernelStore::list() const {
  const std::string root = state_dir_ + "/kernels";
  std::vector<Kernel> kernels;
  if (!sys::exists(root)) return kernels;
  TRY_ASSIGN(const auto names, sys::list_directory(root));
  for (const auto& name : names) {
    if (name.front() == '.') continue;
    TRY_ASSIGN(Kernel kernel, read_kernel(root + "/" + name));
    kernels.push_back(std::move(kernel));
  }
  std::sort(kernels.begin(), kernels.end(),
            [](const Kernel& a, const Kernel& b) { return is_newer(a.name, b.name); });
  return kernels;
}

Result<Kernel> KernelStore::find(const std::string& name) const {
  TRY_ASSIGN(const auto kernels, list());
  if (kernels.empty())
    return fail(Errc::not_found, std::string("no guest kernel is installed; ") + kRemedy);
  if (name == "default") return kernels.front();
  for (const auto& kernel : kernels) {
    if (kernel.name == name) return kernel;
  }
  return fail(Errc::not_found, "no guest kernel '" + printable(name, 64) +
                                   "'; 'mvrunner kernel ls' lists them, or " + kRemedy);
}

Result<Kernel> KernelStore::install(const std::vector<std::string>& packages,
                                    const std::function<void(const std::string&)>& progress) const {
  const std::string root = state_dir_ + "/kernels";
  TRY(sys::make_directories(root));
  TRY_ASSIGN(const UnpackedKernel unpacked, unpack_kernel(root, packages, progress));
  const std::string digest = sys::sha256_file(unpacked.entry() + "/vmlinuz");
  if (digest.empty())
    return fail(Errc::io, "cannot read the unpacked kernel in " + unpacked.entry());
  const json manifest = {
      {"name", unpacked.release}, {"digest", "sha256:" + digest}, {"source", unpacked.source}};
  TRY(sys::write_file(unpacked.entry() + "/kernel.json", manifest.dump(2) + "\n"));
  const std::string target = root + "/" + unpacked.release;
  // Replacing: VMs have the old file open, or read it at launch before we come here.
  TRY(sys::remove_tree(target));
  TRY(sys::rename_durably(unpacked.entry(), target));
  return read_kernel(target);
}

Result<void> KernelStore::remove(const std::string& name) const {
  TRY_ASSIGN(const Kernel kernel, find(name));
  const std::string root = state_dir_ + "/kernels/";
  TRY(sys::rename_durably(root + kernel.name, root + ".removed-" + kernel.name));
  return sys::remove_tree(root + ".removed-" + kernel.name);
}

}  // namespace mvr::image
