#include <algorithm>
#include <array>
#include <initializer_list>
#include <map>
#include <utility>

#include "config/schema.h"
#include "core/match.h"

namespace mvr::config {
namespace {

constexpr std::array<std::string_view, 2> kFeeds{"poll", "scale-set"};

// Of the keys that hold a value, the second is a problem.
void keep_one(Section& section, std::initializer_list<std::pair<std::string_view, bool>> keys) {
  std::string_view first;
  for (const auto& [key, is_given] : keys) {
    if (!is_given) continue;
    if (!first.empty()) {
      return section.add(key, std::string(first) + " is given too; keep one of the two");
    }
    first = key;
  }
}

core::AppSettings read_app(Section section, const Report& report) {
  core::AppSettings app;
  const std::size_t before = report.count();
  section.require("id", "the App's client id or App id");
  section.read("id", app.id, kAppId);
  section.read("key_file", app.key_file, kOptionalFile);
  section.read("key_credential", app.key_credential, kOptionalCredential);
  section.read("installation", app.installation, Id{});
  section.finish();
  keep_one(section,
           {{"key_file", !app.key_file.empty()}, {"key_credential", !app.key_credential.empty()}});
  const bool has_key = !app.key_file.empty() || !app.key_credential.empty();
  if (!has_key && report.count() == before) {
    section.add("has no private key: give key_file or key_credential");
  }
  return app;
}

core::Scope read_repository(Section& section) {
  core::Scope scope;
  std::string full_name;
  section.read("repository", full_name, kRepository);
  const std::size_t slash = full_name.find('/');
  if (slash != std::string::npos) {
    scope.owner = full_name.substr(0, slash);
    scope.repository = full_name.substr(slash + 1);
  }
  return scope;
}

// What organisations and enterprises have in common.
void read_repositories(Section& section, core::Scope& scope) {
  section.read_list("repositories", scope.repositories, kRepositoryPattern);
  section.read_list("exclude", scope.exclude, kRepositoryPattern);
  section.read("runner_group", scope.runner_group, kRunnerGroup);
}

core::Scope read_organization(Section& section) {
  core::Scope scope;
  scope.kind = core::ScopeKind::organization;
  section.read("organization", scope.owner, kOwner);
  read_repositories(section, scope);
  return scope;
}

core::Scope read_enterprise(Section& section) {
  core::Scope scope;
  scope.kind = core::ScopeKind::enterprise;
  section.read("enterprise", scope.owner, kEnterprise);
  section.read_list("organizations", scope.organizations, kOwner);
  read_repositories(section, scope);
  return scope;
}

constexpr std::array<std::string_view, 3> kScopeKinds{"repository", "organization", "enterprise"};

core::Scope read_scope_of(Section& section, std::string_view kind) {
  if (kind == "enterprise") return read_enterprise(section);
  return kind == "organization" ? read_organization(section) : read_repository(section);
}

core::Scope read_scope(Section& section, const Report& report) {
  std::string_view kind;
  for (const std::string_view key : kScopeKinds) {
    if (!section.has(key)) continue;
    if (!kind.empty()) section.add(key, std::string(kind) + " is given too; keep one of the two");
    if (kind.empty()) kind = key;
  }
  if (kind.empty()) {
    section.add(
        "none of `repository: owner/name`, `organization: name` and `enterprise: name` is given");
  }
  for (const std::string_view key : {"repositories", "exclude", "runner_group"}) {
    if (kind == "repository" && section.has(key)) {
      section.add(key, "is for an organization, not for a repository");
    }
  }
  if (kind != "enterprise" && section.has("organizations")) {
    section.add("organizations", "is for an enterprise");
  }
  core::Scope scope = read_scope_of(section, kind);
  read_feed(section, scope.feed);
  section.read("max", scope.max, Whole{0, 1000});
  section.read("max_per_repo", scope.max_per_repo, Whole{0, 1000});
  scope.credentials = read_credentials(section, report);
  section.finish();
  return scope;
}

// No App may manage an enterprise's runners, nor may a fine-grained token.
void check_enterprise(Section& section, const core::Scope& scope,
                      const core::GithubSettings& github) {
  if (scope.kind != core::ScopeKind::enterprise) return;
  if (github.credentials_of(scope).app) {
    section.add("enterprise",
                "GitHub lets no App manage runners of an enterprise: give this scope a classic "
                "token with the scopes manage_runners:enterprise and repo");
  }
  if (github.feed_of(scope) == core::Feed::poll && scope.organizations.empty()) {
    section.add("organizations",
                "is missing: name the organizations whose repositories are to be looked at");
  }
}

// A scale set gets the jobs of all repositories that its runner group lets in.
void check_set_scope(Section& section, const core::Scope& scope,
                     const core::GithubSettings& github) {
  if (github.feed_of(scope) != core::Feed::scale_set) return;
  for (const auto& [key, names] :
       {std::pair("repositories", &scope.repositories), std::pair("exclude", &scope.exclude)}) {
    if (names->empty()) continue;
    section.add(key,
                "cannot be kept to with discovery: scale-set, where the runner group decides: "
                "choose its repositories in GitHub's settings and leave this out");
  }
}

bool same_name(std::string_view a, std::string_view b) { return ascii_lower(a) == ascii_lower(b); }

// Does the scope look at repositories of `organization`?
bool looks_into(const core::Scope& scope, std::string_view organization) {
  const auto is_it = [&](const std::string& name) { return same_name(name, organization); };
  if (scope.kind == core::ScopeKind::organization) return is_it(scope.owner);
  return std::ranges::any_of(scope.organizations, is_it);
}

// Does `wide`, an organization or enterprise, look for jobs where `narrow` does? Two patterns are
// not compared: of one organization, only one scope may be.
bool covers(const core::Scope& wide, const core::Scope& narrow) {
  if (narrow.kind == core::ScopeKind::enterprise) return false;
  if (!looks_into(wide, narrow.owner)) return false;
  return narrow.repository.empty() ? wide.kind == core::ScopeKind::enterprise
                                   : core::is_selected(wide, narrow.repository);
}

// A queued job must be seen once, or two VMs start for it.
void check_overlap(Section& section, const core::Scope& scope,
                   const std::vector<core::Scope>& others) {
  for (const core::Scope& other : others) {
    if (same_name(scope.id(), other.id())) {
      section.add(quoted(scope.id()) + " is a scope already");
    } else if (covers(other, scope) || covers(scope, other)) {
      section.add(quoted(scope.id()) + " overlaps with " + quoted(other.id()) +
                  "; a job would be counted twice");
    }
  }
}

// The repository as the scopes spell it, which is how its jobs are listed: GitHub ignores case,
// plain comparison of names does not.
std::string spelled(std::string name, const std::vector<core::Scope>& scopes) {
  for (const core::Scope& scope : scopes) {
    if (scope.kind == core::ScopeKind::repository && same_name(scope.id(), name)) return scope.id();
    for (const std::string& repository : scope.repositories) {
      std::string full = scope.owner + "/" + repository;
      if (same_name(full, name)) return full;
    }
  }
  return name;
}

}  // namespace

core::Credentials read_credentials(Section& section, const Report& report) {
  core::Credentials given;
  section.read("token_file", given.token_file, kOptionalFile);
  section.read("token_env_file", given.token_env_file, kOptionalFile);
  section.read("token_credential", given.token_credential, kOptionalCredential);
  if (section.has("app")) given.app = read_app(section.child("app"), report);
  keep_one(section, {{"token_file", !given.token_file.empty()},
                     {"token_env_file", !given.token_env_file.empty()},
                     {"token_credential", !given.token_credential.empty()},
                     {"app", given.app.has_value()}});
  return given;
}

void read_scheduling(Section section, core::Config& config, Report& report) {
  auto& weights = config.scheduling.weights;
  section.entries("weights", [&](const Node& key, const Node& value, const std::string& path) {
    if (!kRepository(key.text)) {
      report.add(key.mark, path, quoted(key.text) + " is not " + kRepository.allowed());
      return;
    }
    const bool is_known = std::ranges::any_of(
        weights, [&](const auto& weight) { return same_name(weight.first, key.text); });
    if (is_known) report.add(key.mark, path, quoted(key.text) + " has a weight already");
    std::uint32_t weight = 1;
    if (!section.read_node(value, path, weight, Whole{1, 1000}) || is_known) return;
    weights[spelled(key.text, config.github.scopes)] = weight;
  });
  section.finish();
}

void read_feed(Section& section, std::optional<core::Feed>& feed) {
  std::string word;
  section.read("discovery", word, Choice{kFeeds});
  if (word == "poll") feed = core::Feed::poll;
  if (word == "scale-set") feed = core::Feed::scale_set;
}

// A set is registered ahead of its jobs and known by its name, the first label of its profile.
void check_scale_sets(Section& top, const core::Config& config) {
  const auto uses_sets = [&config](const core::Scope& scope) {
    return config.github.feed_of(scope) == core::Feed::scale_set;
  };
  const auto& scopes = config.github.scopes;
  const auto scope = std::ranges::find_if(scopes, uses_sets);
  if (scope == scopes.end()) return;
  const std::string why =
      " cannot be served in " + quoted(scope->id()) + ", whose discovery is " + "scale-set: ";
  std::map<std::string, std::string> names;
  for (const core::Profile& profile : config.profiles) {
    if (profile.most) {
      top.add("profiles",
              "profile " + quoted(profile.name) + why +
                  "a scale set has fixed labels, and {cpus} and {memory} stand for any; "
                  "name the sizes as profiles, or use discovery: poll there");
      continue;
    }
    const auto [first, is_new] = names.try_emplace(profile.labels.front(), profile.name);
    if (is_new) continue;
    top.add("profiles", "profile " + quoted(profile.name) + why + "its first label " +
                            quoted(profile.labels.front()) +
                            ", which names its scale set, is that of profile " +
                            quoted(first->second) + ", too; put another label first");
  }
}

void read_scopes(Section& github, core::GithubSettings& settings, Report& report) {
  std::vector<core::Scope>& scopes = settings.scopes;
  github.each("scopes", [&](const Node& item, const std::string& path) {
    const std::size_t at_start = report.count();
    Section section(&item, path, report);
    core::Scope scope = read_scope(section, report);
    if (report.count() == at_start) check_overlap(section, scope, scopes);
    if (report.count() == at_start) check_enterprise(section, scope, settings);
    if (report.count() == at_start) check_set_scope(section, scope, settings);
    if (report.count() == at_start) scopes.push_back(std::move(scope));
  });
}

}  // namespace mvr::config
