#include "github/token.h"

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace mvr::github {
namespace {

constexpr std::string_view kKey = "GITHUB_TOKEN";

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string_view unquote(std::string_view text) {
  const bool is_quoted = text.size() >= 2 && text.front() == text.back() &&
                         (text.front() == '"' || text.front() == '\'');
  return is_quoted ? text.substr(1, text.size() - 2) : text;
}

Result<Secret> checked(std::string_view token) {
  if (token.empty()) return fail(Errc::invalid, "the token is empty");
  if (!is_token(token)) {
    return fail(Errc::invalid, "the token holds characters that no token of GitHub has");
  }
  return Secret(std::string(token));
}

}  // namespace

bool is_token(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

Result<Secret> parse_token(std::string_view text) {
  return checked(trim(text.substr(0, text.find('\n'))));
}

Result<Secret> parse_token_environment(std::string_view text) {
  std::optional<std::string_view> value;
  for (std::string_view line : split(text, '\n')) {
    line = trim(line);
    if (line.empty() || line.front() == '#') continue;
    const auto equals = line.find('=');
    if (equals == std::string_view::npos || line.substr(0, equals) != kKey) continue;
    value = unquote(trim(line.substr(equals + 1)));
  }
  if (!value) return fail(Errc::not_found, "no line GITHUB_TOKEN=...");
  return checked(*value);
}

}  // namespace mvr::github
