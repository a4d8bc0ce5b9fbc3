#include <algorithm>
#include <initializer_list>
#include <utility>

#include "config/schema.h"

namespace mvr::config {
namespace {

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

core::Scope read_organization(Section& section) {
  core::Scope scope;
  scope.kind = core::ScopeKind::organization;
  section.read("organization", scope.owner, kOwner);
  section.read_list("repositories", scope.repositories, kRepositoryName);
  section.read("runner_group", scope.runner_group, kRunnerGroup);
  return scope;
}

core::Scope read_scope(Section& section, const Report& report) {
  const bool is_repository = section.has("repository");
  const bool is_organization = section.has("organization");
  if (is_repository && is_organization) {
    section.add("organization", "a scope is a repository or an organization, not both");
  }
  if (!is_repository && !is_organization) {
    section.add("neither `repository: owner/name` nor `organization: name` is given");
  }
  for (const std::string_view key : {"repositories", "runner_group"}) {
    if (section.has(key) && is_repository) {
      section.add(key, "is for an organization, not for a repository");
    }
  }
  core::Scope scope = is_repository ? read_repository(section) : read_organization(section);
  section.read("max", scope.max, Whole{0, 1000});
  section.read("max_per_repo", scope.max_per_repo, Whole{0, 1000});
  scope.credentials = read_credentials(section, report);
  section.finish();
  return scope;
}

bool same_name(std::string_view a, std::string_view b) { return ascii_lower(a) == ascii_lower(b); }

// Does `wide`, an organization, look for jobs in the repository `narrow`?
bool covers(const core::Scope& wide, const core::Scope& narrow) {
  if (wide.kind != core::ScopeKind::organization || narrow.repository.empty()) return false;
  if (!same_name(wide.owner, narrow.owner)) return false;
  return wide.repositories.empty() ||
         std::ranges::any_of(wide.repositories, [&](const std::string& name) {
           return same_name(name, narrow.repository);
         });
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

void read_scopes(Section& github, std::vector<core::Scope>& scopes, Report& report) {
  github.each("scopes", [&](const Node& item, const std::string& path) {
    const std::size_t at_start = report.count();
    Section section(&item, path, report);
    core::Scope scope = read_scope(section, report);
    if (report.count() == at_start) check_overlap(section, scope, scopes);
    if (report.count() == at_start) scopes.push_back(std::move(scope));
  });
}

}  // namespace mvr::config
