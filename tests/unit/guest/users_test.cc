// passwd, group and shadow of an image.
#include "guest/users.h"

#include "catch.h"

namespace mvr::guest {
namespace {

constexpr const char* kPasswd =
    "root:x:0:0:root:/root:/bin/bash\n"
    "runner:x:1001:121:Runner,,,:/home/runner:/bin/zsh\n"
    "plain:x:7:8::/:\n"
    "short:x:1:1\n"
    "letters:x:one:1::/:/bin/sh\n"
    "negative:x:-1:1::/:/bin/sh\n"
    "unchanged:x:4294967295:1::/:/bin/sh\n"
    "relative:x:1:1::home:/bin/sh\n";

TEST_CASE("a user is found with all that is needed to become it") {
  const auto user = find_user(kPasswd, "runner");
  REQUIRE(user);
  REQUIRE(user->has_value());
  CHECK(**user == User{"runner", 1001, 121, {}, "/home/runner", "/bin/zsh"});
}

TEST_CASE("a user without a shell gets sh") {
  const auto user = find_user(kPasswd, "plain");
  REQUIRE(user);
  REQUIRE(user->has_value());
  CHECK((*user)->shell == "/bin/sh");
}

TEST_CASE("a user who is not there is not found") {
  for (const auto* name : {"nobody", "run", "runner:x"}) {
    const auto user = find_user(kPasswd, name);
    REQUIRE(user);
    CHECK_FALSE(user->has_value());
  }
  CHECK_FALSE(find_user("", "root")->has_value());
}

TEST_CASE("a malformed line of the user is an error, not another user's ids") {
  for (const auto* name : {"short", "letters", "negative", "unchanged", "relative"}) {
    INFO(name);
    CHECK_FALSE(find_user(kPasswd, name));
  }
}

TEST_CASE("a group is found by its name") {
  constexpr const char* kGroup = "docker2:x:1:\ndocker:x:998:runner\nshort:x:5\nbad:x:abc:\n";
  CHECK(find_group(kGroup, "docker") == gid_t{998});
  for (const auto* name : {"dock", "short", "bad", ""}) CHECK_FALSE(find_group(kGroup, name));
}

TEST_CASE("the groups of a user are those that list it") {
  constexpr const char* kGroup =
      "root:x:0:\n"
      "sudo:x:27:admin,runner\n"
      "docker:x:999:runner\n"
      "other:x:5:runner2,xrunner\n"
      "broken:x:runner\n"
      "bad:x:abc:runner\n";
  CHECK(find_groups(kGroup, "runner") == std::vector<gid_t>{27, 999});
  CHECK(find_groups(kGroup, "root").empty());
  CHECK(find_groups("", "runner").empty());
}

TEST_CASE("a locked password becomes an impossible one and nothing else changes") {
  CHECK(unlocked_shadow("root:*:1::::::\nrunner:!:20777:0:99999:7:::\nz:!:1\n", "runner") ==
        "root:*:1::::::\nrunner:*:20777:0:99999:7:::\nz:!:1\n");
  CHECK(unlocked_shadow("runner:!$6$hash:1:", "runner") == "runner:*:1:");
  CHECK(unlocked_shadow("runner:!", "runner") == "runner:*");
}

TEST_CASE("an account that is not locked is left alone") {
  CHECK_FALSE(unlocked_shadow("runner:*:1:\n", "runner"));
  CHECK_FALSE(unlocked_shadow("runner:$6$hash!:1:\n", "runner"));
  CHECK_FALSE(unlocked_shadow("xrunner:!:1:\n", "runner"));
  CHECK_FALSE(unlocked_shadow("", "runner"));
}

}  // namespace
}  // namespace mvr::guest
