// What the listener's output says about its job and its connection (pure).
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "channel/message.h"

namespace mvr::guest {

// Whole lines out of chunks. Only the first kMaxLine bytes of a line are looked at; memory is
// bounded by that.
class Lines {
 public:
  static constexpr std::size_t kMaxLine = 4096;

  template <class Use>
  void feed(std::string_view bytes, const Use& use) {
    while (!bytes.empty()) {
      const std::size_t end = bytes.find('\n');
      line_.append(bytes.substr(0, end).substr(0, kMaxLine - line_.size()));
      if (end == std::string_view::npos) break;
      use(std::string_view(line_));
      line_.clear();
      bytes.remove_prefix(end + 1);
    }
  }

 private:
  std::string line_;
};

// Looks for three lines, each with or without the time in front that newer runners print:
//   Listening for Jobs
//   Running job: <name>
//   Job <name> completed with result: <word>
class RunnerLines {
 public:
  // True when `state` changed.
  bool feed(std::string_view bytes, channel::State& state);

 private:
  Lines lines_;
};

// Whether the listener reaches GitHub, by two of its lines, the first of which is on its standard
// error:
//   Runner connect error: <why>. Retrying until reconnected.
//   Runner reconnected.
// (actions/runner, MessageListener.cs)
class ConnectionLines {
 public:
  // `stream`: 1 output, 2 error.
  void feed(int stream, std::string_view bytes);
  // Why it does not; empty: it does.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }

 private:
  std::array<Lines, 2> lines_;
  std::string trouble_;
};

}  // namespace mvr::guest
