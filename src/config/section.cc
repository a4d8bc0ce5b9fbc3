#include "config/section.h"

#include <map>

namespace mvr::config {
namespace {

std::string unknown_key(std::string_view key, std::span<const std::string_view> known) {
  const std::optional<std::string> near = nearest_name(key, known);
  if (near) return "unknown key; did you mean \"" + *near + "\"?";
  std::string text = "unknown key; known here:";
  for (const std::string_view name : known) {
    text += text.ends_with(':') ? " " : ", ";
    text += name;
  }
  return text;
}

}  // namespace

const Node* Section::find(std::string_view key) {
  if (std::ranges::find(known_, key) == known_.end()) known_.push_back(key);
  if (node_ == nullptr) return nullptr;
  for (std::size_t i = 0; i < node_->items.size(); ++i) {
    if (node_->keys[i].text == key) return &node_->items[i];
  }
  return nullptr;
}

void Section::finish() {
  if (node_ == nullptr) return;
  std::map<std::string_view, Mark> seen;
  for (std::size_t i = 0; i < node_->items.size(); ++i) {
    const Node& key = node_->keys[i];
    const std::string path = field(printable(key.text, 60));
    const auto [first, is_new] = seen.emplace(key.text, key.mark);
    if (!is_new) {
      report_.add(key.mark, path,
                  "given twice, first at line " + std::to_string(first->second.line));
    } else if (std::ranges::find(known_, key.text) == known_.end()) {
      report_.add(key.mark, path, unknown_key(key.text, known_));
    }
  }
}

}  // namespace mvr::config
