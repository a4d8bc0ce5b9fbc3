// The build context as the builders see it: what .dockerignore leaves of a directory.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mvr::image {

// The rules of a .dockerignore. A pattern covers what lies below what it matches; the last one
// that covers a path decides.
class IgnoreRules {
 public:
  // One pattern a line: "*", "?", "[a-z]" within a name, "**" across directories, "\" takes the
  // next character as it is, "!" in front takes back, "#" in the first column is a comment. Err
  // names the line.
  static Result<IgnoreRules> parse(std::string_view text);

  // Which rules cover a path, given those that cover its directory.
  using Covered = std::vector<bool>;
  [[nodiscard]] Covered cover(const std::string& path, const Covered& parent) const;
  [[nodiscard]] bool is_ignored(const Covered& covered) const;
  // For a path as a whole ("a/b/c").
  [[nodiscard]] bool ignores(const std::string& path) const;
  // True when nothing below an ignored directory can come back.
  [[nodiscard]] bool can_prune() const { return !has_exception_; }

 private:
  struct Token {
    enum class Kind { literal, any, set, star, directories, rest };
    Kind kind = Kind::literal;
    std::string set;  // of literal: one character; of set: what is between the brackets
    [[nodiscard]] bool takes_one() const {
      return kind == Kind::literal || kind == Kind::any || kind == Kind::set;
    }
    friend bool operator==(const Token&, const Token&) = default;
  };
  struct Rule {
    std::vector<Token> tokens;
    bool is_exception = false;
  };
  static Result<std::vector<Token>> compile(std::string_view pattern);
  static bool matches(const std::vector<Token>& tokens, std::string_view path);
  // [i]: the tokens so far can end in front of path[i].
  using Ends = std::vector<bool>;
  static bool takes(const Token& token, char c);
  static Ends after_one(const Token& token, std::string_view path, const Ends& before);
  static Ends after_many(const Token& token, std::string_view path, const Ends& before);

  std::vector<Rule> rules_;
  bool has_exception_ = false;
};

// The file whose rules this builder takes for the Dockerfile; empty: none.
std::string ignore_file(const std::string& context, const std::string& dockerfile, bool is_docker);

struct ContextEntry {
  std::string path;     // below the context
  char kind = 'f';      // f, d, l; p, s, b, c: special
  unsigned mode = 0;    // permission bits
  std::string content;  // of a file: SHA-256 in hex and its size; of a link: where it points
};
// Sorted by path. Times and owners are not there: the builders do not look at them either.
Result<std::vector<ContextEntry>> list_context(const std::string& directory,
                                               const IgnoreRules& rules);

}  // namespace mvr::image
