#include "image/dockerfile.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <set>

#include "base/text.h"

namespace mvr::image {
namespace {

constexpr std::size_t kMaxText = 4U << 20U;
constexpr std::size_t kMaxInstructions = 20'000;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
bool is_name_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

bool is_comment(std::string_view line) {
  const std::string_view rest = trimmed(line);
  return !rest.empty() && rest.front() == '#';
}

// The words of a shell line; quotes keep a word together and stay in it.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  char quote = 0;
  for (const char c : text) {
    if (quote == 0 && is_blank(c)) {
      if (!word.empty()) words.push_back(std::move(word));
      word.clear();
      continue;
    }
    if (quote == c) {
      quote = 0;
    } else if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    }
    word += c;
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

struct Heredoc {
  std::string end;
  bool strips_tabs = false;
};

// "<<EOF", "<<-'EOF'", "3<<EOF": as BuildKit reads a word. "<<<" is a here-string.
std::optional<Heredoc> heredoc_of(std::string_view word) {
  while (!word.empty() && std::isdigit(static_cast<unsigned char>(word.front())) != 0) {
    word.remove_prefix(1);
  }
  if (word.substr(0, 2) != "<<") return std::nullopt;
  word.remove_prefix(2);
  Heredoc found;
  if (!word.empty() && word.front() == '-') {
    found.strips_tabs = true;
    word.remove_prefix(1);
  }
  for (const char c : word) {
    if (c == '<') return std::nullopt;
    if (c != '"' && c != '\'') found.end += c;
  }
  if (found.end.empty()) return std::nullopt;
  return found;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : lines_(split(text, '\n')) {}

  Result<Dockerfile> scan() {
    read_directives();
    while (next_ < lines_.size()) {
      const std::string_view line = trimmed(lines_[next_]);
      if (line.empty() || line.front() == '#') {
        ++next_;
        continue;
      }
      TRY(read_instruction());
      if (file_.instructions.size() > kMaxInstructions) {
        return fail(Errc::too_large, "Dockerfile: too many instructions");
      }
    }
    return std::move(file_);
  }

 private:
  // "# syntax=..." and "# escape=`" count only before anything else, each once.
  void read_directives() {
    std::set<std::string> seen;
    for (; next_ < lines_.size(); ++next_) {
      std::string_view line = trimmed(lines_[next_]);
      const std::size_t equals = line.find('=');
      if (line.empty() || line.front() != '#' || equals == std::string_view::npos) return;
      const std::string name = ascii_lower(trimmed(line.substr(1, equals - 1)));
      const std::string_view value = trimmed(line.substr(equals + 1));
      if (name != "syntax" && name != "escape" && name != "check") return;
      if (!seen.insert(name).second) return;
      if (name == "syntax") file_.syntax = value;
      if (name == "escape" && value == "`") escape_ = '`';
    }
  }

  bool is_continued(std::string_view& line) const {
    std::string_view end = line;
    while (!end.empty() && is_blank(end.back())) end.remove_suffix(1);
    if (end.empty() || end.back() != escape_) return false;
    line = end.substr(0, end.size() - 1);
    return true;
  }

  Result<void> read_instruction() {
    Instruction instruction;
    instruction.line = next_ + 1;
    std::string text;
    bool goes_on = true;
    while (goes_on && next_ < lines_.size()) {
      std::string_view line = lines_[next_++];
      // Comments and empty lines between continued lines do not end the instruction.
      if (!text.empty() && (is_comment(line) || trimmed(line).empty())) continue;
      goes_on = is_continued(line);
      text += line;
    }
    const std::string_view whole = trimmed(text);
    const auto end = std::find_if(whole.begin(), whole.end(), is_blank);
    instruction.name = std::string(whole.begin(), end);
    std::transform(instruction.name.begin(), instruction.name.end(), instruction.name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    instruction.rest = trimmed(std::string_view(end, whole.end()));
    TRY(skip_heredocs(instruction));
    file_.instructions.push_back(std::move(instruction));
    return {};
  }

  Result<void> skip_heredocs(Instruction& instruction) {
    if (instruction.name != "RUN" && instruction.name != "COPY" && instruction.name != "ADD") {
      return {};
    }
    if (!instruction.rest.empty() && instruction.rest.front() == '[') return {};
    for (const std::string& word : words_of(instruction.rest)) {
      const auto heredoc = heredoc_of(word);
      if (!heredoc) continue;
      instruction.has_heredoc = true;
      if (!skip_to(*heredoc)) {
        return fail(Errc::invalid, "Dockerfile line " + std::to_string(instruction.line) +
                                       ": no line ends the heredoc with \"" +
                                       printable(heredoc->end, 80) + "\"");
      }
    }
    return {};
  }

  bool skip_to(const Heredoc& heredoc) {
    while (next_ < lines_.size()) {
      std::string_view line = lines_[next_++];
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      while (heredoc.strips_tabs && !line.empty() && line.front() == '\t') line.remove_prefix(1);
      if (line == heredoc.end) return true;
    }
    return false;
  }

  std::vector<std::string_view> lines_;
  std::size_t next_ = 0;
  char escape_ = '\\';
  Dockerfile file_;
};

struct Stage {
  std::string name;  // lower case, or empty
  std::vector<std::string> needs;
  bool has_remote_add = false;
};

// The value of "--from=x" among the flags in front of an instruction's words.
std::optional<std::string> flag_of(const std::vector<std::string>& words, std::string_view flag) {
  for (const std::string& word : words) {
    if (word.rfind("--", 0) != 0) break;
    if (word.rfind(flag, 0) == 0) return word.substr(flag.size());
  }
  return std::nullopt;
}

void add_mounts(Stage& stage, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    if (word.rfind("--", 0) != 0) break;
    if (word.rfind("--mount=", 0) != 0) continue;
    for (const std::string_view part : split(word, ',')) {
      const std::size_t from = part.rfind("from=", 0) == 0 ? 5 : 0;
      if (from != 0) stage.needs.emplace_back(part.substr(from));
    }
  }
}

bool is_remote(const std::string& word) {
  return word.find("://") != std::string::npos || word.rfind("git@", 0) == 0;
}

class SourceFinder {
 public:
  SourceFinder(const std::map<std::string, std::string>& arguments, std::string architecture)
      : arguments_(arguments) {
    values_ = {{"TARGETOS", "linux"}, {"BUILDOS", "linux"}};
    for (const char* which : {"TARGET", "BUILD"}) {
      values_[std::string(which) + "ARCH"] = architecture;
      values_[std::string(which) + "PLATFORM"] = "linux/" + architecture;
    }
  }

