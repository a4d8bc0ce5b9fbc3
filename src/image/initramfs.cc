#include "image/initramfs.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string_view>

#include <archive.h>
#include <archive_entry.h>

#include "base/text.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr std::size_t kMaxAgent = 64 << 20;
constexpr std::size_t kMaxModule = 64 << 20;
constexpr std::size_t kMaxIndex = 16 << 20;

// What the agent needs before it is in the image. Its channel comes first (the port, or vsock on
// Firecracker), as the host waits for its hello; crc32c is what ext4 asks modprobe for, which is
// not there.
const std::vector<std::string>& wanted_modules() {
  static const std::vector<std::string> kWanted{"virtio_mmio",
                                                "virtio_pci",
                                                "virtio_console",
                                                "vmw_vsock_virtio_transport",
                                                "virtio_blk",
                                                "virtio_net",
                                                "virtio_rng",
                                                "overlay",
                                                "crc32c_intel",
                                                "crc32c_generic",
                                                "ext4"};
  return kWanted;
}

// What Docker's networks, and firewalls of jobs, would have modprobe load. Images do not hold the
// kernel's modules; the agent loads these where the image has an engine.
const std::vector<std::string>& engine_modules() {
  static const std::vector<std::string> kWanted{
      "veth",          "bridge",          "br_netfilter",    "nf_tables",
      "nft_compat",    "nft_chain_nat",   "nft_ct",          "nft_masq",
      "nft_nat",       "nft_fib_inet",    "nft_reject_inet", "nf_conntrack_netlink",
      "ip_tables",     "iptable_filter",  "iptable_nat",     "iptable_mangle",
      "iptable_raw",   "ip6_tables",      "ip6table_filter", "ip6table_nat",
      "xt_MASQUERADE", "xt_conntrack",    "xt_addrtype",     "xt_nat",
      "xt_REDIRECT",   "xt_tcpudp",       "xt_multiport",    "xt_mark",
      "xt_comment",    "xt_state",        "xt_limit",        "xt_statistic",
      "xt_set",        "ip_set_hash_net", "ipt_REJECT",      "ip6t_REJECT"};
  return kWanted;
}

// "kernel/drivers/char/hw_random/virtio-rng.ko.xz" -> "virtio_rng"
std::string module_name(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  std::string name(slash == std::string_view::npos ? path : path.substr(slash + 1));
  name.resize(std::min(name.find(".ko"), name.size()));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

struct Dependencies {
  std::string path;
  std::vector<std::string> needs;  // paths, as listed: the last must be loaded first
};

std::map<std::string, Dependencies> parse_dependencies(std::string_view text) {
  std::map<std::string, Dependencies> modules;
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    Dependencies module{std::string(line.substr(0, colon)), {}};
    for (const std::string_view path : split(line.substr(colon + 1), ' ')) {
      if (!path.empty()) module.needs.emplace_back(path);
    }
    modules.emplace(module_name(module.path), std::move(module));
  }
  return modules;
}

using Reader = std::unique_ptr<archive, decltype(&archive_read_free)>;
using Writer = std::unique_ptr<archive, decltype(&archive_write_free)>;
using Entry = std::unique_ptr<archive_entry, decltype(&archive_entry_free)>;

tl::unexpected<Error> archive_failure(archive* handle, const std::string& what) {
  const char* text = archive_error_string(handle);
  return fail(Errc::io, what + ": " + (text != nullptr ? text : "unknown error of libarchive"));
}

// A module file of any compression as its plain bytes.
Result<std::string> read_module(const std::string& path) {
  const Reader reader(archive_read_new(), archive_read_free);
  archive_read_support_format_raw(reader.get());
  archive_read_support_filter_all(reader.get());
  archive_entry* entry = nullptr;
  if (archive_read_open_filename(reader.get(), path.c_str(), 64 * 1024) != ARCHIVE_OK ||
      archive_read_next_header(reader.get(), &entry) != ARCHIVE_OK) {
    return archive_failure(reader.get(), "read the kernel module " + path);
  }
  std::string content;
  std::array<char, 65'536> buffer{};
  for (;;) {
    const la_ssize_t got = archive_read_data(reader.get(), buffer.data(), buffer.size());
    if (got < 0) return archive_failure(reader.get(), "unpack the kernel module " + path);
    if (got == 0) return content;
    content.append(buffer.data(), static_cast<std::size_t>(got));
    if (content.size() > kMaxModule) return fail(Errc::too_large, path + " is too long");
  }
}

