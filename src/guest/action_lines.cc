#include "guest/action_lines.h"

#include <optional>
#include <string>

#include "base/text.h"
#include "channel/message.h"

namespace mvr::guest {
namespace {

constexpr std::string_view kWriter = " ActionManager] ";
constexpr std::size_t kLatestWriter = 64;  // time and level stand before it

// What stands between `before` and the next quote; empty when the text begins otherwise.
std::string_view quoted_after(std::string_view text, std::string_view before) {
  if (!text.starts_with(before)) return {};
  text.remove_prefix(before.size());
  const std::size_t end = text.find('\'');
  return end == std::string_view::npos ? std::string_view() : text.substr(0, end);
}

// "https://api.github.com/repos/actions/checkout/tarball/<sha>", or codeload's ".../tar.gz/<sha>"
std::optional<ActionRef> action_of_address(std::string_view address) {
  const auto parts = split(address.substr(0, address.find('?')), '/');
  if (parts.size() < 4) return std::nullopt;
  const std::size_t last = parts.size() - 1;
  const std::string_view kind = parts[last - 1];
  if (kind != "tarball" && !kind.ends_with("tar.gz")) return std::nullopt;
  std::string text(parts[last - 3]);
  text.append("/").append(parts[last - 2]).append("@").append(parts[last]);
  return parse_action_ref(text);
}

std::optional<ActionRef> action_of_line(std::string_view line) {
  const std::size_t writer = line.find(kWriter);
  if (!line.starts_with("[") || writer > kLatestWriter) return std::nullopt;
  const std::string_view text = line.substr(writer + kWriter.size());
  if (const auto name = quoted_after(text, "Check if action archive '"); !name.empty()) {
    return parse_action_ref(name);
  }
  const auto address = quoted_after(text, "Save archive '");
  return address.empty() ? std::nullopt : action_of_address(address);
}

}  // namespace

std::vector<ActionRef> ActionLines::feed(std::string_view bytes) {
  std::vector<ActionRef> found;
  lines_.feed(bytes, [&](std::string_view line) {
    if (known_.size() >= channel::kMaxActions) return;
    auto action = action_of_line(line);
    if (action && known_.insert(*action).second) found.push_back(std::move(*action));
  });
  return found;
}

}  // namespace mvr::guest
