#include "image/build.h"

#include "fixture.h"
#include "image/builder.h"

namespace mvr::image {
namespace {

bool is_root() { return ::geteuid() == 0; }

// A docker that builds whatever lies in <dir>/root, keeps its containers as files in
// <dir>/containers and writes what it was asked into <dir>/calls. A file named fail-VERB makes
// that verb fail.
class FakeDocker {
 public:
  FakeDocker() {
    const std::string script = R"(#!/bin/sh
D=)" + dir_.path() + R"(
echo "$*" >> $D/calls
[ -e $D/fail-$1 ] && { echo "docker $1: told to fail" >&2; exit 1; }
case $1 in
  version) echo 24.0.7 ;;
  build)
    echo 'STEP 1: from the fake'
    while [ $# -gt 1 ]; do
      [ "$1" = --iidfile ] && printf 'sha256:%064d' 7 > "$2"
      shift
    done ;;
  image) cat $D/inspect ;;
  create) : > $D/containers/$3 ;;
  export) tar --xattrs -C $D/root -cf - . ;;
  ps) ls $D/containers ;;
  rm) rm $D/containers/$3 ;;
esac
)";
    put(dir_ / "bin/docker", script, 0755);
    put(dir_ / "inspect",
        R"([{"Architecture":"amd64","Config":{"Env":["A=1"],"User":"runner","Cmd":["/bin/sh"]}}])");
    put(dir_ / "context/Dockerfile", "FROM scratch\n");
    put(dir_ / "root/bin/tool", "tool", 04755);
    put(dir_ / "root/.dockerenv", "");
    std::filesystem::create_directory(dir_ / "containers");
  }
  void fail(const std::string& verb) const { put(dir_ / ("fail-" + verb), ""); }
  [[nodiscard]] std::string calls() const { return get(dir_ / "calls"); }
  [[nodiscard]] std::string state() const { return dir_ / "state"; }
  [[nodiscard]] ImageStore store() const { return ImageStore(state()); }
  [[nodiscard]] Result<Manifest> build(const std::string& name = "web") {
    BuildOptions options;
    options.name = name;
    options.context = dir_ / "context";
    options.builder = "docker";
    options.build_args = {{"VERSION", "1 2"}};
    options.target = "final";
    return build_image(store(), options);
  }
  [[nodiscard]] bool is_clean() const {
    return names_in(dir_ / "containers").empty() && work_left().empty();
  }
  TempDir dir_;  // public for the tests' own changes

 private:
  [[nodiscard]] std::string work_left() const {
    std::string left;
    if (!sys::exists(state() + "/images")) return left;
    for (const std::string& name : names_in(state() + "/images")) {
      if (name.front() == '.') left += name + " ";
    }
    return left;
  }
  PathIs path_{(dir_ / "bin") + ":/usr/sbin:/usr/bin:/sbin:/bin"};
};

TEST_CASE("docker's export becomes an image with its config, and nothing else stays") {
  if (!is_root()) return skip("needs root");
  FakeDocker docker;
  const auto built = docker.build();
  INFO(error_of(built));
  REQUIRE(built.has_value());
  CHECK(built->builder == "docker 24.0.7");
  CHECK(built->env == std::vector<std::string>{"A=1"});
  CHECK(built->user == "runner");
  CHECK(built->command == std::vector<std::string>{"/bin/sh"});
  const std::string rootfs = docker.store().rootfs_path("web");
  CHECK(built->digest == "sha256:" + sys::sha256_file(rootfs));
  CHECK(contains(debugfs(rootfs, "stat /bin/tool"), "Mode:  04755"));
  const std::string top = debugfs(rootfs, "ls -p /");
  CHECK_FALSE(contains(top, "dockerenv"));
  CHECK(contains(top, "/proc/"));
  CHECK(docker.is_clean());
}

TEST_CASE("build arguments, target and tag reach the builder as they were given") {
  if (!is_root()) return skip("needs root");
  FakeDocker docker;
  REQUIRE(docker.build("web-1.x").has_value());
  CHECK(contains(docker.calls(), "--target final"));
  CHECK(contains(docker.calls(), "--build-arg VERSION=1 2"));
  CHECK(contains(docker.calls(), "--tag localhost/mvrunner:web-1.x"));
  CHECK_FALSE(contains(docker.calls(), "--no-cache"));
}

TEST_CASE("whatever fails, the previous image stays and nothing is left behind") {
  if (!is_root()) return skip("needs root");
  FakeDocker docker;
  const auto first = docker.build();
  REQUIRE(first.has_value());
  for (const char* verb : {"build", "image", "create", "export"}) {
    INFO(verb);
    docker.fail(verb);
    const auto second = docker.build();
    CHECK(contains(error_of(second), std::string(verb) == "export" ? "export" : "told to fail"));
    CHECK(docker.store().find("web")->digest == first->digest);
    CHECK(docker.is_clean());
    std::filesystem::remove(docker.dir_ / (std::string("fail-") + verb));
  }
}

TEST_CASE("an image for another machine is refused before it is unpacked") {
  if (!is_root()) return skip("needs root");
  FakeDocker docker;
  put(docker.dir_ / "inspect", R"([{"Architecture":"s390x","Config":{}}])");
  CHECK(contains(error_of(docker.build()), "the image is for s390x"));
  CHECK_FALSE(contains(docker.calls(), "create"));
}

TEST_CASE("a working container of a dead build is removed, others are not touched") {
  if (!is_root()) return skip("needs root");
  FakeDocker docker;
  const auto start = sys::process_start_time(::getpid());
  REQUIRE(start.has_value());
  const std::string own = "mvrunner-work-" + std::to_string(::getpid()) + "-";
  const std::string live = own + std::to_string(*start) + "-900";
  for (const std::string& name : {live, own + std::to_string(*start + 1) + "-0",
                                  std::string("database"), std::string("mvrunner-work-x")}) {
    put(docker.dir_ / ("containers/" + name), "");
  }
  REQUIRE(docker.build().has_value());
  CHECK(names_in(docker.dir_ / "containers") ==
        std::vector<std::string>{"database", live, "mvrunner-work-x"});
}

TEST_CASE("a wrong context, Dockerfile or name is refused before any builder runs") {
  if (!is_root()) return skip("needs root");
  FakeDocker docker;
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
  const auto built = build_image(store, options);
  INFO(error_of(built));
  REQUIRE(built.has_value());
  CHECK(built->user == "1001");
  CHECK(built->workdir == "/work");
  CHECK(built->labels.at("a") == "b");
  CHECK(built->entrypoint == std::vector<std::string>{"/bin/tool"});
  CHECK(std::count(built->env.begin(), built->env.end(), "WHO=me") == 1);
  const std::string tool = debugfs(store.rootfs_path("tiny"), "stat /bin/tool");
  CHECK(contains(tool, "Mode:  0750"));
  CHECK(contains(tool, "User:  1001"));
  CHECK(contains(tool, "Group:  1002"));
  CHECK(buildah.containers().empty());

  // A step that fails leaves the image and no container.
  put(buildah.dir_ / "context/Dockerfile", "FROM scratch\nCOPY absent /\n");
  CHECK(contains(error_of(build_image(store, options)), "absent"));
  CHECK(store.find("tiny")->digest == built->digest);
  CHECK(buildah.containers().empty());
  CHECK(names_in(buildah.dir_ / "state/images") == std::vector<std::string>{"tiny"});
}

}  // namespace
}  // namespace mvr::image
