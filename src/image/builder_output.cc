#include "image/builder_output.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include "base/text.h"

namespace mvr::image {
namespace {

constexpr std::size_t kMaxStep = 4096;

// "a   b" and "a b" are one step: the builders differ in how they join continued lines.
std::string squeezed(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool blank = std::isspace(static_cast<unsigned char>(c)) != 0;
    if (blank && (out.empty() || out.back() == ' ')) continue;
    out += blank ? ' ' : c;
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

struct Fraction {
  std::size_t number = 0;
  std::size_t of = 0;
};
std::optional<Fraction> parse_fraction(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto number = parse_u64(text.substr(0, slash));
  const auto of = parse_u64(text.substr(slash + 1));
  if (!number || !of || *number == 0 || *number > *of || *of > 100'000) return std::nullopt;
  return Fraction{*number, *of};
}

// "[1/2] STEP 3/9: RUN make"
std::optional<BuildStep> parse_buildah(std::string_view line) {
  if (!line.empty() && line.front() == '[') {
    const std::size_t end = line.find("] ");
    if (end == std::string_view::npos || !parse_fraction(line.substr(1, end - 1))) return {};
    line.remove_prefix(end + 2);
  }
  constexpr std::string_view word = "STEP ";
  const std::size_t colon = line.find(": ");
  if (line.substr(0, word.size()) != word || colon == std::string_view::npos) return {};
  const auto fraction = parse_fraction(line.substr(word.size(), colon - word.size()));
  if (!fraction) return {};
  return BuildStep{fraction->number, fraction->of, printable(line.substr(colon + 2), kMaxStep)};
}

// "[stage-0 3/9] RUN make" or "[3/9] RUN make"
std::optional<BuildStep> parse_bracket(std::string_view text) {
  const std::size_t end = text.find("] ");
  if (text.empty() || text.front() != '[' || end == std::string_view::npos) return {};
  const std::string_view inside = text.substr(1, end - 1);
  const std::size_t space = inside.rfind(' ');
  std::string_view last = space == std::string_view::npos ? inside : inside.substr(space + 1);
  const auto fraction = parse_fraction(last);
  if (!fraction) return {};
  return BuildStep{fraction->number, fraction->of, printable(text.substr(end + 2), kMaxStep)};
}

// The "#7" of "#7 [stage-0 3/9] RUN make"; empty when the line has none.
std::string_view docker_number(std::string_view line) {
  const std::size_t space = line.find(' ');
  if (line.empty() || line.front() != '#' || space == std::string_view::npos) return {};
  return parse_u64(line.substr(1, space - 1)) ? line.substr(0, space) : std::string_view();
}

// The number at the end of "...exit status 7" or "...exit code: 7".
std::optional<int> parse_exit(std::string_view line) {
  for (const std::string_view word : {"exit status ", "exit code: "}) {
    const std::size_t at = line.rfind(word);
    if (at == std::string_view::npos) continue;
    std::string_view digits = line.substr(at + word.size());
    digits = digits.substr(0, digits.find_first_not_of("0123456789"));
    const auto code = parse_u64(digits);
    if (code && *code < 256) return static_cast<int>(*code);
  }
  return std::nullopt;
}

bool starts(std::string_view text, std::string_view with) {
  return text.substr(0, with.size()) == with;
}

}  // namespace

std::optional<BuildStep> parse_step(std::string_view line) {
  const std::string_view number = docker_number(line);
  return number.empty() ? parse_buildah(line) : parse_bracket(line.substr(number.size() + 1));
}

std::optional<BuildStep> BuildOutput::line(std::string_view text) {
  if (text.find("error running container: ") != std::string_view::npos ||
      text.find("did not get container create message") != std::string_view::npos) {
    runtime_refused_ = true;
  }
  const std::string_view number = docker_number(text);
  if (!number.empty() && starts(text.substr(number.size() + 1), "ERROR:")) {
    const auto step = docker_steps_.find(std::string(number));
    if (step != docker_steps_.end()) {
      failed_ = step->second;
      if (const auto code = parse_exit(text)) exit_code_ = code;
    }
  }
  // Only the builder's own last word, not what a RUN command prints about others.
  if (starts(ascii_lower(text), "error:")) {
    if (const auto code = parse_exit(text)) exit_code_ = code;
  }
  if (starts(text, "Dockerfile:")) {
    docker_line_ = parse_u64(text.substr(11)).value_or(0);
  }
  auto step = parse_step(text);
  if (!step) return std::nullopt;
  // docker says a step's name again with its result.
  if (!number.empty() && !docker_steps_.emplace(std::string(number), *step).second) return {};
  ++seen_[squeezed(step->text)];
  latest_ = step;
  return step;
}

// The n-th instruction with this text, for the n-th time that the step has come by. Which of
// several has failed docker does not tell: none then.
std::size_t BuildOutput::line_of_step(const Dockerfile& file) const {
  const std::string wanted = squeezed(failed_ ? failed_->text : latest_->text);
  std::vector<std::size_t> lines;
  for (const Instruction& instruction : file.instructions) {
    if (squeezed(instruction.text()) == wanted) lines.push_back(instruction.line);
  }
  if (lines.empty() || (failed_ && lines.size() > 1)) return 0;
  const auto times = seen_.find(wanted);
  return lines[std::clamp<std::size_t>(times == seen_.end() ? 1 : times->second, 1, lines.size()) -
               1];
}

std::string BuildOutput::failure(const Dockerfile& file) const {
  const std::optional<BuildStep>& step = failed_ ? failed_ : latest_;
  std::string text;
  std::size_t line = docker_line_;
  if (line == 0 && step) line = line_of_step(file);
  if (line != 0) text = "Dockerfile line " + std::to_string(line);
  if (step) {
    if (!text.empty()) text += ", ";
    text += "step " + std::to_string(step->number) + "/" + std::to_string(step->of) + " \"" +
            printable(squeezed(step->text), 200) + "\"";
  }
  if (exit_code_ && !text.empty()) text += ": exit code " + std::to_string(*exit_code_);
  return text;
}

}  // namespace mvr::image