  Result<Sources> find(const Dockerfile& file, const std::string& target) {
    for (const Instruction& instruction : file.instructions) TRY(read(instruction));
    if (stages_.empty()) return fail(Errc::invalid, "Dockerfile: it has no FROM");
    std::size_t last = stages_.size() - 1;
    if (!target.empty()) {
      const auto found = stage_before(target, stages_.size());
      if (!found) {
        return fail(Errc::not_found, "Dockerfile: no stage \"" + printable(target, 80) + "\"");
      }
      last = *found;
    }
    collect(last);
    return Sources{{images_.begin(), images_.end()}, has_remote_add_};
  }

 private:
  Result<void> read(const Instruction& instruction) {
    const std::vector<std::string> words = words_of(instruction.rest);
    if (instruction.name == "FROM") return begin_stage(instruction, words);
    if (stages_.empty()) {
      if (instruction.name == "ARG") return define(instruction, words);
      return {};
    }
    Stage& stage = stages_.back();
    if (instruction.name == "COPY" || instruction.name == "ADD") {
      if (auto from = flag_of(words, "--from=")) stage.needs.push_back(*from);
      const auto remote = std::any_of(words.begin(), words.end(), is_remote);
      if (instruction.name == "ADD" && remote) stage.has_remote_add = true;
    }
    if (instruction.name == "RUN") add_mounts(stage, words);
    return {};
  }

  Result<void> begin_stage(const Instruction& instruction, const std::vector<std::string>& words) {
    std::vector<std::string> plain;
    std::copy_if(words.begin(), words.end(), std::back_inserter(plain),
                 [](const std::string& word) { return word.rfind("--", 0) != 0; });
    const std::string where = "Dockerfile line " + std::to_string(instruction.line);
    if (plain.empty()) return fail(Errc::invalid, where + ": FROM names no image");
    auto image = context(expand(plain[0], values_), where);
    if (!image) return fail(std::move(image).error());
    if (image->empty()) {
      return fail(Errc::invalid, where + ": FROM " + printable(plain[0], 80) +
                                     " is empty: give the ARG a default or --build-arg a value");
    }
    Stage stage;
    if (plain.size() == 3 && ascii_lower(plain[1]) == "as") stage.name = ascii_lower(plain[2]);
    stage.needs.push_back(*image);
    stages_.push_back(std::move(stage));
    return {};
  }

