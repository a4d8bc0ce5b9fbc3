// The URLs we ask for, and which of those GitHub hands back we follow. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "core/config.h"

namespace mvr::github {

// "https://host" or "http://host:port" of a URL, lower case, without a default port. Empty when
// it is not http or https, names a user, or holds characters no URL has.
std::string origin_of(std::string_view url);

// Where a Location or Link target leads: the target itself when it has the origin of `base`, that
// origin plus the target when it is an absolute path. Err protocol for any other target: the token
// must not follow.
Result<std::string> same_origin_url(std::string_view base, std::string_view target);

// "GET /repos/o/r/actions/runs": what was asked, for error texts; without host and query.
std::string request_label(std::string_view method, std::string_view url);

// The target of rel="next" in a Link header; empty when there is none.
std::string next_page(std::string_view link_header);

// True for "owner/name" in the characters GitHub allows.
bool is_repository_name(std::string_view full_name);

// Below, `base` is what api_base() returned and `repository` is "owner/name".
std::string runs_url(const std::string& base, std::string_view repository, std::string_view status);
std::string run_jobs_url(const std::string& base, std::string_view repository, std::int64_t run);
std::string run_url(const std::string& base, std::string_view repository, std::int64_t run);
std::string repositories_url(const std::string& base, std::string_view organization);
// What an installation of an App sees.
std::string installed_repositories_url(const std::string& base);
// Of an organisation or enterprise.
std::string groups_url(const std::string& base, const core::Scope& scope);
// Those of them that the repository, by its name without the owner, may use.
std::string visible_groups_url(const std::string& base, const core::Scope& scope,
                               std::string_view repository);
std::string runners_url(const std::string& base, const core::Scope& scope);
std::string runner_url(const std::string& base, const core::Scope& scope, std::int64_t id);
std::string runner_release_url(const std::string& base, const core::Scope& scope,
                               std::string_view version);
std::string runner_downloads_url(const std::string& base, const core::Scope& scope);
std::string jit_url(const std::string& base, const core::Scope& scope);
// Where an App is installed that serves the scope.
std::string installation_url(const std::string& base, const core::Scope& scope);
std::string access_tokens_url(const std::string& base, std::int64_t installation);
// What an App's webhook sent lately, and one of these deliveries.
std::string app_deliveries_url(const std::string& base);
std::string app_delivery_url(const std::string& base, std::int64_t id);
std::string registration_token_url(const std::string& base, const core::Scope& scope);
std::string repository_url(const std::string& base, const core::Scope& scope);

// A part of a path or a value of a query: %XX for all but the unreserved characters of RFC 3986.
std::string encode_segment(std::string_view text);

}  // namespace mvr::github
