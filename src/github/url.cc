#include "github/url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "base/text.h"
#include "github/client.h"

namespace mvr::github {
namespace {

struct Origin {
  std::string scheme;  // "http" or "https"
  std::string host;    // lower case, without brackets
  bool is_bracketed = false;
  std::string port;  // empty: the default one
  std::string_view rest;

  [[nodiscard]] std::string text() const {
    const std::string name = is_bracketed ? "[" + host + "]" : host;
    return scheme + "://" + name + (port.empty() ? "" : ":" + port);
  }
};

bool is_url_char(char c) { return c > ' ' && c < '\x7f' && c != '\\' && c != '"'; }

bool is_host_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
}

bool is_valid_port(std::string_view port) {
  const auto number = parse_u64(port);
  return number && *number > 0 && *number < 65536;
}

bool is_ipv6(const std::string& host) {
  in6_addr address{};
  return inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

bool is_host_name(std::string_view host) {
  return !host.empty() && host.size() <= 253 && host.front() != '.' && host.front() != '-' &&
         std::all_of(host.begin(), host.end(), is_host_char);
}

// Splits "host:port" or "[v6]:port" into `origin`.
bool parse_authority(std::string_view authority, Origin& origin) {
  std::string_view port;
  if (!authority.empty() && authority.front() == '[') {
    const auto close = authority.find(']');
    if (close == std::string_view::npos) return false;
    origin.host = ascii_lower(authority.substr(1, close - 1));
    origin.is_bracketed = true;
    const std::string_view after = authority.substr(close + 1);
    if (!after.empty() && after.front() != ':') return false;
    port = after.empty() ? after : after.substr(1);
    if (!is_ipv6(origin.host) || (!after.empty() && port.empty())) return false;
  } else {
    const auto colon = authority.find(':');
    origin.host = ascii_lower(authority.substr(0, colon));
    if (!is_host_name(origin.host)) return false;
    if (colon != std::string_view::npos) {
      port = authority.substr(colon + 1);
      if (port.empty()) return false;
    }
  }
  if (!port.empty() && !is_valid_port(port)) return false;
  const std::string_view usual = origin.scheme == "https" ? "443" : "80";
  if (port != usual) origin.port = std::string(port);
  return true;
}

std::optional<Origin> parse_origin(std::string_view url) {
  if (!std::all_of(url.begin(), url.end(), is_url_char)) return std::nullopt;
  const auto mark = url.find("://");
  if (mark == std::string_view::npos) return std::nullopt;
  Origin origin;
  origin.scheme = ascii_lower(url.substr(0, mark));
  if (origin.scheme != "http" && origin.scheme != "https") return std::nullopt;
  const std::string_view after = url.substr(mark + 3);
  const auto end = std::min(after.find_first_of("/?#"), after.size());
  if (!parse_authority(after.substr(0, end), origin)) return std::nullopt;
  origin.rest = after.substr(end);
  return origin;
}

struct Block4 {
  std::uint32_t base;
  unsigned prefix;
};
// Loopback, RFC 1918, and the documentation blocks of RFC 5737.
constexpr std::array<Block4, 7> kPlainHttpV4{{{0x7F000000, 8},
                                              {0x0A000000, 8},
                                              {0xAC100000, 12},
                                              {0xC0A80000, 16},
                                              {0xC0000200, 24},
                                              {0xC6336400, 24},
                                              {0xCB007100, 24}}};

// Without TLS the token is readable on the way, so only for hosts that are not on the internet.
bool may_use_plain_http(const Origin& origin) {
  if (origin.host == "localhost") return true;
  in_addr v4{};
  if (inet_pton(AF_INET, origin.host.c_str(), &v4) == 1) {
    const std::uint32_t address = ntohl(v4.s_addr);
    return std::any_of(kPlainHttpV4.begin(), kPlainHttpV4.end(), [&](const Block4& block) {
      return (address ^ block.base) >> (32 - block.prefix) == 0;
    });
  }
  in6_addr v6{};
  if (inet_pton(AF_INET6, origin.host.c_str(), &v6) != 1) return false;
  const std::span<const std::uint8_t, 16> b{v6.s6_addr};
  const bool is_loopback =
      b[15] == 1 && std::all_of(b.begin(), b.end() - 1, [](std::uint8_t x) { return x == 0; });
  const bool is_unique_local = (b[0] & 0xFEU) == 0xFC;  // RFC 4193
  const bool is_documentation =
      b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0D && b[3] == 0xB8;  // 3849
  return is_loopback || is_unique_local || is_documentation;
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() > end.size() && text.substr(text.size() - end.size()) == end;
}

std::string api_url(Origin origin) {
  const bool is_cloud = origin.host == "github.com" || origin.host == "www.github.com";
  if (is_cloud) origin.host = "api.github.com";
  const bool has_residency = ends_with(origin.host, ".ghe.com");
  if (has_residency) origin.host = "api." + origin.host;
  return origin.text() + (is_cloud || has_residency ? "" : "/api/v3");
}

// "/repos/owner/name" of "owner/name".
std::string repository_path(std::string_view repository) {
  const auto slash = repository.find('/');
  const std::string_view name =
      slash == std::string_view::npos ? std::string_view() : repository.substr(slash + 1);
  return "/repos/" + encode_segment(repository.substr(0, slash)) + "/" + encode_segment(name);
}

std::string scope_path(const core::Scope& scope) {
  if (scope.kind == core::ScopeKind::organization) return "/orgs/" + encode_segment(scope.owner);
  if (scope.kind == core::ScopeKind::enterprise) {
    return "/enterprises/" + encode_segment(scope.owner);
  }
  return "/repos/" + encode_segment(scope.owner) + "/" + encode_segment(scope.repository);
}

// The end of the parameters that follow a Link target: the next comma outside quotes.
std::size_t end_of_parameters(std::string_view text, std::size_t from) {
  bool is_quoted = false;
  for (std::size_t i = from; i < text.size(); ++i) {
    if (text[i] == '"') is_quoted = !is_quoted;
    if (text[i] == ',' && !is_quoted) return i;
  }
  return text.size();
}

// True when the parameters hold rel=next, alone or among other relations.
bool is_next(std::string_view parameters) {
  for (std::string_view parameter : split(parameters, ';')) {
    const auto equals = parameter.find('=');
    if (equals == std::string_view::npos) continue;
    const auto first = parameter.find_first_not_of(" \t");
    if (first > equals) continue;
    if (ascii_lower(parameter.substr(first, equals - first)) != "rel") continue;
    std::string value = ascii_lower(parameter.substr(equals + 1));
    std::replace_if(
        value.begin(), value.end(), [](char c) { return c == '"' || c == '\t'; }, ' ');
    for (const std::string_view relation : split(value, ' ')) {
      if (relation == "next") return true;
    }
  }
  return false;
}

}  // namespace

std::string encode_segment(std::string_view text) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (is_plain) {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4U];
      out += kDigits[byte & 15U];
    }
  }
  return out;
}

