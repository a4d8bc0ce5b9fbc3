#include "guest/users.h"

#include <algorithm>
#include <limits>

#include "base/text.h"
#include "guest/files.h"

namespace mvr::guest {
namespace {

// (uid_t)-1 means "unchanged" to the system calls and is no id.
std::optional<std::uint32_t> parse_id(std::string_view text) {
  const auto value = parse_u64(text);
  if (!value || *value >= std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
  return static_cast<std::uint32_t>(*value);
}

}  // namespace

Result<std::optional<User>> find_user(std::string_view passwd, std::string_view name) {
  for (const std::string_view line : split(passwd, '\n')) {
    const auto fields = split(line, ':');
    if (fields[0] != name) continue;
    const auto uid = fields.size() == 7 ? parse_id(fields[2]) : std::nullopt;
    const auto gid = fields.size() == 7 ? parse_id(fields[3]) : std::nullopt;
    if (!uid || !gid || fields[5].substr(0, 1) != "/") {
      return fail(Errc::invalid,
                  "/etc/passwd of the image: the line of '" + std::string(name) + "' is malformed");
    }
    const std::string_view shell = fields[6].empty() ? std::string_view("/bin/sh") : fields[6];
    return User{std::string(name), *uid, *gid, {}, std::string(fields[5]), std::string(shell)};
  }
  return std::nullopt;
}

std::vector<gid_t> find_groups(std::string_view group, std::string_view name) {
  std::vector<gid_t> ids;
  for (const std::string_view line : split(group, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() != 4) continue;
    const auto members = split(fields[3], ',');
    const auto gid = parse_id(fields[2]);
    if (gid && std::find(members.begin(), members.end(), name) != members.end()) {
      ids.push_back(*gid);
    }
  }
  return ids;
}

std::optional<gid_t> find_group(std::string_view group, std::string_view name) {
  for (const std::string_view line : split(group, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() == 4 && fields[0] == name) return parse_id(fields[2]);
  }
  return std::nullopt;
}

std::optional<std::string> unlocked_shadow(std::string_view shadow, std::string_view name) {
  const std::string locked = std::string(name) + ":!";
  std::size_t at = 0;
  while (shadow.substr(at, locked.size()) != locked) {
    at = shadow.find('\n', at);
    if (at == std::string_view::npos) return std::nullopt;
    ++at;
  }
  const std::size_t field = at + name.size() + 1;
  const std::size_t end = std::min(shadow.find_first_of(":\n", field), shadow.size());
  return std::string(shadow.substr(0, field)) + "*" + std::string(shadow.substr(end));
}

Result<User> load_user(const std::string& name) {
  TRY_ASSIGN(const std::string passwd, read_file("/etc/passwd"));
  TRY_ASSIGN(std::optional<User> user, find_user(passwd, name));
  if (!user) {
    return fail(Errc::not_found, "the image has no user '" + name +
                                     "': add it in the Dockerfile (useradd -m " + name +
                                     ") or name another one in the profile");
  }
  user->groups = find_groups(read_file("/etc/group").value_or(std::string()), name);
  if (std::find(user->groups.begin(), user->groups.end(), user->gid) == user->groups.end()) {
    user->groups.push_back(user->gid);
  }
  return *std::move(user);
}

}  // namespace mvr::guest
