// Which files are taken for kernels, and kernels that were built.
#include "image/kernel_image.h"

#include "fixture.h"
#include "vmlinux.h"

namespace mvr::image {
namespace {

Result<void> check(const std::string& bytes) {
  const TempDir directory;
  put(directory / "kernel", bytes);
  return check_kernel_image(directory / "kernel");
}

std::string refusal(const std::string& bytes) {
  const auto checked = check(bytes);
  REQUIRE_FALSE(checked);
  CHECK(checked.error().code == Errc::invalid);
  return checked.error().what;
}

TEST_CASE("a vmlinux with a PVH entry is a kernel") { CHECK(check(bootable())); }

TEST_CASE("so are a bzImage and an arm64 Image, by their magic numbers") {
  const auto zeros_with = [](std::size_t at, const std::string& magic) {
    return std::string(1024, '\0').replace(at, magic.size(), magic);
  };
  CHECK(check(zeros_with(0x202, "HdrS")));
  CHECK(check(zeros_with(0x38, "ARM\x64")));
  CHECK(refusal(zeros_with(0, "")).find("is no kernel") != std::string::npos);
  CHECK(refusal("").find("is no kernel") != std::string::npos);
}

TEST_CASE("a vmlinux without the entry is refused with the remedy") {
  for (const std::string& notes : {note(kGnu, 18, "12345678"), note(kXen, 17, "12345678"),
                                   std::string(), std::string(7, '\xff')}) {
    CHECK(refusal(vmlinux(notes)).find("CONFIG_PVH=y") != std::string::npos);
  }
}

TEST_CASE("a program is no kernel, and one for another machine is none either") {
  std::string other = bootable();
  set(other, offsetof(Elf64_Ehdr, e_machine), Elf64_Half{EM_AARCH64});
  CHECK(refusal(other).find("no kernel for x86-64") != std::string::npos);
  CHECK(refusal(get("/proc/self/exe")).find("PVH") != std::string::npos);
}

TEST_CASE("a vmlinux cut at any length is refused, and lengths in it that lie are not believed") {
  const std::string whole = bootable();
  for (std::size_t size = 0; size < whole.size(); size += size < 256 ? 1 : 61) {
    CHECK_FALSE(check(whole.substr(0, size)));
  }
  for (const std::size_t at : {offsetof(Elf64_Ehdr, e_phoff), sizeof(Elf64_Ehdr) + 56 + 8,
                               sizeof(Elf64_Ehdr) + 56 + 32, kNotesAt, kNotesAt + 4}) {
    std::string lying = whole;
    set(lying, at, std::uint32_t{0xffffffff});
    CHECK_FALSE(check(lying));
  }
}

// What kernel/build leaves.
void put_built(const std::string& directory, const std::string& release) {
  put(directory + "/vmlinux", bootable());
  put(directory + "/release", release + "\n");
  put(directory + "/modules.builtin", "kernel/fs/overlayfs/overlay.ko\n");
  put(directory + "/modules.builtin.modinfo", std::string("overlay.license=GPL\0", 20));
  put(directory + "/modules.order", "");
}

TEST_CASE("a kernel that was built is installed with modprobe's lists, indexed") {
  const TempDir directory;
  put_built(directory / "out", "6.1.192-mvrunner");
  const KernelStore store(directory / "state");
  const auto made = store.install_built(directory / "out", nullptr);
  INFO(error_of(made));
  REQUIRE(made);
  CHECK(made->name == "6.1.192-mvrunner");
  CHECK(made->source == directory / "out");
  CHECK(get(made->path) == bootable());
  CHECK(get(made->modules + "/modules.builtin") == "kernel/fs/overlayfs/overlay.ko\n");
  CHECK(get(made->modules + "/modules.dep").empty());
  CHECK(sys::exists(made->modules + "/modules.builtin.bin"));
  CHECK(store.find("default")->name == made->name);
  // What was given stays as it was.
  CHECK(names_in(directory / "out").size() == 5);
}

TEST_CASE("what is no built kernel is refused, and the store is as before") {
  const TempDir directory;
  const KernelStore store(directory / "state");
  put_built(directory / "out", "6.1.192-mvrunner");
  const auto refused = [&] { return error_of(store.install_built(directory / "out", nullptr)); };
  put(directory / "out/release", "../../etc\n");
  CHECK(refused().find("is no kernel release") != std::string::npos);
  put(directory / "out/release", "6.1.192-mvrunner\n");
  put(directory / "out/vmlinux", "text");
  CHECK(refused().find("is no kernel") != std::string::npos);
  std::filesystem::remove(directory / "out/vmlinux");
  CHECK(refused().find("kernel/build") != std::string::npos);
  put_built(directory / "out", "6.1.192-mvrunner");
  std::filesystem::remove(directory / "out/modules.builtin");
  CHECK(refused().find("modules.builtin") != std::string::npos);
  CHECK(store.list()->empty());
  CHECK(store.install_built(directory / "none", nullptr).error().code == Errc::not_found);
}

}  // namespace
}  // namespace mvr::image
