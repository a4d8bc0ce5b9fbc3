#include "image/access_list.h"

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace mvr::image {
namespace {

// <linux/posix_acl_xattr.h>: version 2, then entries of tag, permissions, id; little-endian.
constexpr std::uint32_t kVersion = 2;
constexpr std::size_t kMaxEntries = 500;  // more does not fit into an attribute block

struct AccessEntry {
  std::uint16_t tag = 0;
  std::uint16_t permissions = 0;
  std::uint32_t id = kNone;
};

std::optional<std::uint16_t> tag_of(int tag) {
  switch (tag) {
    case ARCHIVE_ENTRY_ACL_USER_OBJ:
      return std::uint16_t{0x01};
    case ARCHIVE_ENTRY_ACL_USER:
      return std::uint16_t{0x02};
    case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
      return std::uint16_t{0x04};
    case ARCHIVE_ENTRY_ACL_GROUP:
      return std::uint16_t{0x08};
    case ARCHIVE_ENTRY_ACL_MASK:
      return std::uint16_t{0x10};
    case ARCHIVE_ENTRY_ACL_OTHER:
      return std::uint16_t{0x20};
    default:
      return std::nullopt;
  }
}

void put(std::string& text, std::uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) text.push_back(static_cast<char>(value >> (8 * i) & 0xffU));
}

Result<std::vector<AccessEntry>> entries_of(archive_entry* entry, int kind) {
  std::vector<AccessEntry> list;
  if (::archive_entry_acl_reset(entry, kind) == 0) return list;
  int type = 0;
  int permissions = 0;
  int tag = 0;
  int id = 0;
  const char* name = nullptr;
  while (::archive_entry_acl_next(entry, kind, &type, &permissions, &tag, &id, &name) ==
         ARCHIVE_OK) {
    const auto known = tag_of(tag);
    if (!known || list.size() >= kMaxEntries) return fail(Errc::invalid, "its access list");
    AccessEntry one;
    one.tag = *known;
    one.permissions = static_cast<std::uint16_t>(permissions & 7);
    if (tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP) {
      if (id < 0) {
        return fail(Errc::invalid, "its access list names \"" +
                                       printable(name == nullptr ? "" : name, 80) +
                                       "\" without a number: pack it with --numeric-owner");
      }
      one.id = static_cast<std::uint32_t>(id);
    }
    list.push_back(one);
  }
  std::sort(list.begin(), list.end(), [](const AccessEntry& a, const AccessEntry& b) {
    return std::pair(a.tag, a.id) < std::pair(b.tag, b.id);
  });
  return list;
}

Result<void> add_list(archive_entry* entry, int kind, const char* name, Attributes& attributes) {
  TRY_ASSIGN(const std::vector<AccessEntry> list, entries_of(entry, kind));
  // Three entries are what the mode says.
  const bool is_default = kind == ARCHIVE_ENTRY_ACL_TYPE_DEFAULT;
  if (list.empty() || (!is_default && list.size() <= 3)) return {};
  std::string value;
  put(value, kVersion, 4);
  for (const AccessEntry& one : list) {
    put(value, one.tag, 2);
    put(value, one.permissions, 2);
    put(value, one.id, 4);
  }
  const auto same = [&](const auto& attribute) { return attribute.first == name; };
  attributes.erase(std::remove_if(attributes.begin(), attributes.end(), same), attributes.end());
  attributes.emplace_back(name, std::move(value));
  return {};
}

}  // namespace

Result<void> add_access_lists(archive_entry* entry, Attributes& attributes) {
  if ((::archive_entry_acl_types(entry) & ARCHIVE_ENTRY_ACL_TYPE_POSIX1E) == 0) return {};
  TRY(add_list(entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, "system.posix_acl_access", attributes));
  return add_list(entry, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, "system.posix_acl_default", attributes);
}

}  // namespace mvr::image
