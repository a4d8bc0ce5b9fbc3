#include "guest/action_lines.h"

#include <string>

#include "catch.h"
#include "channel/message.h"

namespace mvr::guest {
namespace {

using Found = std::vector<ActionRef>;

const std::string kSha = "08eba0b27e820071cde6df949e0beb9ba4906955";
const std::string kWriter = "[2026-11-20 19:30:00Z INFO ActionManager] ";

std::string check_line(const std::string& repository, const std::string& sha = kSha) {
  return kWriter + "Check if action archive '" + repository + "@" + sha +
         "' already exists in cache directory '/opt/action-archives'\n";
}

TEST_CASE("an action is found whether its archive is looked up or downloaded, and told once") {
  ActionLines lines;
  CHECK(lines.feed(check_line("actions/checkout")) == Found{{"actions/checkout", kSha}});
  const std::string api = "https://api.github.com/repos/actions/checkout/tarball/" + kSha;
  CHECK(lines.feed(kWriter + "Save archive '" + api + "' into /x/_temp_1/2.tar.gz.\n").empty());
  const std::string other = "https://codeload.github.com/acme/tool/legacy.tar.gz/" + kSha;
  CHECK(lines.feed(kWriter + "Save archive '" + other + "?token=x' into /x/3.tar.gz.\n") ==
        Found{{"acme/tool", kSha}});
}

TEST_CASE("the log is followed however it is cut") {
  const std::string text = "==> Worker_1.log\n" + check_line("a/b") + "other\n" + check_line("c/d");
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    ActionLines lines;
    Found found = lines.feed(std::string_view(text).substr(0, cut));
    const Found rest = lines.feed(std::string_view(text).substr(cut));
    found.insert(found.end(), rest.begin(), rest.end());
    CHECK(found == Found{{"a/b", kSha}, {"c/d", kSha}});
  }
}

TEST_CASE("what the worker would not write, or what is no action, is not told") {
  ActionLines lines;
  for (const std::string& line :
       {check_line("a/b").substr(1), "x" + check_line("a/b"), check_line("../b"),
        check_line("a/b", "v4"), "[" + std::string(64, 'x') + check_line("a/b"),
        "[x INFO Worker] Check if action archive 'a/b@" + kSha + "'\n",
        kWriter + "Check if action archive 'a/b@" + kSha + "\n",
        kWriter + "Save archive 'https://x/a/b/releases/" + kSha + "' into x\n",
        kWriter + "Save archive '" + kSha + "' into x\n", kWriter + "\n"}) {
    INFO(line);
    CHECK(lines.feed(line).empty());
  }
}

TEST_CASE("a job cannot make its VM tell without end") {
  ActionLines lines;
  std::size_t told = 0;
  for (int n = 0; n < 1000; ++n) told += lines.feed(check_line("a/b" + std::to_string(n))).size();
  CHECK(told == channel::kMaxActions);
}

}  // namespace
}  // namespace mvr::guest
