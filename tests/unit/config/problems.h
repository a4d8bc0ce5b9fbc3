// Documents as the tests of problems write them, and the texts of the problems found.
#pragma once

#include <string>
#include <vector>

#include "catch.h"
#include "config/load.h"

namespace mvr::config {

inline std::vector<std::string> problems_of(const std::string& yaml) {
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

inline void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    INFO(c.yaml);
    CHECK(problems_of(c.yaml) == c.problems);
  }
}

inline const std::string kNoLabel =
    " is not a label: visible ASCII without spaces and commas, at most 100 characters; braces only "
    "in one {cpus} and one {memory}, apart, without a digit behind them";

// Line 1; what a test is about begins at line 2.
inline std::string with_profiles(const std::string& yaml) {
  return "profiles: [{name: p, labels: [x]}]\n" + yaml;
}

// A profile whose further keys stand on line 4.
inline std::string profile(const std::string& more) {
  return "profiles:\n  - name: p\n    labels: [x]\n    " + more + "\n";
}

// Scopes that begin on line 4.
inline std::string scopes(const std::string& list) {
  return with_profiles("github:\n  token_file: /t\n  scopes: " + list + "\n");
}

}  // namespace mvr::config
