// What is read of a Dockerfile before a builder runs it: what it starts from, what this builder
// cannot do, and on which line a step stands. Running it is the builders' work.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mvr::image {

struct Instruction {
  std::size_t line = 0;  // of its first word, from 1
  std::string name;      // upper case: "RUN"
  std::string rest;      // continued lines joined as the builders join them
  bool has_heredoc = false;
  [[nodiscard]] std::string text() const { return rest.empty() ? name : name + " " + rest; }
};

struct Dockerfile {
  std::string syntax;  // of "# syntax=", or empty
  std::vector<Instruction> instructions;
};
// Err invalid: a heredoc without its end, more than the bounds allow.
Result<Dockerfile> scan_dockerfile(std::string_view text);

struct Sources {
  std::vector<std::string> images;  // sorted: what FROM, COPY --from and RUN --mount name
  bool has_remote_add = false;      // ADD of a URL: only the builder can tell whether it changed
};
// Of the stages that `target` needs (a name or a number; empty: the last). `arguments` win over
// the defaults of an ARG before the first FROM; `architecture` is Go's name of this host's.
Result<Sources> find_sources(const Dockerfile& file,
                             const std::map<std::string, std::string>& arguments,
                             const std::string& target, const std::string& architecture);

// "$A", "${A}", "${A:-default}", "${A:+other}"; what is not set is empty.
Result<std::string> expand(std::string_view text, const std::map<std::string, std::string>& values);

}  // namespace mvr::image
