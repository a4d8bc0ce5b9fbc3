#include "image/build.h"

#include "fixture.h"
#include "image/archives.h"
#include "image/builder.h"

namespace mvr::image {
namespace {

bool is_root() { return ::geteuid() == 0; }

// The strict stand-in for docker of tests/fakes: it builds whatever lies in <dir>/root. A file
// named fail-VERB makes that verb fail.
class FakeDocker {
 public:
  FakeDocker() {
    std::filesystem::create_directories(dir_ / "bin");
    std::filesystem::create_symlink(MVR_SOURCE_DIR "/tests/fakes/docker/docker",
                                    dir_ / "bin/docker");
    put(dir_ / "inspect",
        R"([{"Architecture":"amd64","Config":{"Env":["A=1"],"User":"runner","Cmd":["/bin/sh"]}}])");
    put(dir_ / "context/Dockerfile", "FROM scratch AS final\n");
    put(dir_ / "root/bin/tool", "tool", 04755);
    ::setenv("FAKE_DOCKER", dir_.path().c_str(), 1);
  }
  FakeDocker(const FakeDocker&) = delete;
  FakeDocker& operator=(const FakeDocker&) = delete;
  FakeDocker(FakeDocker&&) = delete;
  FakeDocker& operator=(FakeDocker&&) = delete;
  ~FakeDocker() { ::unsetenv("FAKE_DOCKER"); }

  void fail(const std::string& verb) const { put(dir_ / ("fail-" + verb), ""); }
  // One JSON list a line.
  [[nodiscard]] std::string calls() const { return get(dir_ / "calls"); }
  void forget_calls() const { std::filesystem::remove(dir_ / "calls"); }
  [[nodiscard]] std::string state() const { return dir_ / "state"; }
  [[nodiscard]] ImageStore store() const { return ImageStore(state()); }
  [[nodiscard]] BuildOptions options(const std::string& name = "web") const {
    BuildOptions options;
    options.name = name;
    options.context = dir_ / "context";
    options.builder = "docker";
    options.build_args = {{"VERSION", "1 2"}};
    options.target = "final";
    return options;
  }
  [[nodiscard]] Result<Built> build(const std::string& name = "web") const {
    return build_image(store(), options(name));
  }
  [[nodiscard]] std::string work_left() const {
    std::string left;
    if (!sys::exists(state() + "/images")) return left;
    for (const std::string& name : names_in(state() + "/images")) {
      if (name.front() == '.') left += name + " ";
    }
    return left;
  }
  TempDir dir_;  // public for the tests' own changes

