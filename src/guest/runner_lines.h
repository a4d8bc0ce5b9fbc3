// What the listener's standard output says about its job (pure).
#pragma once

#include <string>
#include <string_view>

#include "channel/message.h"

namespace mvr::guest {

// Looks for three lines, each with or without the time in front that newer runners print:
//   Listening for Jobs
//   Running job: <name>
//   Job <name> completed with result: <word>
// Only the first kMaxLine bytes of a line are looked at; memory is bounded by that.
class RunnerLines {
 public:
  static constexpr std::size_t kMaxLine = 4096;

  // True when `state` changed.
  bool feed(std::string_view bytes, channel::State& state);

 private:
  std::string line_;
};

}  // namespace mvr::guest