Result<std::string> api_base(const std::string& web_url) {
  const std::string shown = printable(web_url, 200);
  const auto origin = parse_origin(web_url);
  if (!origin) {
    return fail(Errc::invalid, "\"" + shown +
                                   "\" is not a web address of GitHub; write it like "
                                   "https://github.com or https://github.example.com");
  }
  if (!origin->rest.empty() && origin->rest != "/") {
    return fail(Errc::invalid, "\"" + shown + "\" has a path; write only " + origin->text() +
                                   " and name organisations and repositories as scopes");
  }
  if (origin->host == "api.github.com" ||
      (origin->host.rfind("api.", 0) == 0 && ends_with(origin->host, ".ghe.com"))) {
    return fail(Errc::invalid, "\"" + shown +
                                   "\" is the address of the API; write the web address " +
                                   origin->scheme + "://" + origin->host.substr(4));
  }
  if (origin->scheme == "http" && !may_use_plain_http(*origin)) {
    return fail(Errc::invalid, "\"" + shown +
                                   "\" would send the token unencrypted; use https:// (plain http "
                                   "is for loopback and private addresses only)");
  }
  return api_url(*origin);
}

std::string origin_of(std::string_view url) {
  const auto origin = parse_origin(url);
  return origin ? origin->text() : std::string();
}

Result<std::string> same_origin_url(std::string_view base, std::string_view target) {
  const std::string origin = origin_of(base);
  const bool is_path = !target.empty() && target.front() == '/' && target.substr(0, 2) != "//" &&
                       std::all_of(target.begin(), target.end(), is_url_char);
  if (is_path) return origin + std::string(target);
  if (!origin.empty() && origin_of(target) == origin) return std::string(target);
  return fail(Errc::protocol,
              "GitHub points to \"" + printable(target, 200) + "\", which is not on " + origin);
}