 private:
  PathIs path_{(dir_ / "bin") + ":/usr/sbin:/usr/bin:/sbin:/bin"};
};

TEST_CASE("docker's tree becomes an image with its config, and nothing else stays") {
  if (!is_root()) return skip("needs root");
  const FakeDocker docker;
  const auto built = docker.build();
  INFO(error_of(built));
  REQUIRE(built.has_value());
  CHECK_FALSE(built->is_unchanged);
  const Manifest& manifest = built->manifest;
  CHECK(manifest.builder == "docker 26.1.5");
  CHECK(manifest.env == std::vector<std::string>{"A=1"});
  CHECK(manifest.user == "runner");
  CHECK(manifest.command == std::vector<std::string>{"/bin/sh"});
  const std::string rootfs = docker.store().pin(manifest.id)->path;
  CHECK(contains(debugfs(rootfs, "stat /bin/tool"), "Mode:  04755"));
  CHECK(contains(debugfs(rootfs, "ls -p /"), "/proc/"));
  CHECK(docker.work_left().empty());
  // The tag is its publisher's business.
  CHECK_FALSE(docker.store().find("web").has_value());
}

TEST_CASE("the digest is that of the tree, whichever way the tree came") {
  if (!is_root()) return skip("needs root");
  const FakeDocker docker;
  const auto built = docker.build();
  INFO(error_of(built));
  REQUIRE(built.has_value());
  const std::string tarball = docker.dir_ / "root.tar";
  output_of({"tar", "--format=posix", "-C", docker.dir_ / "root", "-cf", tarball, "."});
  ImportOptions options;
  options.name = "same";
  options.source = tarball;
  options.work = docker.dir_ / "work";
  std::filesystem::create_directory(options.work);
  const auto imported = import_image(options);
  INFO(error_of(imported));
  REQUIRE(imported.has_value());
  CHECK(imported->digest == built->manifest.digest);
}

TEST_CASE("a client without buildx builds too") {
  if (!is_root()) return skip("needs root");
  const FakeDocker docker;
  put(docker.dir_ / "no-buildx", "");
  const auto built = docker.build();
  INFO(error_of(built));
  CHECK(built.has_value());
}

TEST_CASE("build arguments, target and tag reach the builder as they were given") {
  if (!is_root()) return skip("needs root");
  const FakeDocker docker;
  REQUIRE(docker.build("web-1.x").has_value());
  CHECK(contains(docker.calls(), R"("--target", "final")"));
  CHECK(contains(docker.calls(), R"("--build-arg", "VERSION=1 2")"));
  CHECK(contains(docker.calls(), R"("--tag", "localhost/mvrunner:web-1.x")"));
  CHECK_FALSE(contains(docker.calls(), "--no-cache"));
}

TEST_CASE("a secret is named to the builder, its value is nowhere") {
  if (!is_root()) return skip("needs root");
  const FakeDocker docker;
  ::setenv("MVR_TEST_SECRET", "xyzzy-value", 1);
  BuildOptions options = docker.options();
  options.secrets = {"id=token,env=MVR_TEST_SECRET"};
  std::string said;
  options.progress = [&](const std::string& line) { said += line; };
  options.output = options.progress;
  const auto built = build_image(docker.store(), options);
  ::unsetenv("MVR_TEST_SECRET");
  REQUIRE(built.has_value());
  CHECK(contains(docker.calls(), "id=token,env=MVR_TEST_SECRET"));
  for (const std::string& text : {docker.calls(), said, manifest_json(built->manifest)}) {
    CHECK_FALSE(contains(text, "xyzzy-value"));
  }
}

TEST_CASE("an unchanged build is found by its key, and the builder does not build") {
  if (!is_root()) return skip("needs root");
  const FakeDocker docker;
  const auto first = docker.build();
  REQUIRE(first.has_value());
  docker.forget_calls();
  const auto second = docker.build("other-name");
  REQUIRE(second.has_value());
  CHECK(second->is_unchanged);
  CHECK(second->manifest.id == first->manifest.id);
  CHECK_FALSE(contains(docker.calls(), "\"build\""));

  BuildOptions options = docker.options();
  options.no_cache = true;
  CHECK_FALSE(build_image(docker.store(), options)->is_unchanged);
  options = docker.options();
  options.build_args["VERSION"] = "2";
  CHECK_FALSE(build_image(docker.store(), options)->is_unchanged);
  put(docker.dir_ / "context/new", "");
  CHECK_FALSE(docker.build()->is_unchanged);
  CHECK(docker.build()->is_unchanged);
  // A file that is ignored changes nothing; the rules themselves do, once.
  put(docker.dir_ / "context/.dockerignore", "*.tmp\n");
  CHECK_FALSE(docker.build()->is_unchanged);
  put(docker.dir_ / "context/x.tmp", "");
  CHECK(docker.build()->is_unchanged);
}

TEST_CASE("what only the builder can see changed is always given to it") {
  if (!is_root()) return skip("needs root");
  const FakeDocker docker;
  for (const char* text : {"FROM scratch AS final\nADD https://example.org/x /x\n",
                           "FROM no-such-base AS final\n", "FROM x${Y%z} AS final\n"}) {
    INFO(text);
    put(docker.dir_ / "context/Dockerfile", text);
    REQUIRE(docker.build().has_value());
    CHECK_FALSE(docker.build()->is_unchanged);
  }
}

TEST_CASE("whatever fails, nothing is left behind") {
  if (!is_root()) return skip("needs root");
  const FakeDocker docker;
  const auto first = docker.build();
  REQUIRE(first.has_value());
  put(docker.dir_ / "context/changed", "");
  for (const char* verb : {"build", "export"}) {
    INFO(verb);
    docker.fail(verb);
    CHECK(contains(error_of(docker.build()), "told to fail"));
    CHECK(docker.store().list()->size() == 1);
    CHECK(docker.work_left().empty());
    std::filesystem::remove(docker.dir_ / (std::string("fail-") + verb));
  }
}

TEST_CASE("an image for another machine is refused before it is unpacked") {
  if (!is_root()) return skip("needs root");
  const FakeDocker docker;
  put(docker.dir_ / "inspect", R"([{"Architecture":"s390x","Config":{}}])");
  CHECK(contains(error_of(docker.build()), "the image is for s390x"));
  CHECK_FALSE(contains(docker.calls(), "--output"));
}

TEST_CASE("a platform that this host does not boot is refused before any builder runs") {
  const FakeDocker docker;
  BuildOptions options = docker.options();
  options.platform = "linux/s390x";
  CHECK(contains(error_of(build_image(docker.store(), options)), "this host boots linux/"));
  CHECK_FALSE(sys::exists(docker.dir_ / "calls"));
}

TEST_CASE("a wrong context, Dockerfile or name is refused before any builder runs") {
  const FakeDocker docker;
  CHECK(contains(error_of(docker.build("No Name")), "image name"));
  BuildOptions options;
  options.name = "web";
  options.context = docker.dir_ / "absent";
  CHECK(contains(error_of(build_image(docker.store(), options)), "not a directory"));
  options.context = docker.dir_ / "root";
  CHECK(contains(error_of(build_image(docker.store(), options)), "no Dockerfile at"));
  options.context = docker.dir_ / "context";
  options.build_args = {{"--privileged", "1"}};
  CHECK(contains(error_of(build_image(docker.store(), options)), "build argument"));
  CHECK_FALSE(sys::exists(docker.dir_ / "calls"));
}

// A buildah whose runtime refuses, as crun does with a cgroup layout it does not know.
TEST_CASE("buildah is run again with chroot isolation when its runtime refuses, once") {
  const TempDir dir;
  put(dir / "buildah",
      "#!/bin/sh\necho \"$*\" >> " + (dir / "calls") +
          "\ncase \"$*\" in *'--isolation chroot'*) echo 'step two failed' >&2;; "
          "*) echo 'error running container: from /usr/bin/crun creating' >&2;; "
          "esac\nexit 1\n",
      0755);
  BuildRequest request;
  request.tag = "t";
  request.dockerfile = "/f";
  request.context = "/c";
  request.id_file = dir / "id";
  std::string said;
  request.progress = [&](const std::string& line) { said += line; };
  const Builder builder{Builder::Kind::buildah, "buildah", dir / "buildah", "1"};
  CHECK(contains(error_of(run_build(builder, request)), "step two failed"));
  CHECK(contains(said, "chroot"));
  CHECK(names_in(dir.path()) == std::vector<std::string>{"buildah", "calls"});
  const std::string calls = get(dir / "calls");
  CHECK(std::count(calls.begin(), calls.end(), '\n') == 2);
}

TEST_CASE("a build step that fails by itself is not run again") {
  const TempDir dir;
  put(dir / "buildah",
      "#!/bin/sh\necho x >> " + (dir / "calls") +
          "\necho 'error building at STEP \"RUN make\": exit status 2' >&2\nexit 2\n",
      0755);
  BuildRequest request;
  request.id_file = dir / "id";
  const Builder builder{Builder::Kind::buildah, "buildah", dir / "buildah", "1"};
  CHECK(contains(error_of(run_build(builder, request)), "RUN make"));
  CHECK(get(dir / "calls") == "x\n");
}

TEST_CASE("a builder that succeeds without naming its image is an error") {
  const TempDir dir;
  put(dir / "buildah", "#!/bin/sh\necho nonsense > " + (dir / "id") + "\n", 0755);
  BuildRequest request;
  request.id_file = dir / "id";
  const Builder builder{Builder::Kind::buildah, "buildah", dir / "buildah", "1"};
  CHECK(contains(error_of(run_build(builder, request)), "no image id"));
}

// The real buildah, with storage of its own.
class RealBuildah {
 public:
  RealBuildah() {
    put(dir_ / "storage.conf", "[storage]\ndriver = \"overlay\"\ngraphroot = \"" + (dir_ / "root") +
                                   "\"\nrunroot = \"" + (dir_ / "run") + "\"\n");
    ::setenv("CONTAINERS_STORAGE_CONF", (dir_ / "storage.conf").c_str(), 1);
  }
  RealBuildah(const RealBuildah&) = delete;
  RealBuildah& operator=(const RealBuildah&) = delete;
  RealBuildah(RealBuildah&&) = delete;
  RealBuildah& operator=(RealBuildah&&) = delete;
  ~RealBuildah() {
    sys::RunOptions options;
    options.argv = {"buildah", "rmi", "--all", "--force"};
    options.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                   "CONTAINERS_STORAGE_CONF=" + (dir_ / "storage.conf")};
    (void)sys::run(options);
    // The storage keeps its own directory mounted.
    options.argv = {"umount", dir_ / "root/overlay"};
    (void)sys::run(options);
    ::unsetenv("CONTAINERS_STORAGE_CONF");
  }
  [[nodiscard]] std::string containers() const {
    sys::RunOptions options;
    options.argv = {"buildah", "containers", "--quiet"};
    options.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                   "CONTAINERS_STORAGE_CONF=" + (dir_ / "storage.conf")};
    const auto out = sys::run_ok(options);
    return out ? *out : out.error().what;
  }
  TempDir dir_;
};

