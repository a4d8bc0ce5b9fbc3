#include "core/egress.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace mvr::core {
namespace {

constexpr std::size_t kLongestName = 253;
constexpr std::size_t kLongestPart = 63;
constexpr unsigned kResultStores = 20;

// docs.github.com, "Self-hosted runners reference", "Accessible domains by function". Logs,
// artifacts and caches lie in twenty accounts of an object store that others use as well: those
// alone.
constexpr std::array kGithubNames{
    "github.com",
    "actions.githubusercontent.com",
    "codeload.github.com",
    "ghcr.io",
    "github-cloud.githubusercontent.com",
    "github-cloud.s3.amazonaws.com",
    "github-registry-files.githubusercontent.com",
    "github-releases.githubusercontent.com",
    "objects-origin.githubusercontent.com",
    "objects.githubusercontent.com",
    "pkg-containers.githubusercontent.com",
    "pkg.github.com",
    "raw.githubusercontent.com",
    "release-assets.githubusercontent.com",
};

bool is_part(std::string_view part) {
  if (part.empty() || part.size() > kLongestPart) return false;
  if (part.front() == '-' || part.back() == '-') return false;
  return std::all_of(part.begin(), part.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

bool is_below(std::string_view name, std::string_view other) {
  return name.size() > other.size() && name.ends_with(other) &&
         name[name.size() - other.size() - 1] == '.';
}

std::string host_of(std::string_view url) {
  const auto scheme = url.find("://");
  if (scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  return ascii_lower(std::string(url.substr(0, url.find_first_of(":/?#"))));
}

std::vector<std::string> github_names(const std::string& github_url) {
  std::vector<std::string> names(kGithubNames.begin(), kGithubNames.end());
  for (unsigned i = 0; i < kResultStores; ++i) {
    names.push_back("productionresultssa" + std::to_string(i) + ".blob.core.windows.net");
  }
  // An address needs no resolving: network.allow is for it.
  std::string host = host_of(github_url);
  if (is_egress_name(host)) names.push_back(std::move(host));
  return names;
}

}  // namespace

std::string_view egress_word(EgressMode mode) {
  switch (mode) {
    case EgressMode::open:
      return "open";
    case EgressMode::allow_list:
      return "allow-list";
    case EgressMode::none:
      return "none";
    case EgressMode::learn:
      return "learn";
  }
  return "open";
}

std::optional<EgressMode> parse_egress(std::string_view word) {
  for (const EgressMode mode :
       {EgressMode::open, EgressMode::allow_list, EgressMode::none, EgressMode::learn}) {
    if (egress_word(mode) == word) return mode;
  }
  return std::nullopt;
}

bool is_limited(const Egress& egress) {
  return egress.mode == EgressMode::allow_list || egress.mode == EgressMode::none;
}

bool is_egress_name(std::string_view name) {
  if (name.size() > kLongestName) return false;
  const auto parts = split(name, '.');
  if (parts.size() < 2 || !std::all_of(parts.begin(), parts.end(), is_part)) return false;
  // The last part of an address is a number, and no top-level domain is.
  const std::string_view last = parts.back();
  return !std::all_of(last.begin(), last.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_covered_by(std::string_view name, std::string_view other) {
  return name == other || is_below(name, other);
}

std::vector<std::string> egress_names(const Egress& egress, const std::string& github_url) {
  std::vector<std::string> all = github_names(github_url);
  if (egress.mode == EgressMode::allow_list) {
    all.insert(all.end(), egress.names.begin(), egress.names.end());
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  std::vector<std::string> names;
  for (const std::string& name : all) {
    const bool is_covered = std::any_of(
        all.begin(), all.end(), [&](const std::string& other) { return is_below(name, other); });
    if (!is_covered) names.push_back(name);
  }
  return names;
}

std::vector<std::string> egress_list(const std::vector<std::string>& asked,
                                     const std::string& github_url) {
  const std::vector<std::string> github = github_names(github_url);
  std::vector<std::string> list;
  for (const std::string& name : asked) {
    const bool is_covered = std::any_of(
        github.begin(), github.end(), [&](const auto& each) { return is_covered_by(name, each); });
    if (!is_covered) list.push_back(name);
  }
  return list;
}

}  // namespace mvr::core
