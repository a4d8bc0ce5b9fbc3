// The log: one logfmt line per event on stderr (systemd keeps it). Event names are an interface.
// The only file that includes spdlog is journal.cc.
#pragma once

#include <deque>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace mvr::daemon {

enum class Level { debug, info, warn, error };

using Field = std::pair<std::string_view, std::string>;

// "debug" | "info" | "warn" | "error". Err for anything else.
Result<void> set_log_level(std::string_view level);

// These and "error", and "remedy" where one is known.
std::vector<Field> with_error(std::vector<Field> fields, const Error& error);

// Writes `<time> <level> event=<name> key=value ...`. Values are made printable and quoted when
// they need it. A line that repeats within ten seconds is counted instead, and the count is
// written with the next one. Secrets have no way in: Secret has no conversion to string.
void log(Level level, std::string_view event, std::initializer_list<Field> fields = {});
void log(Level level, std::string_view event, const std::vector<Field>& fields);

// A line that was written.
struct LogLine {
  WallTime time{};
  Level level = Level::info;
  std::string event;
  std::vector<std::pair<std::string, std::string>> fields;  // printable, bounded
};
std::string_view level_name(Level level);
// The latest lines, at most kMostLines, the oldest first.
inline constexpr std::size_t kMostLines = 200;
const std::deque<LogLine>& latest_lines();
// Called with every line from now on; null: nobody is any more. It must not log.
void follow_log(std::function<void(const LogLine&)> follower);

// The line without time and level (pure; for tests).
std::string format_fields(std::string_view event, const std::vector<Field>& fields);

}  // namespace mvr::daemon
