// Progress on standard error: lines, and on a terminal a bar under the latest of them.
#pragma once

#include <cstddef>
#include <string>

#include "base/units.h"

namespace mvr::cli {

// "  [#####...............]  25 %  1.2GiB of 4.8GiB" (pure).
std::string bar_text(Bytes done, Bytes all);

// "  step 3/9  RUN make" (pure); the step's text is made printable and cut to fit a line.
std::string step_text(std::size_t number, std::size_t of, const std::string& text);

class Meter {
 public:
  // Asks whether standard error is a terminal.
  Meter();
  ~Meter() { clear(); }
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;

  void line(const std::string& text);
  void bar(Bytes done, Bytes all);
  // A line that stays below the others until the next one; "" takes it away.
  void status(const std::string& text);

 private:
  void clear();
  void draw(const std::string& text);
  bool is_terminal_ = false;
  bool has_bar_ = false;  // or a status: a line to be cleared before others
  std::string status_;
};

}  // namespace mvr::cli
