// Bad documents and the exact text of every problem found in them.
#include <string>
#include <vector>

#include "catch.h"
#include "config/load.h"

namespace mvr::config {
namespace {

std::vector<std::string> problems_of(const std::string& yaml) {
  std::vector<std::string> texts;
  for (const Problem& problem : parse(yaml, "c.yaml", "h").problems) {
    texts.push_back(problem.to_text());
  }
  return texts;
}

struct Case {
  std::string yaml;
  std::vector<std::string> problems;
};

void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    INFO(c.yaml);
    CHECK(problems_of(c.yaml) == c.problems);
  }
}

// Line 1; what a test is about begins at line 2.
const std::string kProfiles = "profiles: [{name: p, labels: [x]}]\n";
std::string with_profiles(const std::string& yaml) { return kProfiles + yaml; }

// A profile whose further keys stand on line 4.
std::string profile(const std::string& more) {
  return "profiles:\n  - name: p\n    labels: [x]\n    " + more + "\n";
}

// Scopes that begin on line 4.
std::string scopes(const std::string& list) {
  return with_profiles("github:\n  token_file: /t\n  scopes: " + list + "\n");
}

}  // namespace

