#include "image/dockerfile.h"

#include "fixture.h"

namespace mvr::image {
namespace {

Dockerfile scanned(const std::string& text) {
  const auto file = scan_dockerfile(text);
  INFO(error_of(file));
  REQUIRE(file.has_value());
  return *file;
}

std::vector<std::string> images_of(const std::string& text,
                                   const std::map<std::string, std::string>& arguments = {},
                                   const std::string& target = "") {
  const auto sources = find_sources(scanned(text), arguments, target, "amd64");
  return sources ? sources->images : std::vector<std::string>{error_of(sources)};
}

using Texts = std::vector<std::string>;

TEST_CASE("continued lines are one instruction, with comments and empty lines in between") {
  const Dockerfile file = scanned(
      "FROM scratch\r\n\n# a comment \\\nrun echo a && \\\n# in between\n\n    echo b \\\n"
      "  && echo c\nCMD [\"x\"]");
  REQUIRE(file.instructions.size() == 3);
  CHECK(file.instructions[0].text() == "FROM scratch");
  CHECK(file.instructions[1].line == 4);
  CHECK(file.instructions[1].text() == "RUN echo a &&     echo b   && echo c");
  CHECK(file.instructions[2].line == 9);
}

TEST_CASE("parser directives count at the top only") {
  const Dockerfile file = scanned(
      "# syntax=docker/dockerfile:1\n# escape=`\nFROM scratch\nRUN dir c:\\\nRUN a `\n b\n");
  CHECK(file.syntax == "docker/dockerfile:1");
  REQUIRE(file.instructions.size() == 3);
  CHECK(file.instructions[1].text() == "RUN dir c:\\");
  CHECK(file.instructions[2].text() == "RUN a  b");
  CHECK(scanned("# a word\n# syntax=x\nFROM a").syntax.empty());
  CHECK(scanned("\n# syntax=x\nFROM a").syntax.empty());
  CHECK(scanned("FROM a\n# escape=`\nRUN b \\\n c").instructions.size() == 2);
}

TEST_CASE("a heredoc is seen, and its lines are no instructions") {
  const Dockerfile file = scanned(
      "FROM a\nRUN <<EOF\nFROM b\nEOF\nCOPY <<-'X' 3<<\"Y Z\" /to/\n\tone\n\tX\n"
      "two\nY Z\nRUN cat\n");
  REQUIRE(file.instructions.size() == 4);
  CHECK_FALSE(file.instructions[0].has_heredoc);
  CHECK(file.instructions[1].has_heredoc);
  CHECK(file.instructions[2].has_heredoc);
  CHECK(file.instructions[3].line == 10);
  CHECK(contains(error_of(scan_dockerfile("FROM a\nRUN <<EOF\nx\n")), "Dockerfile line 2"));
}

TEST_CASE("what only looks like a heredoc is none") {
  for (const char* line : {"RUN echo $((1<<2))", "RUN cat <<<word", "RUN echo \"a <<EOF b\"",
                           "RUN [\"sh\", \"<<EOF\"]", "LABEL a=b <<EOF", "RUN a << b"}) {
    INFO(line);
    CHECK_FALSE(scanned(std::string("FROM a\n") + line).instructions[1].has_heredoc);
  }
}

TEST_CASE("an ARG before FROM is expanded, and a given value wins") {
  const std::string text =
      "ARG VERSION=12\nARG BASE=\"debian:${VERSION}\"\nFROM --platform=linux/amd64 ${BASE}-slim AS "
      "x\n";
  CHECK(images_of(text, {}, "x") == Texts{"debian:12-slim"});
  CHECK(images_of(text, {{"VERSION", "13"}}, "x") == Texts{"debian:13-slim"});
  CHECK(contains(images_of(text + "FROM $OTHER\n")[0], "Dockerfile line 4: FROM $OTHER is empty"));
  CHECK(images_of("ARG OTHER\n" + text + "FROM $OTHER\n", {{"OTHER", "b"}}) == Texts{"b"});
  CHECK(images_of("FROM ${A:-a}${B:+b}$TARGETARCH") == Texts{"aamd64"});
  CHECK(contains(images_of("FROM ${A%b}")[0], "unsupported"));
}

TEST_CASE("only the stages that the target needs count") {
  const std::string text =
      "FROM one AS a\nFROM two AS b\nCOPY --from=A / /\nFROM three\nFROM b AS c\n"
      "COPY --chown=1:1 --from=four /x /\nRUN --mount=type=bind,from=five,target=/m true\n"
      "FROM scratch\nCOPY --from=2 / /\n";
  CHECK(images_of(text) == Texts{"three"});
  CHECK(images_of(text, {}, "c") == Texts{"five", "four", "one", "two"});
  CHECK(images_of(text, {}, "0") == Texts{"one"});
  CHECK(contains(images_of(text, {}, "nope")[0], "no stage \"nope\""));
  CHECK(contains(images_of("RUN a")[0], "no FROM"));
}

TEST_CASE("a stage may have the name of an image") {
  CHECK(images_of("FROM debian AS debian\nFROM debian\n") == Texts{"debian"});
  CHECK(images_of("FROM base\nFROM scratch AS base\n").empty());
}

TEST_CASE("an ADD of a URL is told, where the target needs it") {
  const Dockerfile file =
      scanned("FROM a AS x\nADD --chown=1:1 https://example.org/f /f\nFROM b\nCOPY http://no /\n");
  CHECK(find_sources(file, {}, "x", "amd64")->has_remote_add);
  CHECK_FALSE(find_sources(file, {}, "", "amd64")->has_remote_add);
}

}  // namespace
}  // namespace mvr::image
