#include "fixture.h"
#include "image/builder.h"

namespace mvr::image {
namespace {

Builder builder_of(Builder::Kind kind, const std::string& version) {
  const char* name = kind == Builder::Kind::docker   ? "docker"
                     : kind == Builder::Kind::podman ? "podman"
                                                     : "buildah";
  return Builder{kind, name, std::string("/usr/bin/") + name, version};
}

BuildRequest sample() {
  BuildRequest request;
  request.tag = "localhost/mvrunner:web";
  request.dockerfile = "/src/Dockerfile";
  request.context = "/src";
  request.arguments = {{"A", "1 2"}};
  request.secrets = {{"token", "/run/token", ""}, {"key", "", "KEY"}};
  request.target = "final";
  request.platform = "linux/amd64";
  request.id_file = "/work/id";
  return request;
}

using Words = std::vector<std::string>;

TEST_CASE("the command line of buildah") {
  const Builder buildah = builder_of(Builder::Kind::buildah, "1.28.2");
  CHECK(build_command(buildah, sample(), Isolation::builders_own) ==
        Words{"/usr/bin/buildah",
              "bud",
              "--layers",
              "--format",
              "docker",
              "--force-rm",
              "--iidfile",
              "/work/id",
              "--target",
              "final",
              "--platform",
              "linux/amd64",
              "--build-arg",
              "A=1 2",
              "--secret",
              "id=token,src=/run/token",
              "--secret",
              "id=key,env=KEY",
              "--file",
              "/src/Dockerfile",
              "--tag",
              "localhost/mvrunner:web",
              "/src"});
  CHECK(extra_environment(buildah).empty());
}

TEST_CASE("the command lines of docker: with buildx, and of a client without") {
  Builder docker = builder_of(Builder::Kind::docker, "26.1.5");
  docker.buildx = "0.13.1";
  BuildRequest request;
  request.tag = "t";
  request.dockerfile = "/f";
  request.context = "/c";
  request.no_cache = true;
  request.pull = true;
  CHECK(build_command(docker, request, Isolation::builders_own) ==
        Words{"/usr/bin/docker", "buildx", "build", "--progress", "plain", "--provenance=false",
              "--sbom=false", "--load", "--no-cache", "--pull", "--file", "/f", "--tag", "t",
              "/c"});
  // The second run is all cached.
  CHECK(tar_command(docker, request) == Words{"/usr/bin/docker", "buildx", "build", "--progress",
                                              "plain", "--provenance=false", "--sbom=false",
                                              "--file", "/f", "--output", "type=tar,dest=-", "/c"});
  docker.buildx = "0.9.1";
  CHECK(build_command(docker, {}, Isolation::builders_own)[5] == "--load");
  docker.buildx.clear();
  CHECK(build_command(docker, request, Isolation::builders_own)[1] == "build");
  CHECK(extra_environment(docker) == Words{"DOCKER_BUILDKIT=1"});
}

TEST_CASE("podman is told of the isolation when its runtime has refused") {
  const Words argv =
      build_command(builder_of(Builder::Kind::podman, "4.3.1"), sample(), Isolation::chroot);
  CHECK(argv[1] == "build");
  CHECK(std::count(argv.begin(), argv.end(), "chroot") == 1);
}

TEST_CASE("a heredoc is refused where the builder is too old, with line and remedy") {
  const auto heredoc = scan_dockerfile("FROM a\n\nRUN <<EOF\nx\nEOF\n");
  const auto plain = scan_dockerfile("FROM a\nRUN x\n");
  struct Case {
    Builder::Kind kind;
    const char* old;
    const char* since;
  };
  for (const Case& one : {Case{Builder::Kind::buildah, "1.28.2", "1.33.0"},
                          Case{Builder::Kind::podman, "4.7.2", "4.8.0"},
                          Case{Builder::Kind::docker, "20.10.24+dfsg1", "23.0.1"}}) {
    const Builder old = builder_of(one.kind, one.old);
    const std::string text = error_of(check_dockerfile(old, *heredoc));
    CHECK(contains(text, "unsupported: Dockerfile line 3: RUN with a heredoc needs " + old.name));
    CHECK(contains(text, one.old));
    CHECK(contains(text, "COPY a script"));
    CHECK(check_dockerfile(old, *plain).has_value());
    CHECK(check_dockerfile(builder_of(one.kind, one.since), *heredoc).has_value());
  }
  const auto syntax = scan_dockerfile("# syntax=docker/dockerfile:1\nFROM a\nRUN <<E\nE\n");
  CHECK(check_dockerfile(builder_of(Builder::Kind::docker, "20.10.24"), *syntax).has_value());
  CHECK_FALSE(check_dockerfile(builder_of(Builder::Kind::buildah, "1.28.2"), *syntax).has_value());
}

TEST_CASE("a secret names a file or a variable that is there") {
  const TempDir dir;
  put(dir / "token", "geheim");
  ::setenv("MVR_TEST_SECRET", "geheim", 1);
  const auto file = parse_secret("id=a,src=" + (dir / "token"));
  REQUIRE(file.has_value());
  CHECK(file->file == dir / "token");
  const auto relative =
      parse_secret("id=a,source=" + std::filesystem::relative(dir / "token").string());
  REQUIRE(relative.has_value());
  CHECK(relative->file.front() == '/');
  CHECK(parse_secret("env=MVR_TEST_SECRET,id=b")->variable == "MVR_TEST_SECRET");
  ::unsetenv("MVR_TEST_SECRET");
  CHECK(contains(error_of(parse_secret("id=b,env=MVR_TEST_SECRET")), "is not set"));
  CHECK(contains(error_of(parse_secret("id=b,src=/no/such")), "there is no file /no/such"));
  CHECK(contains(error_of(parse_secret("src=/etc/passwd")), "it has no id"));
  CHECK(contains(error_of(parse_secret("id=a")), "one of src and env"));
  CHECK(contains(error_of(parse_secret("id=a,src=/etc/passwd,env=PATH")), "one of src and env"));
  CHECK(contains(error_of(parse_secret("id=a,mode=0400")), "\"mode=0400\" is not understood"));
}

}  // namespace
}  // namespace mvr::image
