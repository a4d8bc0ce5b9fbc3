// Which events a job may have been started by.
#include "guest/origin.h"

#include "catch.h"

namespace mvr::guest {
namespace {

const Served kNeither{"small", false, false};
const Served kPublic{"small", true, false};
const Served kForks{"small", false, true};

const std::string kOwn = R"("repository": {"id": 7, "full_name": "acme/widgets", "private": true})";
const std::string kOpen = R"("repository": {"id": 7, "full_name": "acme/open", "private": false})";

std::string pull_request(const std::string& repository, const std::string& head_repo) {
  return "{\"action\": \"opened\", " + repository + R"(, "pull_request": {"id": 7, "title": "x",
      "labels": [{"id": 1}], "head": {"ref": "main", "repo": )" +
         head_repo + R"(}, "base": {"repo": {"id": 7, "private": true}}}})";
}

std::string text(const std::string& event, const Served& served) {
  return why_refused(event, served).value_or("");
}

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("an event of a private repository is served") {
  CHECK(text("{" + kOwn + R"(, "ref": "refs/heads/main", "commits": [{"id": "a"}]})", kNeither)
            .empty());
  CHECK(text("{" + kOwn + R"(, "schedule": "0 5 * * *"})", kNeither).empty());
}

TEST_CASE("an event of a public repository needs the profile to serve those") {
  CHECK(text("{" + kOpen + "}", kNeither) ==
        "profile small serves no jobs of public repositories (public_repositories); this job was "
        "given to its runner all the same and is ended before its first step");
  CHECK_FALSE(text("{" + kOpen + "}", kForks).empty());
  CHECK(text("{" + kOpen + "}", kPublic).empty());
}

TEST_CASE("a repository that is not said to be private is a public one") {
  for (const auto* event :
       {"{}", R"({"repository": null})", R"({"repository": {"id": 7}})",
        R"({"repository": {"id": 7, "private": null}})", R"({"private": true})",
        R"({"repository": {"id": 7, "private": "true"}})", R"({"repository": [{"private": true}]})",
        R"({"repository": {"id": 7, "private": 1}})",
        R"({"repository": {"owner": {"private": true}}})",
        R"({"repository": {"id": 7, "private": true, "private": false}})"}) {
    INFO(event);
    CHECK(says(text(event, kNeither), "(public_repositories)"));
  }
}

TEST_CASE("a pull request within the repository is served") {
  CHECK(text(pull_request(kOwn, R"({"id": 7, "private": true})"), kNeither).empty());
}

TEST_CASE("a pull request from a fork needs the profile to serve those") {
  const std::string forked = pull_request(kOwn, R"({"id": 8, "private": true})");
  CHECK(says(text(forked, kNeither),
             "profile small serves no pull requests from forks (fork_pull_requests); "));
  CHECK_FALSE(text(forked, kPublic).empty());
  CHECK(text(forked, kForks).empty());
  CHECK(text(forked, Served{"small", true, true}).empty());
  // A public repository's needs both.
  const std::string open = pull_request(kOpen, R"({"id": 8})");
  CHECK(says(text(open, kForks), "(public_repositories)"));
  CHECK(says(text(open, kPublic), "(fork_pull_requests)"));
}

TEST_CASE("a pull request whose head is not told to be ours is from a fork") {
  for (const auto* head :
       {"null", "{}", "[]", "7", R"({"id": null})", R"({"id": "7"})", R"({"id": [7]})"}) {
    INFO(head);
    CHECK(says(text(pull_request(kOwn, head), kNeither), "(fork_pull_requests)"));
  }
  const std::string nameless = R"("repository": {"private": true})";
  CHECK_FALSE(text(pull_request(nameless, "{}"), kNeither).empty());
  CHECK_FALSE(text("{" + kOwn + R"(, "pull_request": {}})", kNeither).empty());
  CHECK_FALSE(text("{" + kOwn + R"(, "pull_request": [{"id": 7}]})", kNeither).empty());
  CHECK(text("{" + kOwn + R"(, "pull_request": null})", kNeither).empty());
}

TEST_CASE("a run that another run started is judged by that one's head") {
  const auto event = [](const std::string& head) {
    return "{" + kOwn + R"(, "workflow_run": {"id": 7, "head_repository": )" + head + "}}";
  };
  CHECK(text(event(R"({"id": 7})"), kNeither).empty());
  CHECK(says(text(event(R"({"id": 8})"), kNeither), "(fork_pull_requests)"));
  CHECK_FALSE(text(event("null"), kNeither).empty());
  CHECK(text(event(R"({"id": 8})"), kForks).empty());
}

TEST_CASE("an event that cannot be read is refused") {
  for (const std::string event : {"", "null", "[]", "7", "{", "{} x", "{\"a\": \"\xff\"}"}) {
    INFO(event);
    CHECK(text(event, kNeither) ==
          "the event that started this job cannot be read, so that profile small does not run it");
  }
}

TEST_CASE("depth and bulk elsewhere in the event change nothing") {
  std::string bulk = "{\"deep\": ";
  for (int i = 0; i < 100'000; ++i) bulk += R"({"repository": )";
  bulk += "1" + std::string(100'000, '}');
  bulk += R"(, "text": ")" + std::string(1'000'000, 'x') + "\", ";
  CHECK(text(bulk + kOwn + "}", kNeither).empty());
  CHECK_FALSE(text(bulk + kOpen + "}", kNeither).empty());
  // What a person wrote is text, whatever it looks like.
  CHECK_FALSE(
      text("{" + kOpen + R"(, "title": "\"repository\": {\"private\": true}"})", kNeither).empty());
}

}  // namespace
}  // namespace mvr::guest
