#include "image/build_context.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

#include "base/text.h"
#include "sys/files.h"

namespace mvr::image {
namespace {

constexpr std::size_t kMaxEntries = 1'000'000;
constexpr std::size_t kMaxDepth = 256;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// "/a/./b/../c/" -> "a/c"; what would lead out stops at the context.
std::string clean_path(std::string_view pattern) {
  std::vector<std::string> parts;
  for (const std::string_view part : split(pattern, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.emplace_back(part);
    } else if (!parts.empty()) {
      parts.pop_back();
    }
  }
  return join(parts, "/");
}

bool in_set(std::string_view set, char c) {
  const bool negated = !set.empty() && set.front() == '^';
  if (negated) set.remove_prefix(1);
  bool found = false;
  for (std::size_t i = 0; i < set.size(); ++i) {
    if (set[i] == '\\' && i + 1 < set.size()) ++i;
    const char low = set[i];
    char high = low;
    if (i + 2 < set.size() && set[i + 1] == '-') {
      high = set[i + 2];
      i += 2;
    }
    found = found || (low <= c && c <= high);
  }
  return found != negated;
}

// A descent that keeps what it found in one list.
class Lister {
 public:
  Lister(std::string root, const IgnoreRules& rules) : root_(std::move(root)), rules_(rules) {}

  Result<std::vector<ContextEntry>> list() {
    TRY(enter("", {}, 0));
    std::sort(entries_.begin(), entries_.end(),
              [](const auto& a, const auto& b) { return a.path < b.path; });
    return std::move(entries_);
  }

 private:
  Result<void> enter(const std::string& directory, const IgnoreRules::Covered& covered,
                     std::size_t depth) {
    if (depth > kMaxDepth) return fail(Errc::too_large, directory + ": directories too deep");
    TRY_ASSIGN(const std::vector<std::string> names, sys::list_directory(root_ + "/" + directory));
    for (const std::string& name : names) {
      const std::string path = directory.empty() ? name : directory + "/" + name;
      const auto here = rules_.cover(path, covered);
      const bool ignored = rules_.is_ignored(here);
      struct stat facts {};
      if (::lstat((root_ + "/" + path).c_str(), &facts) != 0) return fail_errno(errno, path);
      if (!ignored) TRY(add(path, facts));
      if (S_ISDIR(facts.st_mode) && !(ignored && rules_.can_prune())) {
        TRY(enter(path, here, depth + 1));
      }
    }
    return {};
  }

  Result<void> add(const std::string& path, const struct stat& facts) {
    if (entries_.size() >= kMaxEntries) {
      return fail(Errc::too_large, "build context: more than " + std::to_string(kMaxEntries) +
                                       " entries; leave some out with a .dockerignore");
    }
    ContextEntry entry;
    entry.path = path;
    entry.mode = facts.st_mode & 07777U;
    entry.kind = kind_of(facts.st_mode);
    if (entry.kind == 'f') {
      const std::string digest = sys::sha256_file(root_ + "/" + path);
      if (digest.empty()) return fail(Errc::io, root_ + "/" + path + " cannot be read");
      entry.content = std::to_string(facts.st_size) + " " + digest;
    }
    if (entry.kind == 'l') {
      std::array<char, PATH_MAX> target{};
      const ssize_t size = ::readlink((root_ + "/" + path).c_str(), target.data(), target.size());
      if (size < 0) return fail_errno(errno, path);
      entry.content.assign(target.data(), static_cast<std::size_t>(size));
    }
    entries_.push_back(std::move(entry));
    return {};
  }

  static char kind_of(mode_t mode) {
    if (S_ISREG(mode)) return 'f';
    if (S_ISDIR(mode)) return 'd';
    if (S_ISLNK(mode)) return 'l';
    if (S_ISFIFO(mode)) return 'p';
    if (S_ISSOCK(mode)) return 's';
    return S_ISBLK(mode) ? 'b' : 'c';
  }

