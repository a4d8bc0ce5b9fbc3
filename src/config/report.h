// Where a value stands in the file, and the problems found so far.
#pragma once

#include <string>
#include <vector>

#include "config/load.h"

namespace mvr::config {

// 1-based; line 0 is the whole file.
struct Mark {
  int line = 0;
  int column = 0;
};

// Collects problems; a broken file of any size yields at most kMaxProblems of them.
class Report {
 public:
  static constexpr std::size_t kMaxProblems = 100;

  explicit Report(std::string file) : file_(std::move(file)) {}
  void add(Mark mark, std::string field, std::string message);
  // How many so far: unchanged over a stretch of reading means that stretch was clean.
  [[nodiscard]] std::size_t count() const { return count_; }
  // The problems in the order of the file.
  [[nodiscard]] std::vector<Problem> take() &&;

 private:
  std::string file_;
  std::vector<Problem> problems_;
  std::size_t count_ = 0;
};

}  // namespace mvr::config
