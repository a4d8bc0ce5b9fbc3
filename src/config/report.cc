#include "config/report.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace mvr::config {

std::string Problem::to_text() const {
  std::string text = file;
  if (line > 0) text += ":" + std::to_string(line) + ":" + std::to_string(column);
  if (!field.empty()) text += ": " + field;
  return text + ": " + message;
}

void Report::add(Mark mark, std::string field, std::string message) {
  ++count_;
  if (problems_.size() >= kMaxProblems) return;
  problems_.push_back(Problem{file_, mark.line, mark.column, std::move(field), std::move(message)});
}

std::vector<Problem> Report::take() && {
  const auto place = [](const Problem& p) { return std::tuple(p.line, p.column); };
  std::ranges::stable_sort(problems_, {}, place);
  if (count_ > problems_.size()) {
    const std::size_t more = count_ - problems_.size();
    problems_.push_back(
        Problem{file_, 0, 0, "", std::to_string(more) + " more problems not shown"});
  }
  return std::move(problems_);
}

}  // namespace mvr::config
