#include "github/permissions.h"

#include "catch.h"

namespace mvr::github {
namespace {

core::Scope repository() {
  core::Scope scope;
  scope.owner = "acme";
  scope.repository = "app";
  return scope;
}

core::Scope organization() {
  core::Scope scope;
  scope.kind = core::ScopeKind::organization;
  scope.owner = "acme";
  return scope;
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("an App with what its scope needs lacks nothing") {
  CHECK(lacking_permissions(repository(), {{"actions", "read"}, {"administration", "write"}})
            .empty());
  CHECK(lacking_permissions(repository(), {{"actions", "write"}, {"administration", "admin"}})
            .empty());
  CHECK(lacking_permissions(organization(),
                            {{"actions", "read"}, {"organization_self_hosted_runners", "write"}})
            .empty());
}

TEST_CASE("what an App lacks is named with what it is for") {
  const std::string all = lacking_permissions(repository(), {});
  CHECK(has(all, "\"Actions: read\""));
  CHECK(has(all, "find jobs"));
  CHECK(has(all, "\"Administration: write\""));
  CHECK(has(all, "register runners"));
  const std::string one =
      lacking_permissions(repository(), {{"actions", "read"}, {"administration", "read"}});
  CHECK(has(one, "\"Administration: write\""));
  CHECK_FALSE(has(one, "Actions"));
  CHECK(has(lacking_permissions(organization(), {{"administration", "write"}}),
            "\"Self-hosted runners: write\""));
}

TEST_CASE("a classic token's scopes are words, not parts of words") {
  for (const char* scopes : {"repo", "gist, repo, user", "repo,user", " repo "}) {
    CHECK(lacking_scopes(repository(), scopes).empty());
  }
  for (const char* scopes : {"", "public_repo", "repo:status", "repository", ",", "admin:org"}) {
    CHECK(has(lacking_scopes(repository(), scopes), "repo"));
  }
  CHECK(lacking_scopes(organization(), "repo, admin:org").empty());
  CHECK(lacking_scopes(organization(), "manage_runners:org").empty());
  CHECK(has(lacking_scopes(organization(), "repo, read:org"), "admin:org"));
}

}  // namespace mvr::github
