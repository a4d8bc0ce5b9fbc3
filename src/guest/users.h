// Users of the image, from its files. No NSS: the agent is static and the image is not ours.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mvr::guest {

struct User {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary, with gid
  std::string home;
  std::string shell;
  friend bool operator==(const User&, const User&) = default;
};

// The first line of passwd(5) text for `name`; Err invalid when that line is malformed.
Result<std::optional<User>> find_user(std::string_view passwd, std::string_view name);
// The ids of all groups of group(5) text that list `name`; malformed lines are skipped.
std::vector<gid_t> find_groups(std::string_view group, std::string_view name);
// The id of a group of group(5) text.
std::optional<gid_t> find_group(std::string_view group, std::string_view name);
// shadow(5) text in which a locked password of `name` ("!...") is an impossible one ("*"): sshd
// without PAM refuses keys of locked accounts. Empty when nothing has to change.
std::optional<std::string> unlocked_shadow(std::string_view shadow, std::string_view name);

// From /etc/passwd and /etc/group. Err not_found names the remedy.
Result<User> load_user(const std::string& name);

}  // namespace mvr::guest
