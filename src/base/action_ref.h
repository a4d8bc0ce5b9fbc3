// An action as a runner resolved it: a repository, and the commit of it that runs.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace mvr {

struct ActionRef {
  std::string repository;  // "owner/name"
  std::string sha;         // 40 or 64 lower-case hexadecimal digits
  friend bool operator==(const ActionRef&, const ActionRef&) = default;
  friend auto operator<=>(const ActionRef&, const ActionRef&) = default;
};

// "owner/name@sha" and nothing else: owner (at most 64) and name (at most 100) of A-Z a-z 0-9 . _ -
// without a dot or dash in front, so that both may be parts of a file's name and of an address.
std::optional<ActionRef> parse_action_ref(std::string_view text);
std::string action_text(const ActionRef& action);

}  // namespace mvr
