#include "image/builder.h"

#include <unistd.h>

#include <array>
#include <optional>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "image/build.h"
#include "image/program.h"

namespace mvr::image {
namespace {

constexpr Duration kAnswerLimit = std::chrono::seconds(15);

// In order of preference: docker has the best Dockerfile fidelity and the user's cache and logins.
struct Candidate {
  const char* name;
  Builder::Kind kind;
  const char* package;
};
constexpr std::array<Candidate, 3> kCandidates = {{
    {"docker", Builder::Kind::docker, "docker.io"},
    {"podman", Builder::Kind::podman, "podman"},
    {"buildah", Builder::Kind::buildah, "buildah"},
}};

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

// Copying every layer in full makes a build several times larger and slower.
Result<void> check_storage(const std::string& driver) {
  if (driver.empty()) return fail(Errc::protocol, "its info does not name the storage driver");
  if (driver != "vfs") return {};
  const char* where =
      ::geteuid() == 0 ? "/etc/containers/storage.conf" : "~/.config/containers/storage.conf";
  return fail(Errc::unsupported,
              std::string("its storage driver is vfs, which copies whole layers: set driver = "
                          "\"overlay\" in [storage] of ") +
                  where);
}

Result<std::string> docker_version(const std::string& program) {
  // The client alone answers too; only the engine can build.
  TRY_ASSIGN(const std::string out,
             run_quiet({program, "version", "--format", "{{.Server.Version}}"}, kAnswerLimit));
  if (trimmed(out).empty()) return fail(Errc::unavailable, "the docker engine does not answer");
  return trimmed(out);
}

// "github.com/docker/buildx v0.13.1 788433953af1"; empty: the client has no buildx.
std::string buildx_version(const std::string& program) {
  const auto out = run_quiet({program, "buildx", "version"}, kAnswerLimit);
  if (!out) return {};
  const std::string line = trimmed(*out);
  const auto words = split(line, ' ');
  if (words.size() < 2 || words[1].size() < 2 || words[1].front() != 'v') return {};
  return printable(words[1].substr(1), 60);
}

Result<std::string> podman_version(const std::string& program) {
  TRY_ASSIGN(const std::string out, run_quiet({program, "info", "--format",
                                               "{{.Store.GraphDriverName}} {{.Version.Version}}"},
                                              kAnswerLimit));
  const std::string line = trimmed(out);
  const std::size_t space = line.find(' ');
  TRY(check_storage(line.substr(0, space)));
  return space == std::string::npos ? std::string("(unknown version)") : line.substr(space + 1);
}

Result<std::string> buildah_version(const std::string& program) {
  TRY_ASSIGN(const std::string info, run_quiet({program, "info"}, kAnswerLimit));
  const auto document = nlohmann::json::parse(info, nullptr, false);
  std::string driver;
  if (document.is_object() && document.contains("store") && document["store"].is_object()) {
    const auto& store = document["store"];
    const auto found = store.find("GraphDriverName");
    if (found != store.end() && found->is_string()) driver = found->get<std::string>();
  }
  TRY(check_storage(driver));
  // "buildah version 1.28.2 (image-spec ...)"
  TRY_ASSIGN(const std::string out, run_quiet({program, "--version"}, kAnswerLimit));
  const std::string line = trimmed(out);  // outlives the words, which point into it
  const auto words = split(line, ' ');
  return words.size() < 3 ? std::string("(unknown version)") : std::string(words[2]);
}

Result<std::string> ask(Builder::Kind kind, const std::string& program) {
  switch (kind) {
    case Builder::Kind::docker:
      return docker_version(program);
    case Builder::Kind::podman:
      return podman_version(program);
    case Builder::Kind::buildah:
      return buildah_version(program);
  }
  return fail(Errc::invalid, "no such builder");
}

Result<Builder> probe(const Candidate& candidate) {
  TRY_ASSIGN(std::string program, find_program(candidate.name, candidate.package));
  TRY_ASSIGN(std::string version, ask(candidate.kind, program));
  Builder builder{candidate.kind, candidate.name, std::move(program), printable(version, 60)};
  if (builder.kind == Builder::Kind::docker) {
    builder.buildx = buildx_version(builder.program);
  } else {
    builder.is_rootless = ::geteuid() != 0;
  }
  return builder;
}

}  // namespace

std::vector<BuilderStatus> find_builders() {
  std::vector<BuilderStatus> found;
  for (const Candidate& candidate : kCandidates) {
    const auto builder = probe(candidate);
    found.push_back(BuilderStatus{candidate.name, builder.has_value(),
                                  builder ? builder->version : builder.error().what});
  }
  return found;
}

Result<Builder> choose_builder(const std::string& wanted) {
  std::string reasons;
  bool known = wanted == "auto";
  for (const Candidate& candidate : kCandidates) {
    if (wanted != "auto" && wanted != candidate.name) continue;
    known = true;
    auto builder = probe(candidate);
    if (builder) return builder;
    reasons += std::string("\n  ") + candidate.name + ": " + builder.error().what;
  }
  if (!known) {
    return fail(Errc::invalid,
                "builder \"" + printable(wanted, 40) + "\": use auto, docker, podman or buildah");
  }
  const char* remedy = wanted == "auto" ? "\nThe simplest remedy: apt-get install buildah" : "";
  return fail(Errc::unavailable, "no image builder answers:" + reasons + remedy);
}

}  // namespace mvr::image
