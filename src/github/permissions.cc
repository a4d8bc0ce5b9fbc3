#include "github/permissions.h"

#include <algorithm>
#include <vector>

#include "base/text.h"

namespace mvr::github {
namespace {

struct Need {
  std::string_view permission;  // GitHub's name of it
  bool is_write = false;
  std::string_view text;
};

constexpr Need kFindJobs{"actions", false, "\"Actions: read\" on repositories (to find jobs)"};
constexpr Need kRunnersOfRepository{
    "administration", true, "\"Administration: write\" on repositories (to register runners)"};
constexpr Need kRunnersOfOrganization{
    "organization_self_hosted_runners", true,
    "\"Self-hosted runners: write\" of the organisation (to register runners)"};

// An enterprise's runners are out of reach of Apps; the configuration says so.
// Metadata: read, to list an organisation's repositories, comes with any other permission.
std::vector<Need> needs_of(const core::Scope& scope) {
  const bool is_organization = scope.kind == core::ScopeKind::organization;
  return {kFindJobs, is_organization ? kRunnersOfOrganization : kRunnersOfRepository};
}

bool covers(const Permissions& granted, const Need& need) {
  const auto found = granted.find(std::string(need.permission));
  if (found == granted.end()) return false;
  const std::string& level = found->second;
  return level == "write" || level == "admin" || (!need.is_write && level == "read");
}

bool has_word(std::string_view list, std::string_view word) {
  const auto words = split(list, ',');
  return std::any_of(words.begin(), words.end(), [&](std::string_view each) {
    const auto first = each.find_first_not_of(' ');
    return first != std::string_view::npos &&
           each.substr(first, each.find_last_not_of(' ') - first + 1) == word;
  });
}

}  // namespace

std::string lacking_permissions(const core::Scope& scope, const Permissions& granted) {
  std::vector<std::string> lacking;
  for (const Need& need : needs_of(scope)) {
    if (!covers(granted, need)) lacking.emplace_back(need.text);
  }
  return join(lacking, " and ");
}

// Whether an organisation's repositories are private, which takes `repo` too, is not known here.
std::string lacking_scopes(const core::Scope& scope, std::string_view oauth_scopes) {
  if (scope.kind == core::ScopeKind::repository) {
    return has_word(oauth_scopes, "repo") ? "" : "repo (to find jobs and register runners)";
  }
  if (scope.kind == core::ScopeKind::enterprise) {
    const bool may = has_word(oauth_scopes, "admin:enterprise") ||
                     has_word(oauth_scopes, "manage_runners:enterprise");
    return may ? "" : "manage_runners:enterprise (to register runners)";
  }
  const bool has =
      has_word(oauth_scopes, "admin:org") || has_word(oauth_scopes, "manage_runners:org");
  return has ? "" : "admin:org (to register runners)";
}

}  // namespace mvr::github