  Result<void> define(const Instruction& instruction, const std::vector<std::string>& words) {
    for (const std::string& word : words) {
      const std::size_t equals = word.find('=');
      const std::string name = word.substr(0, equals);
      const auto given = arguments_.find(name);
      if (given != arguments_.end()) {
        values_[name] = given->second;
      } else if (equals != std::string::npos) {
        std::string value = word.substr(equals + 1);
        value.erase(std::remove_if(value.begin(), value.end(),
                                   [](char c) { return c == '"' || c == '\''; }),
                    value.end());
        TRY_ASSIGN(values_[name], context(expand(value, values_),
                                          "Dockerfile line " + std::to_string(instruction.line)));
      }
    }
    return {};
  }

  // The stage of this name or number in front of stage `end`.
  [[nodiscard]] std::optional<std::size_t> stage_before(const std::string& name,
                                                        std::size_t end) const {
    for (std::size_t i = end; i > 0; --i) {
      if (stages_[i - 1].name == ascii_lower(name) && !name.empty()) return i - 1;
    }
    const auto number = parse_u64(name);
    if (number && *number < end) return *number;
    return std::nullopt;
  }

  // Stages only look back, so that going backwards meets each after all that need it.
  void collect(std::size_t last) {
    std::set<std::size_t> wanted = {last};
    while (!wanted.empty()) {
      const std::size_t index = *wanted.rbegin();
      wanted.erase(index);
      has_remote_add_ = has_remote_add_ || stages_[index].has_remote_add;
      for (const std::string& need : stages_[index].needs) {
        if (const auto stage = stage_before(need, index)) {
          wanted.insert(*stage);
        } else if (need != "scratch") {
          images_.insert(need);
        }
      }
    }
  }

  const std::map<std::string, std::string>& arguments_;
  std::map<std::string, std::string> values_;
  std::vector<Stage> stages_;
  std::set<std::string> images_;
  bool has_remote_add_ = false;
};

// The inside of "${...}".
Result<std::string> expand_braces(std::string_view inside,
                                  const std::map<std::string, std::string>& values) {
  const auto end = std::find_if_not(inside.begin(), inside.end(), is_name_char);
  const std::string name(inside.begin(), end);
  const std::string_view rest(end, inside.end());
  const auto found = values.find(name);
  const bool is_set = found != values.end() && !found->second.empty();
  if (rest.empty()) return found == values.end() ? std::string() : found->second;
  if (rest.substr(0, 2) == ":-") return is_set ? found->second : expand(rest.substr(2), values);
  if (rest.substr(0, 2) == ":+") return is_set ? expand(rest.substr(2), values) : std::string();
  return fail(Errc::unsupported, "${" + printable(inside, 80) + "} is not understood");
}

}  // namespace

Result<std::string> expand(std::string_view text,
                           const std::map<std::string, std::string>& values) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] != '$' || i + 1 == text.size()) {
      out += text[i++];
      continue;
    }
    if (text[i + 1] == '{') {
      const std::size_t end = text.find('}', i);
      if (end == std::string_view::npos) return fail(Errc::invalid, "\"${\" without its \"}\"");
      TRY_ASSIGN(const std::string value, expand_braces(text.substr(i + 2, end - i - 2), values));
      out += value;
      i = end + 1;
      continue;
    }
    std::size_t end = i + 1;
    while (end < text.size() && is_name_char(text[end])) ++end;
    const auto found = values.find(std::string(text.substr(i + 1, end - i - 1)));
    if (found != values.end()) out += found->second;
    if (end == i + 1) out += '$';
    i = end;
  }
  return out;
}

Result<Dockerfile> scan_dockerfile(std::string_view text) {
  if (text.size() > kMaxText) return fail(Errc::too_large, "Dockerfile: more than 4 MiB");
  return Scanner(text).scan();
}

Result<Sources> find_sources(const Dockerfile& file,
                             const std::map<std::string, std::string>& arguments,
                             const std::string& target, const std::string& architecture) {
  return SourceFinder(arguments, architecture).find(file, target);
}

}  // namespace mvr::image
