#include "base/action_ref.h"

#include <algorithm>

namespace mvr {
namespace {

constexpr std::size_t kMaxOwner = 64;
constexpr std::size_t kMaxName = 100;
constexpr std::size_t kSha1 = 40;
constexpr std::size_t kSha256 = 64;

bool is_part(std::string_view text, std::size_t max) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= max && text.front() != '.' && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), is_allowed);
}

bool is_sha(std::string_view text) {
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return (text.size() == kSha1 || text.size() == kSha256) &&
         std::all_of(text.begin(), text.end(), is_digit);
}

}  // namespace

std::optional<ActionRef> parse_action_ref(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::size_t at = text.find('@');
  if (slash == std::string_view::npos || at == std::string_view::npos || at < slash) {
    return std::nullopt;
  }
  const std::string_view name = text.substr(slash + 1, at - slash - 1);
  const std::string_view sha = text.substr(at + 1);
  if (!is_part(text.substr(0, slash), kMaxOwner) || !is_part(name, kMaxName) || !is_sha(sha)) {
    return std::nullopt;
  }
  return ActionRef{std::string(text.substr(0, at)), std::string(sha)};
}

std::string action_text(const ActionRef& action) { return action.repository + "@" + action.sha; }

}  // namespace mvr
