// A YAML document as a tree that remembers where everything stands. Only the part of YAML that a
// configuration needs: one document, no anchors, no aliases, no tags, scalar keys.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/report.h"

namespace mvr::config {

inline constexpr std::size_t kMaxInput = 1024 * 1024;
inline constexpr std::size_t kMaxDepth = 16;

struct Node {
  enum class Kind { null, scalar, list, map };
  Kind kind = Kind::null;
  Mark mark;               // of a null value in a map: that of its key
  std::string text;        // scalar
  std::vector<Node> keys;  // map: scalars; keys[i] names items[i]
  std::vector<Node> items;
};
// "a list", for messages.
std::string_view kind_name(Node::Kind kind);

// The document, or nothing when it cannot be read; then, and for everything refused, `report` has
// the problems. An empty document is a null node.
std::optional<Node> read_document(std::string_view yaml, Report& report);

}  // namespace mvr::config
