// What mvrunner must be allowed to do at GitHub, and what of it a credential lacks. Pure.
//
// Sources: the permissions of each endpoint in GitHub's REST reference, and
// https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/scopes-for-oauth-apps.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "core/config.h"

namespace mvr::github {

// What an installation of an App was granted: "administration" -> "write".
using Permissions = std::map<std::string, std::string>;

// The permissions that serving `scope` needs and `granted` lacks, each with what it is for:
// "\"Actions: read\" on repositories (to find queued jobs)". Empty: none.
std::string lacking_permissions(const core::Scope& scope, const Permissions& granted);

// The same for a classic token, whose scopes GitHub tells in X-OAuth-Scopes: "repo, admin:org".
std::string lacking_scopes(const core::Scope& scope, std::string_view oauth_scopes);

}  // namespace mvr::github
