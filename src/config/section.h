// Section: one mapping of the file, read key by key into typed values.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "config/node.h"
#include "config/report.h"
#include "config/values.h"

namespace mvr::config {

// The offending text as messages show it.
inline std::string quoted(std::string_view text) { return "\"" + printable(text, 60) + "\""; }

// Every read leaves `out` alone when the key is absent, and when its value is wrong; the latter is
// a problem. The keys read are the keys known: finish() makes a problem of every other one.
class Section {
 public:
  // `node`: null when the section is absent. `path`: "" at the top, else like "host".
  Section(const Node* node, std::string path, Report& report)
      : node_(node), path_(std::move(path)), report_(report) {
    if (node_ == nullptr || node_->kind == Node::Kind::null) return;
    if (node_->kind == Node::Kind::map) return;
    report_.add(node_->mark, path_,
                std::string(kind_name(node_->kind)) + " is not a mapping of keys to values");
    node_ = nullptr;
    is_broken_ = true;
  }

  template <class T, class Allowed>
  void read(std::string_view key, T& out, const Allowed& allowed) {
    const Node* const node = find(key);
    if (node != nullptr) read_node(*node, field(key), out, allowed);
  }

  // A list of single values, none twice.
  template <class T, class Allowed>
  void read_list(std::string_view key, std::vector<T>& out, const Allowed& allowed) {
    each(key, [&](const Node& item, const std::string& path) {
      T value{};
      if (!read_node(item, path, value, allowed)) return;
      if (std::ranges::find(out, value) != out.end()) {
        report_.add(item.mark, path, quoted(item.text) + " is in the list already");
        return;
      }
      out.push_back(std::move(value));
    });
  }

  // Calls `visit(item, path)` for every item of a list; an empty value is an empty list.
  template <class Visit>
  void each(std::string_view key, const Visit& visit) {
    const Node* const list = find(key);
    if (list == nullptr || list->kind == Node::Kind::null) return;
    if (list->kind != Node::Kind::list) {
      report_.add(list->mark, field(key), std::string(kind_name(list->kind)) + " is not a list");
      return;
    }
    for (std::size_t i = 0; i < list->items.size(); ++i) {
      visit(list->items[i], field(key) + "[" + std::to_string(i) + "]");
    }
  }

  // Calls `visit(key, value, path)` for every entry of a mapping whose keys are data, such as
  // names; an empty value is an empty mapping.
  template <class Visit>
  void entries(std::string_view key, const Visit& visit) {
    const Node* const map = find(key);
    if (map == nullptr || map->kind == Node::Kind::null) return;
    if (map->kind != Node::Kind::map) {
      report_.add(map->mark, field(key),
                  std::string(kind_name(map->kind)) + " is not a mapping of keys to values");
      return;
    }
    for (std::size_t i = 0; i < map->items.size(); ++i) {
      visit(map->keys[i], map->items[i], field(key) + "." + printable(map->keys[i].text, 60));
    }
  }

  // One value of a list or of a mapping whose keys are data; false when it is wrong.
  template <class T, class Allowed>
  bool read_node(const Node& node, const std::string& path, T& out, const Allowed& allowed) {
    if (node.kind != Node::Kind::scalar) {
      report_.add(node.mark, path,
                  std::string(kind_name(node.kind)) + " is not " + allowed.allowed());
      return false;
    }
    auto value = allowed(node.text);
    if (!value) {
      report_.add(node.mark, path, quoted(node.text) + " is not " + allowed.allowed());
      return false;
    }
    out = std::move(*value);
    return true;
  }

  // A section below this one; absent when its key is.
  [[nodiscard]] Section child(std::string_view key) {
    return Section(find(key), field(key), report_);
  }

  // A problem of the section as a whole. Nothing is added to one that is no mapping: what it lacks
  // follows from that.
  void add(std::string message) {
    if (is_broken_) return;
    report_.add(node_ == nullptr ? Mark{} : node_->mark, path_, std::move(message));
  }

  void require(std::string_view key, std::string_view expected) {
    if (!has(key)) add(key, "is missing: give " + std::string(expected));
  }

  // A problem at the value of `key`, or at the section when the key is absent.
  void add(std::string_view key, std::string message) {
    if (is_broken_) return;
    report_.add(mark(key), field(key), std::move(message));
  }

  [[nodiscard]] bool has(std::string_view key) { return find(key) != nullptr; }
  // For a key that is a mapping, or one word for the whole of it.
  [[nodiscard]] bool is_scalar(std::string_view key) {
    const Node* const value = find(key);
    return value != nullptr && value->kind == Node::Kind::scalar;
  }
  [[nodiscard]] std::string field(std::string_view key) const {
    return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
  }
  [[nodiscard]] Mark mark(std::string_view key) {
    const Node* const value = find(key);
    if (value != nullptr) return value->mark;
    return node_ == nullptr ? Mark{} : node_->mark;
  }

  // Reports unknown keys and keys given twice.
  void finish();

 private:
  [[nodiscard]] const Node* find(std::string_view key);

  const Node* node_;
  std::string path_;
  Report& report_;
  std::vector<std::string_view> known_;
  bool is_broken_ = false;
};

}  // namespace mvr::config