la_ssize_t append_to_string(archive* /*handle*/, void* target, const void* data, std::size_t size) {
  static_cast<std::string*>(target)->append(static_cast<const char*>(data), size);
  return static_cast<la_ssize_t>(size);
}

// One member; everything that could differ between two runs is left out.
Result<void> add_member(archive* writer, const std::string& name, mode_t mode,
                        std::string_view content) {
  const Entry entry(archive_entry_new(), archive_entry_free);
  const bool is_directory = S_ISDIR(mode);
  archive_entry_set_pathname(entry.get(), name.c_str());
  archive_entry_set_mode(entry.get(), mode);
  archive_entry_set_nlink(entry.get(), is_directory ? 2 : 1);
  archive_entry_set_mtime(entry.get(), 0, 0);
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(content.size()));
  if (archive_write_header(writer, entry.get()) != ARCHIVE_OK) {
    return archive_failure(writer, "write the initramfs: " + name);
  }
  if (content.empty()) return {};
  const la_ssize_t written = archive_write_data(writer, content.data(), content.size());
  if (written == static_cast<la_ssize_t>(content.size())) return {};
  return archive_failure(writer, "write the initramfs: " + name);
}

// A directory of the initramfs with modules, in the order they are to be loaded in.
struct ModuleList {
  const char* directory;
  std::vector<std::string> paths;
};

std::string member_name(const ModuleList& list, std::size_t number) {
  std::array<char, 8> digits{};
  (void)std::snprintf(digits.data(), digits.size(), "%02zu", number);
  return std::string(list.directory) + "/" + digits.data() + "-" + module_name(list.paths[number]) +
         ".ko";
}

// "kernel-metadata/modules.builtin"
std::string metadata_name(const std::string& path) {
  return "kernel-metadata" + path.substr(path.rfind('/'));
}

Result<void> add_directories(archive* writer, std::initializer_list<const char*> names) {
  for (const char* name : names) TRY(add_member(writer, name, S_IFDIR | 0755, {}));
  return {};
}

Result<void> add_modules(archive* writer, const ModuleList& list) {
  TRY(add_directories(writer, {list.directory}));
  for (std::size_t i = 0; i < list.paths.size(); ++i) {
    TRY_ASSIGN(const std::string content, read_module(list.paths[i]));
    TRY(add_member(writer, member_name(list, i), S_IFREG | 0644, content));
  }
  return {};
}

Result<void> add_metadata(archive* writer, const std::vector<std::string>& metadata) {
  TRY(add_directories(writer, {"kernel-metadata"}));
  for (const std::string& path : metadata) {
    TRY_ASSIGN(const std::string content, sys::read_file(path, kMaxIndex));
    TRY(add_member(writer, metadata_name(path), S_IFREG | 0644, content));
  }
  return {};
}

Result<void> add_members(archive* writer, const std::string& agent,
                         const std::vector<std::string>& metadata,
                         const std::vector<ModuleList>& modules) {
  TRY(add_directories(writer, {"base", "dev"}));
  TRY_ASSIGN(const std::string program, sys::read_file(agent, kMaxAgent));
  TRY(add_member(writer, "init", S_IFREG | 0755, program));
  if (!metadata.empty()) TRY(add_metadata(writer, metadata));
  for (const ModuleList& list : modules) TRY(add_modules(writer, list));
  return add_directories(writer, {"proc", "root", "scratch", "sys", "tools"});
}

Result<std::string> make_archive(const std::string& agent, const std::vector<std::string>& metadata,
                                 const std::vector<ModuleList>& modules) {
  std::string bytes;
  const Writer writer(archive_write_new(), archive_write_free);
  if (archive_write_set_format_cpio_newc(writer.get()) != ARCHIVE_OK ||
      archive_write_open(writer.get(), &bytes, nullptr, append_to_string, nullptr) != ARCHIVE_OK) {
    return archive_failure(writer.get(), "write the initramfs");
  }
  TRY(add_members(writer.get(), agent, metadata, modules));
  if (archive_write_close(writer.get()) != ARCHIVE_OK) {
    return archive_failure(writer.get(), "write the initramfs");
  }
  return bytes;
}

