#include "sys/cgroup_paths.h"

#include <algorithm>

#include "base/text.h"

namespace mvr::sys {
namespace {

// The kernel writes space, tab, newline and backslash as \ooo.
std::string unescape(std::string_view text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && text.size() - i > 3 && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      const int value = (text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0');
      plain += static_cast<char>(value);
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

bool has_item(std::string_view list, std::string_view item) {
  const auto items = split(list, ',');
  return std::find(items.begin(), items.end(), item) != items.end();
}

}  // namespace

std::optional<CgroupMount> find_cgroup_mount(std::string_view mountinfo,
                                             std::string_view controller) {
  for (const std::string_view line : split(mountinfo, '\n')) {
    // id parent major:minor root path options [tags...] - type source super-options
    const std::size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    const auto fields = split(line.substr(0, dash), ' ');
    const auto rest = split(line.substr(dash + 3), ' ');
    if (fields.size() < 5 || rest.size() < 3) continue;
    const bool is_wanted = controller.empty()
                               ? rest[0] == "cgroup2"
                               : rest[0] == "cgroup" && has_item(rest[2], controller);
    if (is_wanted) return CgroupMount{unescape(fields[4]), unescape(fields[3])};
  }
  return std::nullopt;
}

std::optional<std::string> find_own_cgroup(std::string_view cgroups, std::string_view controller) {
  for (const std::string_view line : split(cgroups, '\n')) {
    const std::size_t first = line.find(':');
    if (first == std::string_view::npos) continue;
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view names = line.substr(first + 1, second - first - 1);
    const bool is_wanted = controller.empty() ? line.substr(0, first) == "0" && names.empty()
                                              : has_item(names, controller);
    if (is_wanted) return std::string(line.substr(second + 1));
  }
  return std::nullopt;
}

std::optional<std::string> cgroup_directory(const CgroupMount& mount, std::string_view own) {
  std::string_view below = own;
  if (mount.root != "/") {
    if (own.substr(0, mount.root.size()) != mount.root) return std::nullopt;
    below.remove_prefix(mount.root.size());
    if (!below.empty() && below.front() != '/') return std::nullopt;
  }
  if (below.find("/..") != std::string_view::npos) return std::nullopt;  // outside our namespace
  std::string path = mount.path;
  if (!below.empty() && below != "/") path += std::string(below);
  return path;
}

}  // namespace mvr::sys
