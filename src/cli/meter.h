// Progress on standard error: lines, and on a terminal a bar under the latest of them.
#pragma once

#include <string>

#include "base/units.h"

namespace mvr::cli {

// "  [#####...............]  25 %  1.2GiB of 4.8GiB" (pure).
std::string bar_text(Bytes done, Bytes all);

class Meter {
 public:
  // Asks whether standard error is a terminal.
  Meter();
  ~Meter() { clear(); }
  Meter(const Meter&) = delete;
  Meter& operator=(const Meter&) = delete;

  void line(const std::string& text);
  void bar(Bytes done, Bytes all);

 private:
  void clear();
  bool is_terminal_ = false;
  bool has_bar_ = false;
};

}  // namespace mvr::cli