TEST_CASE("a real buildah builds a Dockerfile from scratch into an image") {
  if (!is_root()) return skip("needs root");
  const RealBuildah buildah;
  const auto chosen = choose_builder("buildah");
  if (!chosen) return skip("buildah does not answer: " + chosen.error().what);
  put(buildah.dir_ / "context/tool", "#!/bin/sh\n", 0750);
  put(buildah.dir_ / "context/Dockerfile",
      "FROM scratch AS base\nARG WHO=nobody\nCOPY --chown=1001:1002 tool /bin/tool\n"
      "ENV WHO=$WHO\nLABEL a=b\nUSER 1001\nWORKDIR /work\nENTRYPOINT [\"/bin/tool\"]\n");
  BuildOptions options;
  options.name = "tiny";
  options.context = buildah.dir_ / "context";
  options.builder = "buildah";
  options.build_args = {{"WHO", "me"}};
  const ImageStore store(buildah.dir_ / "state");
  const auto result = build_image(store, options);
  INFO(error_of(result));
  REQUIRE(result.has_value());
  const Manifest* built = &result->manifest;
  CHECK(built->user == "1001");
  CHECK(built->workdir == "/work");
  CHECK(built->labels.at("a") == "b");
  CHECK(built->entrypoint == std::vector<std::string>{"/bin/tool"});
  CHECK(std::count(built->env.begin(), built->env.end(), "WHO=me") == 1);
  const std::string tool = debugfs(store.pin(built->id)->path, "stat /bin/tool");
  CHECK(contains(tool, "Mode:  0750"));
  CHECK(contains(tool, "User:  1001"));
  CHECK(contains(tool, "Group:  1002"));
  CHECK(buildah.containers().empty());

  // A step that fails leaves the image and no container.
  put(buildah.dir_ / "context/Dockerfile", "FROM scratch\nCOPY absent /\n");
  CHECK(contains(error_of(build_image(store, options)), "absent"));
  CHECK(buildah.containers().empty());
  CHECK(store.list()->size() == 1);
  for (const std::string& name : names_in(buildah.dir_ / "state/images")) {
    CHECK(name.front() != '.');
  }
}

}  // namespace
}  // namespace mvr::image
