#include "fixture.h"
#include "image/kernel_package.h"

namespace mvr::image {
namespace {

using Names = std::vector<std::string>;

// A package as dpkg-deb makes it, with these files.
class FakePackage {
 public:
  FakePackage() {
    put(tree("DEBIAN/control"),
        "Package: linux-image-test\nVersion: 1\nArchitecture: all\nMaintainer: T <t@example.org>\n"
        "Description: test\n");
  }
  FakePackage& with(const std::string& path, const std::string& text) {
    put(tree(path), text);
    return *this;
  }
  // A kernel of this release, without real modules: depmod takes an empty tree.
  FakePackage& kernel(const std::string& release, const std::string& text) {
    with("boot/vmlinuz-" + release, text);
    return with("lib/modules/" + release + "/modules.order", "");
  }
  std::string build() {
    std::string path = directory_ / "package.deb";
    output_of({"dpkg-deb", "--root-owner-group", "-b", directory_ / "tree", path});
    return path;
  }

 private:
  std::string tree(const std::string& path) { return directory_ / ("tree/" + path); }
  TempDir directory_;
};

Names names_of(const std::vector<Kernel>& kernels) {
  Names names;
  for (const Kernel& kernel : kernels) names.push_back(kernel.name);
  return names;
}

Result<Kernel> install(const KernelStore& store, FakePackage& package) {
  return store.install({package.build()}, nullptr);
}

TEST_CASE("an installed kernel is found by its release and as the default") {
  const TempDir state;
  const KernelStore store(state.path());
  FakePackage package;
  const auto made = install(store, package.kernel("6.1.0-9-cloud-amd64", "kernel"));
  INFO(error_of(made));
  REQUIRE(made);
  CHECK(made->name == "6.1.0-9-cloud-amd64");
  CHECK(made->source == "package.deb");
  CHECK(made->digest.size() == 71);
  CHECK(get(made->path) == "kernel");
  CHECK(sys::exists(made->modules + "/modules.dep"));
  CHECK(store.find("6.1.0-9-cloud-amd64")->path == made->path);
  CHECK(store.find("default")->name == made->name);
}

TEST_CASE("the newest release is the default, by number and not by text") {
  const TempDir state;
  const KernelStore store(state.path());
  for (const char* release :
       {"6.1.0-9-amd64", "6.1.0-39-amd64", "6.1.0-10-amd64", "5.10.0-40-amd64"}) {
    FakePackage package;
    REQUIRE(install(store, package.kernel(release, "kernel")));
  }
  CHECK(names_of(store.list().value()) ==
        Names{"6.1.0-39-amd64", "6.1.0-10-amd64", "6.1.0-9-amd64", "5.10.0-40-amd64"});
  CHECK(store.find("default")->name == "6.1.0-39-amd64");
}

TEST_CASE("modules below /usr are found as well") {
  const TempDir state;
  const KernelStore store(state.path());
  FakePackage package;
  package.with("boot/vmlinuz-6.12.48+deb13-amd64", "kernel")
      .with("usr/lib/modules/6.12.48+deb13-amd64/modules.order", "");
  const auto made = install(store, package);
  INFO(error_of(made));
  REQUIRE(made);
  CHECK(sys::exists(made->modules + "/modules.dep"));
}

TEST_CASE("a kernel without modules has no module directory") {
  const TempDir state;
  const KernelStore store(state.path());
  FakePackage package;
  const auto made = install(store, package.with("boot/vmlinuz-6.1.0-own", "kernel"));
  REQUIRE(made);
  CHECK(made->modules.empty());
  CHECK(store.find("default")->modules.empty());
}

TEST_CASE("installing a release again replaces it") {
  const TempDir state;
  const KernelStore store(state.path());
  FakePackage first;
  FakePackage second;
  const auto old = install(store, first.kernel("6.1.0-9-amd64", "old"));
  const auto made = install(store, second.kernel("6.1.0-9-amd64", "new"));
  REQUIRE(made);
  CHECK(get(made->path) == "new");
  CHECK(made->digest != old->digest);
  CHECK(names_in(state / "kernels") == Names{"6.1.0-9-amd64"});
}

TEST_CASE("a package that is no kernel's is refused and leaves nothing") {
  const TempDir state;
  const KernelStore store(state.path());
  FakePackage package;
  const auto made = install(store, package.with("usr/share/doc/x", "text"));
  REQUIRE_FALSE(made);
  CHECK(made.error().code == Errc::invalid);
  CHECK(contains(made.error().what, "holds no kernel"));
  CHECK(names_in(state / "kernels").empty());
}

TEST_CASE("modules from a package beside are taken too") {
  const TempDir state;
  FakePackage image;
  FakePackage modules;
  image.with("boot/vmlinuz-6.8.0-45-generic", "kernel");
  modules.with("lib/modules/6.8.0-45-generic/modules.order", "");
  const auto made = KernelStore(state.path()).install({image.build(), modules.build()}, nullptr);
  INFO(error_of(made));
  REQUIRE(made);
  CHECK(made->source == "package.deb package.deb");
  CHECK(sys::exists(made->modules + "/modules.dep"));
}

TEST_CASE("two kernels in one package are refused") {
  const TempDir state;
  FakePackage package;
  package.kernel("6.1.0-1-amd64", "a").kernel("6.1.0-2-amd64", "b");
  CHECK(install(KernelStore(state.path()), package).error().code == Errc::invalid);
}

TEST_CASE("a file that is no package is refused with what dpkg says") {
  const TempDir state;
  put(state / "bad.deb", "not an archive");
  const auto made = KernelStore(state.path()).install({state / "bad.deb"}, nullptr);
  REQUIRE_FALSE(made);
  CHECK(contains(made.error().what, "bad.deb"));
  CHECK(contains(made.error().what, "dpkg-deb"));
  CHECK(names_in(state / "kernels").empty());
}

TEST_CASE("a package that is not there is not found") {
  const TempDir state;
  const auto made = KernelStore(state.path()).install({state / "none.deb"}, nullptr);
  CHECK(made.error().code == Errc::not_found);
}

TEST_CASE("an empty store says how to install a kernel") {
  const TempDir state;
  const KernelStore store(state.path());
  CHECK(store.list().value().empty());
  CHECK(store.find("default").error().code == Errc::not_found);
  CHECK(contains(store.find("default").error().what, "mvrunner kernel install"));
  CHECK(store.find("6.1.0-1-amd64").error().code == Errc::not_found);
}

TEST_CASE("a name that is no release is not looked up") {
  const TempDir state;
  put(state / "secret/kernel.json", "{}");
  for (const char* name : {"", "..", "../secret", ".work-1-0", "a/b"}) {
    CHECK(KernelStore(state.path()).find(name).error().code == Errc::not_found);
    CHECK(KernelStore(state.path()).remove(name).error().code == Errc::not_found);
  }
  CHECK(sys::exists(state / "secret/kernel.json"));
}

TEST_CASE("a damaged record is left out of the list and explained by find") {
  const TempDir state;
  const KernelStore store(state.path());
  FakePackage package;
  REQUIRE(install(store, package.kernel("6.1.0-9-amd64", "kernel")));
  const std::string record = state / "kernels/6.1.0-9-amd64/kernel.json";
  const std::string text =
      GENERATE(as<std::string>{}, "", "[]", "{\"schema\":1}", "{\"schema\":2,\"name\":\"x\"}",
               "{\"schema\":1,\"name\":\"6.1.0-8-amd64\",\"digest\":\"\",\"source\":\"\","
               "\"modules\":true}",
               "{\"schema\":1,\"name\":\"6.1.0-9-amd64\",\"digest\":\"\",\"source\":\"\","
               "\"modules\":1}");
  REQUIRE(::unlink(record.c_str()) == 0);
  put(record, text);
  CHECK(store.list().value().empty());
  CHECK(store.find("6.1.0-9-amd64").error().code == Errc::invalid);
}

TEST_CASE("a removed kernel leaves nothing") {
  const TempDir state;
  const KernelStore store(state.path());
  FakePackage package;
  REQUIRE(install(store, package.kernel("6.1.0-9-amd64", "kernel")));
  REQUIRE(store.remove("6.1.0-9-amd64"));
  CHECK(names_in(state / "kernels").empty());
  CHECK(store.remove("6.1.0-9-amd64").error().code == Errc::not_found);
}

TEST_CASE("each distribution has its package for virtual machines") {
  CHECK(newest_kernel_package("PRETTY_NAME=\"Debian\"\nID=debian\n", "amd64").value() ==
        "linux-image-cloud-amd64");
  CHECK(newest_kernel_package("ID=debian", "arm64").value() == "linux-image-cloud-arm64");
  CHECK(newest_kernel_package("ID=ubuntu\nID_LIKE=debian\n", "amd64").value() ==
        "linux-image-virtual");
  CHECK(newest_kernel_package("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "amd64").value() ==
        "linux-image-virtual");
}

TEST_CASE("an unknown distribution or machine is told to give a package") {
  for (const auto& result :
       {newest_kernel_package("ID=fedora\n", "amd64"), newest_kernel_package("", "amd64"),
        newest_kernel_package("ID=debian", "riscv64")}) {
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Errc::unsupported);
    CHECK(contains(result.error().what, "--deb FILE"));
  }
}

TEST_CASE("the concrete packages are read from apt's answer") {
  const std::string_view answer =
      "linux-image-6.8.0-45-generic\n"
      "  Depends: kmod\n"
      " |Depends: linux-image-1-alternative\n"
      "  Depends: <linux-image-virtual>\n"
      "  Depends: linux-modules-6.8.0-45-generic\n"
      "  Depends: linux-modules-extra-6.8.0-45-generic\n"
      "  Recommends: linux-modules-9.9.9\n";
  CHECK(kernel_dependencies(answer, "linux-modules-") == Names{"linux-modules-6.8.0-45-generic"});
  CHECK(kernel_dependencies(answer, "linux-image-").empty());
  CHECK(
      kernel_dependencies("linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n",
                          "linux-image-") == Names{"linux-image-6.1.0-56-cloud-amd64"});
}

TEST_CASE("releases compare digits as numbers") {
  CHECK(is_older_release("6.1.0-9-amd64", "6.1.0-39-amd64"));
  CHECK_FALSE(is_older_release("6.1.0-39-amd64", "6.1.0-9-amd64"));
  CHECK(is_older_release("5.19.0", "6.1.0"));
  CHECK(is_older_release("6.1", "6.1.1"));
  CHECK(is_older_release("6.1.0-a", "6.1.0-b"));
  CHECK_FALSE(is_older_release("6.1.0", "6.1.0"));
  CHECK_FALSE(is_older_release("6.01.0", "6.1.0"));
}

}  // namespace
}  // namespace mvr::image
