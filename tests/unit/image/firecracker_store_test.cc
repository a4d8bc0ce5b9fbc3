#include "image/firecracker_store.h"

#include "fixture.h"
#include "tar_maker.h"

namespace mvr::image {
namespace {

const std::string kFolder = "release-v1.16.1-x86_64/";

// As a release has them, and what is beside them.
std::vector<TarEntry> release(const std::string& text) {
  return {tar_directory(kFolder),
          tar_file(kFolder + "firecracker-v1.16.1-x86_64.debug", "no program"),
          tar_file(kFolder + "firecracker_spec-v1.16.1.yaml", "no program"),
          tar_file(kFolder + "firecracker-v1.16.1-x86_64", "firecracker " + text, 0755),
          tar_file(kFolder + "jailer-v1.16.1-x86_64", "jailer " + text, 0755),
          tar_file(kFolder + "SHA256SUMS", "none")};
}

struct Bench {
  TempDir directory;
  FirecrackerStore store{directory / "state"};
  std::string root = directory / "state/firecracker";

  Result<UnpackedFirecracker> unpack(const std::vector<TarEntry>& entries) {
    make_tar(directory / "release.tgz", entries, ARCHIVE_FILTER_GZIP);
    return store.unpack(directory / "release.tgz");
  }
  void install(const std::string& version, const std::string& text = "") {
    const auto unpacked = unpack(release(text));
    INFO(error_of(unpacked));
    REQUIRE(unpacked);
    REQUIRE(store.publish(*unpacked, version));
  }
  [[nodiscard]] std::vector<std::string> versions() const {
    std::vector<std::string> all;
    const auto listed = store.list();
    REQUIRE(listed);
    for (const auto& each : *listed) all.push_back(each.version + (each.is_current ? "*" : ""));
    return all;
  }
};

using Versions = std::vector<std::string>;

TEST_CASE("a release's two programs are taken, and are current") {
  Bench bench;
  CHECK(bench.versions().empty());
  CHECK(bench.store.program("firecracker").empty());
  bench.install("1.16.1");
  CHECK(bench.versions() == Versions{"1.16.1*"});
  const std::string program = bench.store.program("firecracker");
  CHECK(get(program) == "firecracker ");
  CHECK(get(bench.store.program("jailer")) == "jailer ");
  struct stat facts {};
  REQUIRE(::stat(program.c_str(), &facts) == 0);
  CHECK((facts.st_mode & 07777U) == 0755);
  CHECK(names_in(bench.root) == Versions{"1.16.1", "current"});
  CHECK(names_in(bench.root + "/1.16.1") == Versions{"firecracker", "jailer"});
  // What has a directory in its name, or is another program, is not ours.
  CHECK(bench.store.program("/usr/bin/firecracker").empty());
  CHECK(bench.store.program("../1.16.1/firecracker").empty());
}

TEST_CASE("the newest install is current, and the same version is replaced") {
  Bench bench;
  bench.install("1.16.1", "old");
  bench.install("1.9.10");
  CHECK(bench.versions() == Versions{"1.16.1", "1.9.10*"});
  bench.install("1.16.1", "new");
  CHECK(bench.versions() == Versions{"1.16.1*", "1.9.10"});
  CHECK(get(bench.store.program("firecracker")) == "firecracker new");
  CHECK(names_in(bench.root) == Versions{"1.16.1", "1.9.10", "current"});
}

TEST_CASE("a release that is not current can be removed") {
  Bench bench;
  bench.install("1.15.0");
  bench.install("1.16.1");
  CHECK(bench.store.remove("1.16.1").error().code == Errc::busy);
  CHECK(bench.store.remove("1.14.0").error().code == Errc::not_found);
  CHECK(bench.store.remove("current").error().code == Errc::not_found);
  CHECK(bench.store.remove("..").error().code == Errc::not_found);
  REQUIRE(bench.store.remove("1.15.0"));
  CHECK(names_in(bench.root) == Versions{"1.16.1", "current"});
}

TEST_CASE("what is no release is refused, and all stays as it was") {
  Bench bench;
  bench.install("1.16.1");
  auto without_jailer = release("");
  without_jailer.erase(without_jailer.begin() + 4);
  const auto refused = bench.unpack(without_jailer);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::not_found);
  CHECK(refused.error().what.find("has no jailer") != std::string::npos);
  // A link leads nowhere outside.
  auto with_link = release("");
  with_link[4] = tar_symlink(kFolder + "jailer-v1.16.1-x86_64", "/etc/passwd");
  CHECK_FALSE(bench.unpack(with_link));
  CHECK_FALSE(bench.store.unpack("/etc/passwd"));
  const auto unpacked = bench.unpack(release("other"));
  REQUIRE(unpacked);
  for (const char* version : {"", "1.16", "1.16.1-dev", "../1.16.1", "current"}) {
    CHECK(bench.store.publish(*unpacked, version).error().code == Errc::invalid);
  }
  CHECK(bench.versions() == Versions{"1.16.1*"});
  CHECK(get(bench.store.program("firecracker")) == "firecracker ");
}

}  // namespace
}  // namespace mvr::image
