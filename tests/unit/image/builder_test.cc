#include "image/builder.h"

#include "fixture.h"
#include "image/build.h"

namespace mvr::image {
namespace {

// A directory of programs that stand in for the builders; it is the whole PATH.
class FakePrograms {
 public:
  void add(const std::string& name, const std::string& body) const {
    put(dir_ / name, "#!/bin/sh\n" + body + "\n", 0755);
  }
  void add_docker() const {
    add("docker",
        "[ $1 = buildx ] && echo 'github.com/docker/buildx v0.13.1 788433953af1' || "
        "echo 24.0.7");
  }
  void add_podman(const std::string& driver = "overlay") const {
    add("podman", "echo '" + driver + " 4.3.1'");
  }
  void add_buildah(const std::string& driver = "overlay") const {
    add("buildah", "case $1 in info) echo '{\"store\":{\"GraphDriverName\":\"" + driver +
                       "\"}}';; *) echo 'buildah version 1.28.2 (image-spec 1)';; esac");
  }

 private:
  TempDir dir_;
  PathIs path_{dir_.path()};
};

TEST_CASE("without any builder each is named with its package") {
  const FakePrograms programs;
  const auto found = find_builders();
  REQUIRE(found.size() == 3);
  CHECK(found[0].name == "docker");
  CHECK(found[1].name == "podman");
  CHECK(found[2].name == "buildah");
  for (const BuilderStatus& status : found) {
    CHECK_FALSE(status.answers);
    CHECK(contains(status.detail, "not installed: apt-get install "));
  }
  CHECK(contains(error_of(choose_builder("auto")), "apt-get install buildah"));
}

TEST_CASE("all three are found with their versions, and docker is preferred") {
  const FakePrograms programs;
  programs.add_docker();
  programs.add_podman();
  programs.add_buildah();
  const auto found = find_builders();
  CHECK(found[0].detail == "24.0.7");
  CHECK(found[1].detail == "4.3.1");
  CHECK(found[2].detail == "1.28.2");
  const auto chosen = choose_builder("auto");
  REQUIRE(chosen.has_value());
  CHECK(chosen->to_text() == "docker 24.0.7");
  CHECK(chosen->buildx == "0.13.1");
}

TEST_CASE("a docker client without buildx is known as such") {
  const FakePrograms programs;
  programs.add("docker", "[ $1 = version ] && echo 20.10.24+dfsg1");
  const auto chosen = choose_builder("docker");
  REQUIRE(chosen.has_value());
  CHECK(chosen->buildx.empty());
}

TEST_CASE("an installed docker without its engine is passed over") {
  const FakePrograms programs;
  programs.add("docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1");
  programs.add_buildah();
  const auto chosen = choose_builder("auto");
  REQUIRE(chosen.has_value());
  CHECK(chosen->name == "buildah");
  const auto found = find_builders();
  CHECK_FALSE(found[0].answers);
  CHECK(contains(found[0].detail, "Cannot connect to the Docker daemon"));
}

TEST_CASE("a docker client that prints no engine version does not answer") {
  const FakePrograms programs;
  programs.add("docker", "echo; exit 0");
  CHECK(contains(error_of(choose_builder("docker")), "engine does not answer"));
}

TEST_CASE("a builder asked for by name is taken, or the reason is given and no other is used") {
  const FakePrograms programs;
  programs.add_docker();
  programs.add("podman", "echo 'cannot clone: Operation not permitted' >&2; exit 125");
  const auto docker = choose_builder("docker");
  REQUIRE(docker.has_value());
  CHECK(docker->kind == Builder::Kind::docker);
  const std::string text = error_of(choose_builder("podman"));
  CHECK(contains(text, "unavailable"));
  CHECK(contains(text, "cannot clone: Operation not permitted"));
  CHECK_FALSE(contains(text, "docker"));
  CHECK(contains(error_of(choose_builder("kaniko")), "invalid: builder \"kaniko\""));
}

TEST_CASE("the vfs storage driver is refused with the remedy") {
  const FakePrograms programs;
  programs.add_podman("vfs");
  programs.add_buildah("vfs");
  for (const char* name : {"podman", "buildah"}) {
    const std::string text = error_of(choose_builder(name));
    CHECK(contains(text, "vfs"));
    CHECK(contains(text, "containers/storage.conf"));
  }
}

TEST_CASE("a builder whose info is not what it should be does not answer") {
  const FakePrograms programs;
  programs.add("buildah", "echo '[]'");
  CHECK(contains(error_of(choose_builder("buildah")), "storage driver"));
}

TEST_CASE("a program in a relative directory of PATH is not run") {
  const TempDir dir;
  put(dir / "docker", "#!/bin/sh\necho 1\n", 0755);
  const PathIs path(":.:" + std::filesystem::relative(dir.path()).string());
  CHECK(contains(error_of(choose_builder("docker")), "not installed"));
}

}  // namespace
}  // namespace mvr::image
