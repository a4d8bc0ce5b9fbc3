#include "guest/runner_lines.h"

#include <algorithm>

#include "base/text.h"

namespace mvr::guest {
namespace {

using channel::RunnerState;
using channel::State;

constexpr std::size_t kMaxName = 512;

bool is_time_character(char c) {
  return (c >= '0' && c <= '9') || c == '-' || c == ':' || c == ' ';
}

// "2026-11-20 19:30:00Z: Listening for Jobs" -> "Listening for Jobs"
std::string_view without_time(std::string_view line) {
  const std::size_t mark = line.find("Z: ");
  if (mark == std::string_view::npos || mark == 0) return line;
  const std::string_view time = line.substr(0, mark);
  if (!std::all_of(time.begin(), time.end(), is_time_character)) return line;
  return line.substr(mark + 3);
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= 32 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
}

// A job's name may hold the very words that follow it: the last occurrence counts.
bool read_result(std::string_view text, State& state) {
  constexpr std::string_view kCompleted = " completed with result: ";
  const std::size_t at = text.rfind(kCompleted);
  if (at == std::string_view::npos) return false;
  const std::string_view result = text.substr(at + kCompleted.size());
  const std::string name = printable(text.substr(0, at), kMaxName);
  if (!is_word(result) || name != state.job || state.runner != RunnerState::running) return false;
  state.result = result;
  return true;
}

bool read_line(std::string_view line, State& state) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  line = without_time(line);
  if (line == "Listening for Jobs" && state.runner == RunnerState::starting) {
    state.runner = RunnerState::listening;
    return true;
  }
  if (take_prefix(line, "Running job: ")) {
    // One job a VM: whatever prints this again does not change what is reported.
    if (state.runner != RunnerState::starting && state.runner != RunnerState::listening) {
      return false;
    }
    state.runner = RunnerState::running;
    state.job = printable(line, kMaxName);
    return true;
  }
  return take_prefix(line, "Job ") && state.result.empty() && read_result(line, state);
}

}  // namespace

bool RunnerLines::feed(std::string_view bytes, State& state) {
  bool changed = false;
  lines_.feed(bytes, [&](std::string_view line) { changed = read_line(line, state) || changed; });
  return changed;
}

void ConnectionLines::feed(int stream, std::string_view bytes) {
  lines_.at(stream == 1 ? 0 : 1).feed(bytes, [this](std::string_view line) {
    constexpr std::string_view kError = "Runner connect error: ";
    const std::size_t at = line.find(kError);
    if (at != std::string_view::npos) {
      trouble_ = printable(line.substr(at + kError.size()), kMaxName);
    } else if (without_time(line).substr(0, 18) == "Runner reconnected") {
      trouble_.clear();
    }
  });
}

}  // namespace mvr::guest
