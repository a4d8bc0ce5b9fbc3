// Command lines of the builders, and what their versions cannot do.
#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <filesystem>

#include "base/text.h"
#include "image/builder.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

using Kind = Builder::Kind;

struct Version {
  std::uint64_t major = 0;
  std::uint64_t minor = 0;
  friend auto operator<=>(const Version&, const Version&) = default;
};

// Of "1.28.2" and "20.10.24+dfsg1"; what is no number is 0: nothing is expected of it.
Version parse_version(std::string_view text) {
  std::array<std::uint64_t, 2> parts{};
  for (std::uint64_t& part : parts) {
    const std::string_view digits = text.substr(0, text.find_first_not_of("0123456789"));
    part = parse_u64(digits).value_or(0);
    text.remove_prefix(digits.size());
    if (text.empty() || text.front() != '.') break;
    text.remove_prefix(1);
  }
  return {parts[0], parts[1]};
}

// The first version that understands RUN <<EOF by itself.
struct HeredocSupport {
  Version since;
  const char* text;
};
HeredocSupport heredoc_support(Kind kind) {
  switch (kind) {
    case Kind::docker:
      return {{23, 0}, "23.0"};
    case Kind::podman:
      return {{4, 8}, "4.8"};
    case Kind::buildah:
      break;
  }
  return {{1, 33}, "1.33"};
}

// The frontend that "# syntax=docker/dockerfile:1" loads understands them on older engines too.
bool brings_frontend(const Builder& builder, const Dockerfile& file) {
  return builder.kind == Kind::docker && !file.syntax.empty();
}

void append(std::vector<std::string>& argv, std::initializer_list<std::string> words) {
  argv.insert(argv.end(), words);
}

void add_start(std::vector<std::string>& argv, const Builder& builder) {
  argv.push_back(builder.program);
  if (!builder.buildx.empty()) argv.emplace_back("buildx");
  argv.emplace_back(builder.kind == Kind::buildah ? "bud" : "build");
  if (builder.kind != Kind::docker) return;
  append(argv, {"--progress", "plain"});
  // Attestations would be files of the tar; older ones do not make any.
  if (parse_version(builder.buildx) >= Version{0, 10}) {
    append(argv, {"--provenance=false", "--sbom=false"});
  }
}

std::string secret_text(const Secret& secret) {
  return "id=" + secret.id +
         (secret.variable.empty() ? ",src=" + secret.file : ",env=" + secret.variable);
}

// What decides about the result, alike in every run.
void add_request(std::vector<std::string>& argv, const BuildRequest& request) {
  if (!request.target.empty()) append(argv, {"--target", request.target});
  if (!request.platform.empty()) append(argv, {"--platform", request.platform});
  for (const auto& [name, value] : request.arguments) {
    std::string pair = name;
    pair.append("=").append(value);
    append(argv, {"--build-arg", pair});
  }
  for (const Secret& secret : request.secrets) append(argv, {"--secret", secret_text(secret)});
  append(argv, {"--file", request.dockerfile});
}

Result<void> check_secret(const Secret& secret, const std::string& text) {
  const auto wrong = [&](const std::string& why) {
    return fail(Errc::invalid, "secret \"" + printable(text, 200) + "\": " + why +
                                   "; write id=NAME,src=FILE or id=NAME,env=VARIABLE");
  };
  if (secret.id.empty()) return wrong("it has no id");
  if (secret.file.empty() == secret.variable.empty()) return wrong("it needs one of src and env");
  std::error_code error;
  if (!secret.file.empty() && !std::filesystem::is_regular_file(secret.file, error)) {
    return wrong("there is no file " + printable(secret.file, 200));
  }
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing of ours changes the environment.
  if (!secret.variable.empty() && std::getenv(secret.variable.c_str()) == nullptr) {
    return wrong("the variable " + printable(secret.variable, 80) + " is not set");
  }
  return {};
}

}  // namespace

Result<void> check_dockerfile(const Builder& builder, const Dockerfile& file) {
  const HeredocSupport support = heredoc_support(builder.kind);
  if (parse_version(builder.version) >= support.since || brings_frontend(builder, file)) return {};
  const auto found = std::find_if(file.instructions.begin(), file.instructions.end(),
                                  [](const Instruction& one) { return one.has_heredoc; });
  if (found == file.instructions.end()) return {};
  return fail(Errc::unsupported, "Dockerfile line " + std::to_string(found->line) + ": " +
                                     found->name + " with a heredoc needs " + builder.name + " " +
                                     support.text + " or newer, this is " + builder.version +
                                     ": join the commands with \" && \\\", or COPY a script "
                                     "and RUN it");
}

Result<Secret> parse_secret(const std::string& text) {
  Secret secret;
  for (const std::string_view part : split(text, ',')) {
    const std::size_t equals = part.find('=');
    const std::string_view name = part.substr(0, equals);
    const std::string value(equals == std::string_view::npos ? "" : part.substr(equals + 1));
    if (name == "id") {
      secret.id = value;
    } else if (name == "env") {
      secret.variable = value;
    } else if ((name == "src" || name == "source") && !value.empty()) {
      // The builder runs in another directory.
      std::error_code error;
      secret.file = std::filesystem::absolute(value, error).string();
    } else {
      return fail(Errc::invalid, "secret \"" + printable(text, 200) + "\": \"" +
                                     printable(part, 80) +
                                     "\" is not understood; write id=NAME,src=FILE or "
                                     "id=NAME,env=VARIABLE");
    }
  }
  TRY(check_secret(secret, text));
  return secret;
}

std::vector<std::string> build_command(const Builder& builder, const BuildRequest& request,
                                       Isolation isolation) {
  std::vector<std::string> argv;
  add_start(argv, builder);
  if (builder.kind == Kind::docker) {
    if (!builder.buildx.empty()) append(argv, {"--load"});
  } else {
    // The format that keeps SHELL and HEALTHCHECK; a failed step leaves no container.
    append(argv, {"--layers", "--format", "docker", "--force-rm", "--iidfile", request.id_file});
  }
  if (isolation == Isolation::chroot) append(argv, {"--isolation", "chroot"});
  if (request.no_cache) append(argv, {"--no-cache"});
  if (request.pull) append(argv, {"--pull"});
  add_request(argv, request);
  append(argv, {"--tag", request.tag, request.context});
  return argv;
}

std::vector<std::string> tar_command(const Builder& builder, const BuildRequest& request) {
  std::vector<std::string> argv;
  add_start(argv, builder);
  add_request(argv, request);
  append(argv, {"--output", "type=tar,dest=-", request.context});
  return argv;
}

std::vector<std::string> extra_environment(const Builder& builder) {
  // A client without buildx has BuildKit behind this switch.
  const bool is_old = builder.kind == Kind::docker && builder.buildx.empty();
  return is_old ? std::vector<std::string>{"DOCKER_BUILDKIT=1"} : std::vector<std::string>{};
}

}  // namespace mvr::image
