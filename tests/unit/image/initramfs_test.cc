// The initramfs: what is in it, in which order, and that it is the same each time.
#include "image/initramfs.h"

#include <filesystem>

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp is POSIX's

#include "catch.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

const std::string kIndex =
    "kernel/drivers/virtio/virtio_ring.ko:\n"
    "kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko\n"
    "kernel/drivers/virtio/virtio_mmio.ko: kernel/drivers/virtio/virtio.ko "
    "kernel/drivers/virtio/virtio_ring.ko\n"
    "kernel/drivers/char/hw_random/virtio-rng.ko.xz: kernel/drivers/virtio/virtio.ko "
    "kernel/drivers/virtio/virtio_ring.ko\n"
    "kernel/fs/ext4/ext4.ko.zst:\n"
    "kernel/net/802/stp.ko:\n"
    "kernel/net/bridge/bridge.ko: kernel/net/802/stp.ko\n"
    "kernel/drivers/net/veth.ko: kernel/drivers/virtio/virtio.ko "
    "kernel/drivers/virtio/virtio_ring.ko\n"
    "kernel/sound/sound.ko:\n";

struct Directory {
  Directory() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "mvr-initramfs-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() { std::filesystem::remove_all(path); }
  void write(const std::string& name, const std::string& data) const {
    const auto file = std::filesystem::path(path) / name;
    std::filesystem::create_directories(file.parent_path());
    REQUIRE(sys::write_file(file.string(), data));
  }
  std::string path;
};

// Compresses with a filter of libarchive, as xz(1) and zstd(1) would.
std::string compressed(const std::string& data, int (*filter)(archive*)) {
  std::string out(data.size() + 4096, '\0');
  std::size_t used = 0;
  archive* writer = archive_write_new();
  REQUIRE(archive_write_set_format_raw(writer) == ARCHIVE_OK);
  REQUIRE(filter(writer) == ARCHIVE_OK);
  archive_write_set_bytes_in_last_block(writer, 1);
  REQUIRE(archive_write_open_memory(writer, out.data(), out.size(), &used) == ARCHIVE_OK);
  archive_entry* entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_pathname(entry, "data");
  REQUIRE(archive_write_header(writer, entry) == ARCHIVE_OK);
  archive_write_data(writer, data.data(), data.size());
  archive_entry_free(entry);
  archive_write_free(writer);
  out.resize(used);
  return out;
}

struct Member {
  std::string name;
  mode_t mode = 0;
  std::string data;
  friend bool operator==(const Member&, const Member&) = default;
};

std::vector<Member> members(const std::string& path) {
  std::vector<Member> result;
  archive* reader = archive_read_new();
  archive_read_support_format_cpio(reader);
  REQUIRE(archive_read_open_filename(reader, path.c_str(), 4096) == ARCHIVE_OK);
  archive_entry* entry = nullptr;
  while (archive_read_next_header(reader, &entry) == ARCHIVE_OK) {
    CHECK(archive_entry_mtime(entry) == 0);
    CHECK(archive_entry_uid(entry) == 0);
    std::string data(static_cast<std::size_t>(archive_entry_size(entry)), '\0');
    REQUIRE(archive_read_data(reader, data.data(), data.size()) ==
            static_cast<la_ssize_t>(data.size()));
    result.push_back(Member{archive_entry_pathname(entry), archive_entry_mode(entry), data});
  }
  archive_read_free(reader);
  return result;
}

Kernel kernel_in(const Directory& directory) {
  directory.write("modules/modules.dep", kIndex);
  directory.write("modules/kernel/drivers/virtio/virtio_ring.ko", "ring");
  directory.write("modules/kernel/drivers/virtio/virtio.ko", "virtio");
  directory.write("modules/kernel/drivers/virtio/virtio_mmio.ko", "mmio");
  directory.write("modules/kernel/drivers/char/hw_random/virtio-rng.ko.xz",
                  compressed("random", archive_write_add_filter_xz));
  directory.write("modules/kernel/fs/ext4/ext4.ko.zst",
                  compressed("ext4", archive_write_add_filter_zstd));
  for (const char* name : {"net/802/stp", "net/bridge/bridge", "drivers/net/veth"}) {
    directory.write("modules/kernel/" + std::string(name) + ".ko", name);
  }
  directory.write("agent", "the agent");
  Kernel kernel;
  kernel.name = "6.1-test";
  kernel.modules = directory.path + "/modules";
  return kernel;
}

TEST_CASE("modules are loaded after what they need") {
  CHECK(module_load_order(kIndex, {"virtio_mmio"}) ==
        std::vector<std::string>{"kernel/drivers/virtio/virtio_ring.ko",
                                 "kernel/drivers/virtio/virtio.ko",
                                 "kernel/drivers/virtio/virtio_mmio.ko"});
}

TEST_CASE("a module that two others need is loaded once") {
  CHECK(module_load_order(kIndex, {"virtio_mmio", "virtio_rng"}) ==
        std::vector<std::string>{"kernel/drivers/virtio/virtio_ring.ko",
                                 "kernel/drivers/virtio/virtio.ko",
                                 "kernel/drivers/virtio/virtio_mmio.ko",
                                 "kernel/drivers/char/hw_random/virtio-rng.ko.xz"});
}