Result<std::vector<ModuleList>> module_lists(const Kernel& kernel) {
  if (kernel.modules.empty()) return std::vector<ModuleList>{{"modules", {}}};
  TRY_ASSIGN(const std::string index, sys::read_file(kernel.modules + "/modules.dep", kMaxIndex));
  std::vector<std::string> wanted = wanted_modules();
  const auto of_boot = static_cast<std::ptrdiff_t>(module_load_order(index, wanted).size());
  wanted.insert(wanted.end(), engine_modules().begin(), engine_modules().end());
  // What both need stands where it is needed first.
  std::vector<std::string> paths = module_load_order(index, wanted);
  for (std::string& path : paths) path.insert(0, kernel.modules + "/");
  const auto end_of_boot = paths.begin() + of_boot;
  std::vector<ModuleList> lists{{"modules", {paths.begin(), end_of_boot}}};
  if (end_of_boot != paths.end()) lists.push_back({"modules-engine", {end_of_boot, paths.end()}});
  return lists;
}

// What modprobe reads, of a kernel that has all built in: there is nothing it could load, and it
// says yes to what is there. Other kernels' modules are not in the guest, so their list is not.
Result<std::vector<std::string>> metadata_paths(const Kernel& kernel) {
  std::vector<std::string> paths;
  if (kernel.modules.empty()) return paths;
  TRY_ASSIGN(const std::string index, sys::read_file(kernel.modules + "/modules.dep", kMaxIndex));
  if (!index.empty()) return paths;
  TRY_ASSIGN(const std::vector<std::string> names, sys::list_directory(kernel.modules));
  for (const std::string& name : names) {
    if (name.starts_with("modules.")) paths.push_back(kernel.modules + "/" + name);
  }
  return paths;
}

Result<std::string> digest_of(const std::string& path) {
  std::string digest = sys::sha256_file(path);
  if (digest.empty()) return fail(Errc::io, "cannot read " + path);
  return digest;
}

// The digest of a list of the inputs, by way of a file, as that is what sys/ can digest.
Result<std::string> inputs_digest(const std::string& directory, const std::string& agent,
                                  const std::vector<std::string>& metadata,
                                  const std::vector<ModuleList>& modules) {
  TRY_ASSIGN(std::string inputs, digest_of(agent));
  for (const std::string& path : metadata) {
    TRY_ASSIGN(const std::string digest, digest_of(path));
    inputs += "\n" + metadata_name(path) + " " + digest;
  }
  for (const ModuleList& list : modules) {
    for (std::size_t i = 0; i < list.paths.size(); ++i) {
      TRY_ASSIGN(const std::string digest, digest_of(list.paths[i]));
      inputs += "\n" + member_name(list, i) + " " + digest;
    }
  }
  const std::string path = directory + "/inputs-" + std::to_string(::getpid());
  TRY(sys::write_file(path, inputs));
  auto digest = digest_of(path);
  TRY(sys::remove_file(path));
  return digest;
}

}  // namespace

std::vector<std::string> module_load_order(const std::string& modules_dep,
                                           const std::vector<std::string>& wanted) {
  const auto modules = parse_dependencies(modules_dep);
  std::vector<std::string> order;
  std::set<std::string> listed;
  const auto add = [&order, &listed](const std::string& path) {
    if (listed.insert(path).second) order.push_back(path);
  };
  for (const std::string& name : wanted) {
    const auto found = modules.find(module_name(name));
    if (found == modules.end()) continue;
    const auto& needs = found->second.needs;
    // depmod lists all that is needed, indirectly too, the innermost last.
    std::for_each(needs.rbegin(), needs.rend(), add);
    add(found->second.path);
  }
  return order;
}

Result<std::string> make_initramfs(const std::string& state_dir, const Kernel& kernel,
                                   const std::string& agent_binary) {
  const std::string directory = state_dir + "/initramfs";
  TRY(sys::make_directories(directory));
  TRY_ASSIGN(const auto modules, context(module_lists(kernel), "kernel " + kernel.name));
  TRY_ASSIGN(const auto metadata, context(metadata_paths(kernel), "kernel " + kernel.name));
  TRY_ASSIGN(const std::string digest,
             context(inputs_digest(directory, agent_binary, metadata, modules), "initramfs"));
  std::string path = directory + "/" + digest + ".cpio";
  if (sys::exists(path)) return path;
  TRY_ASSIGN(const std::string bytes, make_archive(agent_binary, metadata, modules));
  TRY(sys::write_file_atomic(path, bytes));
  return path;
}

}  // namespace mvr::image