  std::string root_;
  const IgnoreRules& rules_;
  std::vector<ContextEntry> entries_;
};

}  // namespace

Result<IgnoreRules> IgnoreRules::parse(std::string_view text) {
  IgnoreRules rules;
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
  std::size_t number = 0;
  for (const std::string_view line : split(text, '\n')) {
    ++number;
    if (!line.empty() && line.front() == '#') continue;
    std::string_view pattern = trimmed(line);
    if (pattern.empty()) continue;
    Rule rule;
    rule.is_exception = pattern.front() == '!';
    if (rule.is_exception) pattern = trimmed(pattern.substr(1));
    const std::string path = clean_path(pattern);
    if (path.empty()) continue;  // "." and "/": docker reads them as nothing
    TRY_ASSIGN(rule.tokens, context(compile(path), ".dockerignore line " + std::to_string(number)));
    rules.has_exception_ = rules.has_exception_ || rule.is_exception;
    rules.rules_.push_back(std::move(rule));
  }
  return rules;
}

Result<std::vector<IgnoreRules::Token>> IgnoreRules::compile(std::string_view pattern) {
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '*' && pattern.substr(i, 2) == "**") {
      i += pattern.substr(i, 3) == "**/" ? 2U : 1U;
      const bool at_end = i + 1 == pattern.size();
      tokens.push_back({at_end ? Token::Kind::rest : Token::Kind::directories, ""});
    } else if (c == '*') {
      tokens.push_back({Token::Kind::star, ""});
    } else if (c == '?') {
      tokens.push_back({Token::Kind::any, ""});
    } else if (c == '[') {
      const std::size_t end = pattern.find(']', i + 2);
      if (end == std::string_view::npos) return fail(Errc::invalid, "\"[\" without its \"]\"");
      tokens.push_back({Token::Kind::set, std::string(pattern.substr(i + 1, end - i - 1))});
      i = end;
    } else if (c == '\\' && i + 1 == pattern.size()) {
      return fail(Errc::invalid, "it ends with a \"\\\"");
    } else {
      if (c == '\\') ++i;
      tokens.push_back({Token::Kind::literal, std::string(1, pattern[i])});
    }
  }
  return tokens;
}

bool IgnoreRules::takes(const Token& token, char c) {
  if (token.kind == Token::Kind::literal) return token.set[0] == c;
  return c != '/' && (token.kind == Token::Kind::any || in_set(token.set, c));
}

IgnoreRules::Ends IgnoreRules::after_one(const Token& token, std::string_view path,
                                         const Ends& before) {
  Ends after(path.size() + 1, false);
  for (std::size_t i = 0; i < path.size(); ++i) after[i + 1] = before[i] && takes(token, path[i]);
  return after;
}

IgnoreRules::Ends IgnoreRules::after_many(const Token& token, std::string_view path,
                                          const Ends& before) {
  Ends after(path.size() + 1, false);
  bool open = false;  // the token has begun
  for (std::size_t i = 0; i <= path.size(); ++i) {
    const bool is_name_start = i > 0 && path[i - 1] == '/';
    if (token.kind == Token::Kind::star) {
      open = before[i] || (open && !is_name_start);
      after[i] = open;
    } else {
      after[i] = before[i] || (open && (token.kind == Token::Kind::rest || is_name_start));
      open = open || before[i];
    }
  }
  return after;
}

// Linear in both, whatever the pattern.
bool IgnoreRules::matches(const std::vector<Token>& tokens, std::string_view path) {
  Ends ends(path.size() + 1, false);
  ends[0] = true;
  for (const Token& token : tokens) {
    ends = token.takes_one() ? after_one(token, path, ends) : after_many(token, path, ends);
  }
  return ends[path.size()];
}

IgnoreRules::Covered IgnoreRules::cover(const std::string& path, const Covered& parent) const {
  Covered covered(rules_.size(), false);
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    covered[i] = (i < parent.size() && parent[i]) || matches(rules_[i].tokens, path);
  }
  return covered;
}

bool IgnoreRules::is_ignored(const Covered& covered) const {
  for (std::size_t i = rules_.size(); i > 0; --i) {
    if (covered[i - 1]) return !rules_[i - 1].is_exception;
  }
  return false;
}

bool IgnoreRules::ignores(const std::string& path) const {
  Covered covered;
  std::string so_far;
  for (const std::string_view part : split(path, '/')) {
    if (!so_far.empty()) so_far += "/";
    so_far += part;
    covered = cover(so_far, covered);
  }
  return is_ignored(covered);
}

std::string ignore_file(const std::string& context, const std::string& dockerfile, bool is_docker) {
  std::vector<std::string> candidates = {dockerfile + ".dockerignore", context + "/.dockerignore"};
  if (!is_docker) {
    candidates = {dockerfile + ".containerignore", dockerfile + ".dockerignore",
                  context + "/.containerignore", context + "/.dockerignore"};
  }
  const auto found = std::find_if(candidates.begin(), candidates.end(), sys::exists);
  return found == candidates.end() ? "" : *found;
}

Result<std::vector<ContextEntry>> list_context(const std::string& directory,
                                               const IgnoreRules& rules) {
  return Lister(directory, rules).list();
}

}  // namespace mvr::image