TEST_CASE("built-in and absent modules are skipped") {
  CHECK(module_load_order(kIndex, {"overlay", "virtio-ring"}) ==
        std::vector<std::string>{"kernel/drivers/virtio/virtio_ring.ko"});
  CHECK(module_load_order("", {"ext4"}).empty());
  CHECK(module_load_order("no colon here\n\n", {"ext4"}).empty());
}

TEST_CASE("the archive holds the agent as init and the modules unpacked and numbered") {
  const Directory directory;
  const auto path = make_initramfs(directory.path, kernel_in(directory), directory.path + "/agent");
  REQUIRE(path);
  CHECK(path->find(directory.path + "/initramfs/") == 0);
  const auto found = members(*path);
  std::vector<std::string> names;
  for (const auto& member : found) names.push_back(member.name);
  CHECK(names == std::vector<std::string>{
                     "base", "dev", "init", "modules", "modules/00-virtio_ring.ko",
                     "modules/01-virtio.ko", "modules/02-virtio_mmio.ko",
                     "modules/03-virtio_rng.ko", "modules/04-ext4.ko", "modules-engine",
                     "modules-engine/00-veth.ko", "modules-engine/01-stp.ko",
                     "modules-engine/02-bridge.ko", "proc", "root", "scratch", "sys", "tools"});
  CHECK(found[2] == Member{"init", S_IFREG | 0755, "the agent"});
  CHECK(found[7].data == "random");
  CHECK(found[8].data == "ext4");
  CHECK(found[0].mode == (S_IFDIR | 0755));
}

TEST_CASE("the same inputs give the same file without writing it again") {
  const Directory directory;
  const Kernel kernel = kernel_in(directory);
  const auto first = make_initramfs(directory.path, kernel, directory.path + "/agent");
  REQUIRE(first);
  const auto bytes = sys::read_file(*first);
  REQUIRE(sys::remove_file(*first));
  const auto second = make_initramfs(directory.path, kernel, directory.path + "/agent");
  REQUIRE(second);
  CHECK(*second == *first);
  CHECK(sys::read_file(*second).value_or("") == bytes.value_or("x"));
  REQUIRE(sys::write_file(*second, "cached"));
  REQUIRE(make_initramfs(directory.path, kernel, directory.path + "/agent"));
  CHECK(sys::read_file(*second).value_or("") == "cached");
  CHECK(sys::list_directory(directory.path + "/initramfs")->size() == 1);
}

TEST_CASE("another agent or another module gives another file") {
  const Directory directory;
  const Kernel kernel = kernel_in(directory);
  const auto first = make_initramfs(directory.path, kernel, directory.path + "/agent");
  directory.write("agent", "a newer agent");
  const auto second = make_initramfs(directory.path, kernel, directory.path + "/agent");
  directory.write("modules/kernel/drivers/virtio/virtio.ko", "newer");
  const auto third = make_initramfs(directory.path, kernel, directory.path + "/agent");
  REQUIRE(first);
  REQUIRE(second);
  REQUIRE(third);
  CHECK(*first != *second);
  CHECK(*second != *third);
}

TEST_CASE("a kernel with everything built in needs no modules") {
  const Directory directory;
  directory.write("agent", "the agent");
  const auto path = make_initramfs(directory.path, Kernel{}, directory.path + "/agent");
  REQUIRE(path);
  CHECK(members(*path).size() == 9);
}

TEST_CASE("of a kernel with everything built in, what modprobe reads comes along") {
  const Directory directory;
  directory.write("agent", "the agent");
  directory.write("modules/modules.dep", "");
  directory.write("modules/modules.builtin", "kernel/fs/overlayfs/overlay.ko\n");
  directory.write("modules/kernel/other", "");
  Kernel kernel;
  kernel.modules = directory.path + "/modules";
  const auto first = make_initramfs(directory.path, kernel, directory.path + "/agent");
  REQUIRE(first);
  const auto found = members(*first);
  REQUIRE(found.size() == 12);
  CHECK(found[3].name == "kernel-metadata");
  CHECK(found[4] == Member{"kernel-metadata/modules.builtin", S_IFREG | 0644,
                           "kernel/fs/overlayfs/overlay.ko\n"});
  CHECK(found[5] == Member{"kernel-metadata/modules.dep", S_IFREG | 0644, ""});
  directory.write("modules/modules.builtin", "kernel/fs/fuse/fuse.ko\n");
  const auto second = make_initramfs(directory.path, kernel, directory.path + "/agent");
  REQUIRE(second);
  CHECK(*first != *second);
}

TEST_CASE("a missing agent or module is named") {
  const Directory directory;
  const Kernel kernel = kernel_in(directory);
  const auto no_agent = make_initramfs(directory.path, kernel, directory.path + "/none");
  REQUIRE_FALSE(no_agent);
  CHECK(no_agent.error().what.find("/none") != std::string::npos);
  std::filesystem::remove(directory.path + "/modules/kernel/drivers/virtio/virtio.ko");
  const auto no_module = make_initramfs(directory.path, kernel, directory.path + "/agent");
  REQUIRE_FALSE(no_module);
  CHECK(no_module.error().what.find("virtio.ko") != std::string::npos);
}

}  // namespace
}  // namespace mvr::image