std::string request_label(std::string_view method, std::string_view url) {
  const auto origin = parse_origin(url);
  const std::string_view path = origin ? origin->rest : url;
  return std::string(method) + " " + printable(path.substr(0, path.find_first_of("?#")), 300);
}

std::string next_page(std::string_view link_header) {
  std::size_t at = 0;
  while (at < link_header.size()) {
    const auto open = link_header.find_first_not_of(" \t,", at);
    if (open == std::string_view::npos || link_header[open] != '<') return {};
    const auto close = link_header.find('>', open);
    if (close == std::string_view::npos) return {};
    const auto end = end_of_parameters(link_header, close + 1);
    if (is_next(link_header.substr(close + 1, end - close - 1))) {
      return std::string(link_header.substr(open + 1, close - open - 1));
    }
    at = end;
  }
  return {};
}

bool is_repository_name(std::string_view full_name) {
  const auto parts = split(full_name, '/');
  if (parts.size() != 2) return false;
  return std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
    if (part.empty() || part.size() > 100 || part == "." || part == "..") return false;
    return std::all_of(part.begin(), part.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_' || c == '.';
    });
  });
}

std::string runs_url(const std::string& base, std::string_view repository,
                     std::string_view status) {
  return base + repository_path(repository) + "/actions/runs?status=" + std::string(status) +
         "&per_page=100&exclude_pull_requests=true";
}

std::string run_jobs_url(const std::string& base, std::string_view repository, std::int64_t run) {
  return base + repository_path(repository) + "/actions/runs/" + std::to_string(run) +
         "/jobs?filter=latest&per_page=100";
}

std::string run_url(const std::string& base, std::string_view repository, std::int64_t run) {
  return base + repository_path(repository) + "/actions/runs/" + std::to_string(run) +
         "?exclude_pull_requests=true";
}

std::string repositories_url(const std::string& base, std::string_view organization) {
  return base + "/orgs/" + encode_segment(organization) +
         "/repos?type=all&sort=pushed&per_page=100";
}

std::string groups_url(const std::string& base, const core::Scope& scope) {
  return base + scope_path(scope) + "/actions/runner-groups?per_page=100";
}

std::string visible_groups_url(const std::string& base, const core::Scope& scope,
                               std::string_view repository) {
  return groups_url(base, scope) + "&visible_to_repository=" + encode_segment(repository);
}

std::string installed_repositories_url(const std::string& base) {
  return base + "/installation/repositories?per_page=100";
}

std::string runners_url(const std::string& base, const core::Scope& scope) {
  return base + scope_path(scope) + "/actions/runners?per_page=100";
}

std::string runner_url(const std::string& base, const core::Scope& scope, std::int64_t id) {
  return base + scope_path(scope) + "/actions/runners/" + std::to_string(id);
}

std::string runner_release_url(const std::string& base, const core::Scope& scope,
                               std::string_view version) {
  return base + scope_path(scope) + "/actions/runners/deprecations/" + encode_segment(version);
}

std::string runner_downloads_url(const std::string& base, const core::Scope& scope) {
  return base + scope_path(scope) + "/actions/runners/downloads";
}

std::string jit_url(const std::string& base, const core::Scope& scope) {
  return base + scope_path(scope) + "/actions/runners/generate-jitconfig";
}

std::string installation_url(const std::string& base, const core::Scope& scope) {
  return base + scope_path(scope) + "/installation";
}

std::string access_tokens_url(const std::string& base, std::int64_t installation) {
  return base + "/app/installations/" + std::to_string(installation) + "/access_tokens";
}

std::string app_deliveries_url(const std::string& base) {
  return base + "/app/hook/deliveries?per_page=100";
}

std::string app_delivery_url(const std::string& base, std::int64_t id) {
  return base + "/app/hook/deliveries/" + std::to_string(id);
}

std::string registration_token_url(const std::string& base, const core::Scope& scope) {
  return base + scope_path(scope) + "/actions/runners/registration-token";
}

std::string repository_url(const std::string& base, const core::Scope& scope) {
  return base + scope_path(scope);
}

}  // namespace mvr::github
