#include "image/image_diff.h"

#include <sys/stat.h>

#include <array>
#include <cstdio>
#include <map>
#include <utility>

#include "base/text.h"
#include "image/image_tree.h"

namespace mvr::image {
namespace {

using Nodes = std::map<std::string, TreeNode>;
using Packages = std::map<std::string, std::string>;

constexpr std::size_t kMaxStatus = 32U << 20U;
constexpr const char* kStatus = "/var/lib/dpkg/status";

std::string octal(std::uint32_t mode) {
  std::array<char, 16> text{};
  (void)std::snprintf(text.data(), text.size(), "%04o", mode & 07777U);
  return text.data();
}

std::string owner(const TreeNode& node) {
  return std::to_string(node.uid) + ":" + std::to_string(node.gid);
}

const char* type_name(std::uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return "file";
    case S_IFDIR:
      return "directory";
    case S_IFLNK:
      return "link";
    case S_IFCHR:
    case S_IFBLK:
      return "device";
    case S_IFIFO:
      return "fifo";
    default:
      return "socket";
  }
}

// One side of the comparison.
struct Side {
  ImageTree tree;
  Nodes nodes;
};

Result<Side> look_at(const std::string& image) {
  TRY_ASSIGN(ImageTree tree, ImageTree::open(image));
  TRY_ASSIGN(Nodes nodes, tree.list());
  return Side{std::move(tree), std::move(nodes)};
}

// Empty: they are alike.
Result<std::string> difference(const Side& before, const TreeNode& a, const Side& after,
                               const TreeNode& b) {
  std::vector<std::string> found;
  const auto note = [&found](const std::string& what, const std::string& from,
                             const std::string& to) {
    if (from != to) found.push_back(what + " " + from + " -> " + to);
  };
  if ((a.mode & S_IFMT) != (b.mode & S_IFMT)) {
    note("type", type_name(a.mode), type_name(b.mode));
    return join(found, ", ");
  }
  note("mode", octal(a.mode), octal(b.mode));
  note("owner", owner(a), owner(b));
  note("target", printable(a.target, 200), printable(b.target, 200));
  note("device", std::to_string(a.device), std::to_string(b.device));
  if (a.size != b.size) {
    note("size", std::to_string(a.size.value), std::to_string(b.size.value));
  } else if (S_ISREG(a.mode)) {
    TRY_ASSIGN(const bool same, ImageTree::same_content(before.tree, a, after.tree, b));
    if (!same) found.emplace_back("content");
  }
  return join(found, ", ");
}

// "Name: value" of a line; empty when it is another field.
std::string_view field(std::string_view line, std::string_view name) {
  if (!line.starts_with(name)) return {};
  return line.substr(name.size());
}

// Of what is installed: other states of a package leave no files worth telling.
Packages parse_status(std::string_view text) {
  Packages all;
  std::string name;
  std::string version;
  bool is_installed = false;
  const auto end_paragraph = [&] {
    if (is_installed && !name.empty()) all[name] = version;
    name.clear();
    version.clear();
    is_installed = false;
  };
  for (const std::string_view line : split(text, '\n')) {
    if (line.empty()) end_paragraph();
    if (const auto value = field(line, "Package: "); !value.empty()) name = value;
    if (const auto value = field(line, "Version: "); !value.empty()) version = value;
    if (line == "Status: install ok installed") is_installed = true;
  }
  end_paragraph();
  return all;
}

Result<Packages> packages_of(const Side& side) {
  const auto status = side.nodes.find(kStatus);
  if (status == side.nodes.end() || !S_ISREG(status->second.mode)) return Packages{};
  TRY_ASSIGN(const std::string text, side.tree.text(status->second, kMaxStatus));
  return parse_status(text);
}

// Walks two sorted maps side by side; null: the key is only in the other.
template <class Map, class Meet>
Result<void> merge(const Map& a, const Map& b, const Meet& meet) {
  auto left = a.begin();
  auto right = b.begin();
  while (left != a.end() || right != b.end()) {
    const bool only_left = right == b.end() || (left != a.end() && left->first < right->first);
    const bool only_right = left == a.end() || (right != b.end() && right->first < left->first);
    const auto& key = only_right ? right->first : left->first;
    TRY(meet(key, only_right ? nullptr : &left->second, only_left ? nullptr : &right->second));
    if (!only_right) ++left;
    if (!only_left) ++right;
  }
  return {};
}

Result<std::vector<PackageChange>> package_changes(const Side& before, const Side& after) {
  TRY_ASSIGN(const Packages old_ones, packages_of(before));
  TRY_ASSIGN(const Packages new_ones, packages_of(after));
  std::vector<PackageChange> changes;
  const auto meet = [&changes](const std::string& name, const std::string* from,
                               const std::string* to) -> Result<void> {
    PackageChange change{name, from == nullptr ? "" : *from, to == nullptr ? "" : *to};
    if (change.before != change.after) changes.push_back(std::move(change));
    return {};
  };
  TRY(merge(old_ones, new_ones, meet));
  return changes;
}

}  // namespace

Result<ImageDiff> diff_images(const std::string& before, const std::string& after) {
  TRY_ASSIGN(const Side old_side, look_at(before));
  TRY_ASSIGN(const Side new_side, look_at(after));
  ImageDiff diff;
  const auto meet = [&](const std::string& path, const TreeNode* from,
                        const TreeNode* to) -> Result<void> {
    using Kind = PathChange::Kind;
    if (from == nullptr || to == nullptr) {
      diff.paths.push_back({from == nullptr ? Kind::added : Kind::removed, path, ""});
      return {};
    }
    TRY_ASSIGN(std::string what, difference(old_side, *from, new_side, *to));
    if (!what.empty()) diff.paths.push_back({Kind::changed, path, std::move(what)});
    return {};
  };
  TRY(merge(old_side.nodes, new_side.nodes, meet));
  TRY_ASSIGN(diff.packages, package_changes(old_side, new_side));
  return diff;
}

}  // namespace mvr::image
