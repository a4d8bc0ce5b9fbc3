#include "fixture.h"

namespace mvr::image {
namespace {

void make_release(const std::string& tree, mode_t mode = 0755) {
  put(tree + "/bin/Runner.Listener", "#!/bin/sh\n", mode);
  put(tree + "/config.sh", "#!/bin/sh\n", 0755);
}

void pack(const std::string& tree, const std::string& tarball) {
  output_of({"tar", "--format=posix", "-C", tree, "-czf", tarball, "."});
}

TEST_CASE("a runner tarball becomes a drive that root owns, with the version of its name") {
  const TempDir dir;
  make_release(dir / "tree");
  if (::geteuid() == 0) output_of({"chown", "-R", "1234:1234", dir / "tree"});
  const std::string tarball = dir / "actions-runner-linux-x64-2.336.0.tar.gz";
  pack(dir / "tree", tarball);
  const RunnerStore store(dir / "state");
  const auto installed = store.install("2.336.0", tarball);
  INFO(error_of(installed));
  REQUIRE(installed.has_value());
  CHECK(installed->labels.at("version") == "2.336.0");
  CHECK(installed->architecture == "amd64");
  CHECK(installed->source == tarball);
  const auto unpacked = store.install("unpacked", dir / "tree");
  INFO(error_of(unpacked));
  REQUIRE(unpacked.has_value());
  CHECK(unpacked->digest == installed->digest);
  const auto found = store.find("2.336.0");
  REQUIRE(found.has_value());
  CHECK(manifest_json(*found) == manifest_json(*installed));
  const std::string listener = debugfs(store.drive_path("2.336.0"), "stat /bin/Runner.Listener");
  CHECK(contains(listener, "Mode:  0755"));
  if (::geteuid() == 0) CHECK(contains(listener, "User:     0"));
  CHECK(names_in(dir / "state/runners") == std::vector<std::string>{"2.336.0", "unpacked"});
}

TEST_CASE("an unpacked runner directory is installed and left as it was") {
  const TempDir dir;
  make_release(dir / "runner");
  const RunnerStore store(dir / "state");
  const auto installed = store.install("dev", dir / "runner");
  INFO(error_of(installed));
  REQUIRE(installed.has_value());
  CHECK(installed->labels.empty());
  CHECK(contains(debugfs(store.drive_path("dev"), "ls -p /bin"), "Runner.Listener"));
  CHECK(names_in(dir / "runner") == std::vector<std::string>{"bin", "config.sh"});
}

TEST_CASE("what tar is told by the environment does not change a drive") {
  const TempDir dir;
  make_release(dir / "runner");
  const RunnerStore store(dir / "state");
  ::setenv("TAR_OPTIONS", "--exclude=config.sh", 1);
  const auto installed = store.install("dev", dir / "runner");
  ::unsetenv("TAR_OPTIONS");
  INFO(error_of(installed));
  REQUIRE(installed.has_value());
  CHECK(contains(debugfs(store.drive_path("dev"), "ls -p /"), "config.sh"));
}

TEST_CASE("installing again under a name replaces it, also while a VM holds the old one") {
  const TempDir dir;
  make_release(dir / "runner");
  const RunnerStore store(dir / "state");
  REQUIRE(store.install("dev", dir / "runner").has_value());
  auto pin = store.pin("dev");
  REQUIRE(pin.has_value());
  put(dir / "runner/new", "x");
  REQUIRE(store.install("dev", dir / "runner").has_value());
  CHECK(contains(debugfs(store.drive_path("dev"), "ls -p /"), "/new/"));
  *pin = Fd();
  REQUIRE(store.remove("dev").has_value());
  CHECK(store.list()->empty());
}

TEST_CASE("what has no Runner.Listener is not a runner release") {
  const TempDir dir;
  put(dir / "other/readme", "x");
  pack(dir / "other", dir / "other.tar.gz");
  const RunnerStore store(dir / "state");
  CHECK(contains(error_of(store.install("x", dir / "other")), "bin/Runner.Listener"));
  CHECK(contains(error_of(store.install("x", dir / "other.tar.gz")), "bin/Runner.Listener"));
  CHECK(contains(error_of(store.install("x", dir / "absent")), "absent"));
  CHECK(names_in(dir / "state/runners").empty());
}

TEST_CASE("a runner that jobs could not execute is refused with the remedy") {
  const TempDir dir;
  make_release(dir / "runner", 0700);
  CHECK(
      contains(error_of(RunnerStore(dir / "state").install("x", dir / "runner")), "chmod -R a+rX"));
}

TEST_CASE("a hostile runner tarball writes nothing outside and leaves nothing behind") {
  const TempDir dir;
  make_release(dir / "tree");
  put(dir / "tree/evil", "x");
  output_of({"tar", "-C", dir / "tree", "--transform", "s,^./evil,../../../evil,", "-P", "-czf",
             dir / "evil.tar.gz", "."});
  CHECK(contains(error_of(RunnerStore(dir / "state").install("x", dir / "evil.tar.gz")), ".."));
  CHECK(names_in(dir / "state/runners").empty());
  CHECK_FALSE(sys::exists(dir / "evil"));
  CHECK_FALSE(sys::exists(dir / "state/evil"));
}

TEST_CASE("a missing runner release is named together with the way to install it") {
  const TempDir dir;
  const std::string text = error_of(RunnerStore(dir.path()).find("current"));
  CHECK(contains(text, "not_found: runner release \"current\""));
  CHECK(contains(text, "mvrunner runner update"));
  CHECK(contains(text, "mvrunner runner install"));
}

TEST_CASE("a release for another machine is refused") {
  const TempDir dir;
  make_release(dir / "tree");
  const std::string tarball = dir / "actions-runner-linux-arm64-2.336.0.tar.gz";
  pack(dir / "tree", tarball);
  const auto installed = RunnerStore(dir / "state").install("x", tarball);
#if defined(__x86_64__)
  CHECK(contains(error_of(installed), "is for arm64"));
#else
  CHECK(installed.has_value());
#endif
}

// A release that an update made.
Result<Manifest> updated(const TempDir& dir, const std::string& version) {
  make_release(dir / "tree");
  put(dir / "tree/version", version);
  const std::string tarball = dir / ("actions-runner-linux-x64-" + version + ".tar.gz");
  pack(dir / "tree", tarball);
  return RunnerStore(dir / "state").install({version, tarball, "https://a/b", "ab12", true});
}

TEST_CASE("current and previous follow what was made current, and rollback changes the two") {
  const TempDir dir;
  const RunnerStore store(dir / "state");
  CHECK_FALSE(store.roll_back());
  for (const char* version : {"2.1.0", "2.2.0"}) {
    REQUIRE(updated(dir, version));
    REQUIRE(store.make_current(version));
  }
  REQUIRE(store.make_current("2.2.0"));  // once more is no change
  CHECK(*store.use() == RunnerUse{"2.2.0", "2.1.0", ""});
  CHECK(store.find("current")->name == "2.2.0");
  CHECK(store.find("current")->labels.at("sha256") == "ab12");
  CHECK(store.find("current")->source == "https://a/b");
  CHECK(store.find("previous")->name == "2.1.0");
  CHECK(*store.roll_back() == RunnerUse{"2.1.0", "2.2.0", "2.2.0"});
  CHECK(store.find("current")->name == "2.1.0");
  REQUIRE(store.make_current("2.2.0"));
  CHECK(*store.use() == RunnerUse{"2.2.0", "2.1.0", ""});
  CHECK_FALSE(store.make_current("2.3.0"));
  CHECK_FALSE(store.make_current("current2"));
}

TEST_CASE("what is current stays, and what was before may go") {
  const TempDir dir;
  const RunnerStore store(dir / "state");
  for (const char* version : {"2.1.0", "2.2.0"}) {
    REQUIRE(updated(dir, version));
    REQUIRE(store.make_current(version));
  }
  CHECK(store.remove("current").error().code == Errc::busy);
  CHECK(store.remove("2.2.0").error().code == Errc::busy);
  CHECK(store.remove("previous"));
  CHECK(*store.use() == RunnerUse{"2.2.0", "", ""});
  CHECK_FALSE(store.find("2.1.0"));
}

TEST_CASE("an update takes away what updates made and nobody uses") {
  const TempDir dir;
  const RunnerStore store(dir / "state");
  make_release(dir / "runner");
  REQUIRE(store.install("mine", dir / "runner"));
  for (const char* version : {"2.1.0", "2.2.0", "2.3.0", "2.4.0", "2.5.0"}) {
    REQUIRE(updated(dir, version));
    REQUIRE(store.make_current(version));
  }
  const auto used = store.pin("2.2.0");
  CHECK(*store.prune("2.1.0") == std::vector<std::string>{"2.3.0"});
  CHECK(store.list()->size() == 5);  // mine, 2.1.0 by the configuration, 2.2.0 by a VM, the two
}

TEST_CASE("what is installed as current has its version for a name, or one made of its digest") {
  const TempDir dir;
  const RunnerStore store(dir / "state");
  make_release(dir / "runner");
  const auto plain = store.install("current", dir / "runner");
  REQUIRE(plain.has_value());
  CHECK(plain->name == "unversioned-" + plain->digest.substr(7, 12));
  pack(dir / "runner", dir / "actions-runner-linux-x64-2.6.0.tar.gz");
  REQUIRE(store.install("current", dir / "actions-runner-linux-x64-2.6.0.tar.gz"));
  CHECK(*store.use() == RunnerUse{"2.6.0", plain->name, ""});
  CHECK(contains(error_of(store.install("previous", dir / "runner")), "another name"));
}

TEST_CASE("which release is in use is not guessed where the record is broken") {
  const TempDir dir;
  put(dir / "state/runners/.in-use.json", "{");
  const RunnerStore store(dir / "state");
  CHECK(contains(error_of(store.find("current")), "is broken"));
  const auto lock = RunnerStore(dir / "state").lock();
  REQUIRE(lock);
  CHECK(store.lock().error().code == Errc::busy);
}

}  // namespace
}  // namespace mvr::image
