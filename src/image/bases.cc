#include "image/bases.h"

#include <algorithm>
#include <chrono>

#include "base/text.h"
#include "image/program.h"

namespace mvr::image {
namespace {

constexpr Duration kStoreLimit = std::chrono::seconds(60);
constexpr Duration kRegistryLimit = std::chrono::seconds(30);

// "sha256:<64 hex>" at the start of a text, or with the digits alone; empty: none.
std::string digest_in(std::string_view text) {
  constexpr std::string_view prefix = "sha256:";
  if (text.substr(0, prefix.size()) == prefix) text.remove_prefix(prefix.size());
  const std::string_view digits = text.substr(0, text.find_first_not_of("0123456789abcdef"));
  return digits.size() == 64 ? std::string(prefix) + std::string(digits) : std::string();
}

std::vector<std::string> store_command(const Builder& builder, const std::string& image) {
  switch (builder.kind) {
    case Builder::Kind::buildah:
      return {builder.program,
              "inspect",
              "--type",
              "image",
              "--format",
              "{{.FromImageID}} {{.FromImageDigest}}",
              image};
    case Builder::Kind::podman:
      return {builder.program, "image", "inspect", "--format", "{{.Id}} {{.Digest}}", image};
    case Builder::Kind::docker:
      break;
  }
  // Not join: 20.10 hands it a list that it does not take.
  return {builder.program, "image", "inspect", "--format", "{{.Id}} {{json .RepoDigests}}", image};
}

Base ask_store(const Builder& builder, const std::string& image) {
  Base base;
  const auto out = run_quiet(store_command(builder, image), kStoreLimit);
  if (!out) return base;
  base.local_id = digest_in(*out);
  const std::size_t space = out->find(' ');
  if (space == std::string::npos) return base;
  std::string_view rest = std::string_view(*out).substr(space + 1);
  // docker's are ["name@sha256:..."].
  if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
    rest.remove_prefix(at + 1);
  }
  base.digest = digest_in(rest);
  return base;
}

// Empty: the registry does not answer.
std::string ask_registry(const std::string& skopeo, const std::string& image) {
  const auto out =
      run_quiet({skopeo, "inspect", "--no-tags", "--format", "{{.Digest}}", "docker://" + image},
                kRegistryLimit);
  return out ? digest_in(*out) : std::string();
}

}  // namespace

std::map<std::string, Base> resolve_bases(const Builder& builder,
                                          const std::vector<std::string>& images,
                                          const BaseRules& rules) {
  std::map<std::string, Base> bases;
  const auto skopeo = find_program("skopeo", "skopeo");
  for (const std::string& image : images) {
    Base base = ask_store(builder, image);
    if (rules.pull || base.local_id.empty()) {
      const std::string digest = skopeo ? ask_registry(*skopeo, image) : "";
      // Without skopeo only the builder can ask: what it has does not count.
      if (!digest.empty() || !skopeo) base = Base{"", digest};
      if (digest.empty() && skopeo && rules.pull && rules.progress) {
        rules.progress("the registry does not tell what " + printable(image, 200) +
                       " is now; taking it for what the builder has");
      }
    }
    bases.emplace(image, std::move(base));
  }
  return bases;
}

std::optional<std::map<std::string, std::string>> base_identities(
    const std::map<std::string, Base>& bases) {
  std::map<std::string, std::string> identities;
  for (const auto& [image, base] : bases) {
    if (base.local_id.empty() && base.digest.empty()) return std::nullopt;
    identities[image] =
        base.local_id.empty() ? "registry " + base.digest : "store " + base.local_id;
  }
  return identities;
}

std::vector<std::string> base_texts(const std::map<std::string, Base>& bases) {
  std::vector<std::string> texts;
  for (const auto& [image, base] : bases) {
    const std::string& what = base.digest.empty() ? base.local_id : base.digest;
    texts.push_back(what.empty() ? image : image + "@" + what);
  }
  return texts;
}

}  // namespace mvr::image
