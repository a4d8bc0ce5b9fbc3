// YAML text -> core::Config, collecting every error at once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/config.h"

namespace mvr::config {

// One problem, printed as "file:line:column: field: message".
struct Problem {
  std::string file;
  int line = 0;  // 1-based; 0: the whole file
  int column = 0;
  std::string field;    // "profiles[1].memory"
  std::string message;  // the offending value and what is allowed; a nearest-name hint
  [[nodiscard]] std::string to_text() const;
  friend bool operator==(const Problem&, const Problem&) = default;
};

struct Loaded {
  core::Config config;
  std::vector<Problem> problems;  // not empty: config must not be used
};
// What holds without a configuration file: everything but profiles and scopes.
core::Config defaults(const std::string& facts_hostname);

// `facts_hostname` is the default of host.id (made a plain name).
Loaded parse(std::string_view yaml, const std::string& file, const std::string& facts_hostname);
// Reads and parses; the reading error is one Problem.
Loaded load(const std::string& path, const std::string& facts_hostname);

// The effective configuration as YAML with every key, in the order of config/mvrunner.yaml; of the
// credentials only those given. Paths of secrets are shown, their contents never read.
std::string to_yaml(const core::Config& config);

}  // namespace mvr::config
