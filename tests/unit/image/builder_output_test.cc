#include "image/builder_output.h"

#include "base/text.h"
#include "fixture.h"

namespace mvr::image {
namespace {

BuildOutput fed(const std::string& text) {
  BuildOutput output;
  for (const std::string_view line : split(text, '\n')) (void)output.line(line);
  return output;
}

std::string failure(const std::string& dockerfile, const std::string& text) {
  return fed(text).failure(*scan_dockerfile(dockerfile));
}

TEST_CASE("the step lines of each builder are read") {
  CHECK(parse_step("STEP 3/9: RUN make") == BuildStep{3, 9, "RUN make"});
  CHECK(parse_step("[1/2] STEP 2/4: COPY busybox /bin/busybox") ==
        BuildStep{2, 4, "COPY busybox /bin/busybox"});
  CHECK(parse_step("#7 [stage-0 2/5] RUN apt-get update") == BuildStep{2, 5, "RUN apt-get update"});
  CHECK(parse_step("#7 [2/5] RUN a") == BuildStep{2, 5, "RUN a"});
}

TEST_CASE("other lines are no steps") {
  for (const char* line :
       {"", "STEP", "STEP 3: RUN x", "STEP 0/3: x", "STEP 4/3: x", "STEP a/b: x", " STEP 1/2: x",
        "[1/2 STEP 1/2: x", "[x] STEP 1/2: x", "#7 0.25 STEP 1/2: x", "#7 DONE 0.1s", "#7 CACHED",
        "#1 [internal] load build definition", "#x [1/2] RUN a", "STEP 1/999999999: x",
        "step 1/2: x"}) {
    INFO(line);
    CHECK_FALSE(parse_step(line).has_value());
  }
}

// As buildah 1.28.2 prints it.
TEST_CASE("a failing step of buildah is named with its line and exit code") {
  const std::string dockerfile =
      "FROM scratch AS a\nCOPY busybox /bin/busybox\n\nRUN echo a\nFROM scratch\n"
      "RUN echo building; \\\n   exit 7\n";
  const std::string text =
      "[1/2] STEP 1/3: FROM scratch AS a\n[1/2] STEP 2/3: COPY busybox /bin/busybox\n"
      "[1/2] STEP 3/3: RUN echo a\n[2/2] STEP 1/2: FROM scratch\n"
      "[2/2] STEP 2/2: RUN echo building;    exit 7\nbuilding\n"
      "subprocess exited with status 7\nsubprocess exited with status 7\n"
      "Error: building at STEP \"RUN echo building;    exit 7\": exit status 7\n";
  CHECK(failure(dockerfile, text) ==
        "Dockerfile line 6, step 2/2 \"RUN echo building; exit 7\": exit code 7");
}

TEST_CASE("of two equal steps the one that runs is named") {
  const std::string dockerfile = "FROM a\nRUN make\nRUN make\n";
  const std::string first = "STEP 1/3: FROM a\nSTEP 2/3: RUN make\n";
  const std::string last =
      "Error: building at STEP \"RUN make\": while running runtime: exit status 2";
  CHECK(contains(failure(dockerfile, first + last), "line 2, step 2/3"));
  CHECK(contains(failure(dockerfile, first + "STEP 3/3: RUN make\n" + last), "line 3, step 3/3"));
}

TEST_CASE("an exit code that a command talks about is not the step's") {
  const std::string text = failure(
      "FROM a\nRUN b\n",
      "STEP 2/2: RUN b\nthe other one said: exit status 9\nError: building at STEP \"RUN b\": no");
  CHECK(text == "Dockerfile line 2, step 2/2 \"RUN b\"");
}

// As docker's buildx prints it with --progress plain.
TEST_CASE("a failing step of docker is the one it names, whatever ran beside it") {
  const std::string text =
      "#5 [a 2/3] RUN false\n#6 [b 2/2] RUN sleep 9\n#5 0.25 output\n"
      "#5 ERROR: process \"/bin/sh -c false\" did not complete successfully: exit code: 1\n"
      "#6 CANCELED\n------\n > [a 2/3] RUN false:\n------\nDockerfile:2\n"
      "--------------------\n   1 |     FROM x\n   2 | >>> RUN false\n--------------------\n"
      "ERROR: failed to solve: process \"/bin/sh -c false\" did not complete successfully: "
      "exit code: 1\n";
  CHECK(failure("FROM x\nRUN false\n", text) ==
        "Dockerfile line 2, step 2/3 \"RUN false\": exit code 1");
}

// As docker 20.10 prints it, which names neither the line nor the error twice.
TEST_CASE("a failing step of an old docker has the line of the only instruction with its text") {
  const std::string text =
      "#4 [1/3] FROM localhost/base:1\n#5 [2/3] RUN echo fine\n#5 DONE 0.3s\n"
      "#6 [3/3] RUN echo before;     exit 7\n#6 0.25 before\n"
      "#6 ERROR: executor failed running [/bin/sh -c echo before;     exit 7]: exit code: 7\n"
      "------\n > [3/3] RUN echo before;     exit 7:\n#6 0.25 before\n------\n"
      "executor failed running [/bin/sh -c echo before;     exit 7]: exit code: 7\n";
  const std::string step = "RUN echo before; \\\n    exit 7\n";
  const std::string once = "FROM localhost/base:1\nRUN echo fine\n\n" + step;
  CHECK(failure(once, text) ==
        "Dockerfile line 4, step 3/3 \"RUN echo before; exit 7\": exit code 7");
  CHECK(failure(once + "FROM x\n" + step, text) ==
        "step 3/3 \"RUN echo before; exit 7\": exit code 7");
}

TEST_CASE("without a step there is nothing to name") {
  CHECK(failure("FROM a\n", "Error: no such image: exit status 1\n").empty());
}

TEST_CASE("a runtime that refuses is told from a step that fails") {
  CHECK(fed("error running container: from /usr/bin/crun creating container for [/bin/sh]: "
            "cgroups in hybrid mode not supported")
            .runtime_refused());
  CHECK(fed("level=error msg=\"did not get container create message from subprocess: EOF\"")
            .runtime_refused());
  CHECK_FALSE(fed("subprocess exited with status 7\nError: exit status 7").runtime_refused());
}

TEST_CASE("docker's step begins once, though it is printed again") {
  BuildOutput output;
  CHECK(output.line("#5 [2/3] RUN a").has_value());
  CHECK_FALSE(output.line("#5 [2/3] RUN a").has_value());
  CHECK(output.line("#6 [3/3] RUN b").has_value());
}

}  // namespace
}  // namespace mvr::image
