#include "base/action_ref.h"

#include <string>
#include <vector>

#include "catch.h"

namespace mvr {
namespace {

const std::string kSha(40, 'a');

TEST_CASE("an action is a repository and a whole commit") {
  const auto action = parse_action_ref("actions/checkout@" + kSha);
  REQUIRE(action);
  CHECK(*action == ActionRef{"actions/checkout", kSha});
  CHECK(action_text(*action) == "actions/checkout@" + kSha);
  CHECK(parse_action_ref("A_b/c.d-E_9@" + std::string(64, '0')));
  CHECK(parse_action_ref(std::string(64, 'o') + "/" + std::string(100, 'n') + "@" + kSha));
}

TEST_CASE("what is no action could be no path and no address either") {
  for (const std::string& text :
       std::vector<std::string>{"",
                                kSha,
                                "a@" + kSha,
                                "/b@" + kSha,
                                "a/@" + kSha,
                                "a/b/c@" + kSha,
                                "../b@" + kSha,
                                "a/..@" + kSha,
                                "a/.b@" + kSha,
                                "-a/b@" + kSha,
                                "a/b%2f@" + kSha,
                                "a/b c@" + kSha,
                                "a/b\n@" + kSha,
                                "a/b@" + kSha + "\n",
                                "a/b@" + kSha.substr(1),
                                "a/b@" + kSha + "a",
                                "a/b@" + std::string(40, 'A'),
                                "a/b@" + std::string(40, 'g'),
                                "a/b@v4",
                                "a/b@@" + kSha,
                                "a@b/c@" + kSha,
                                "a/b?x@" + kSha,
                                "a/\xc3\xa4@" + kSha,
                                std::string(65, 'o') + "/n@" + kSha,
                                "o/" + std::string(101, 'n') + "@" + kSha}) {
    INFO(text);
    CHECK_FALSE(parse_action_ref(text));
  }
}

}  // namespace
}  // namespace mvr
