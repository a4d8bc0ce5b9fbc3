#include "daemon/journal.h"

#include <map>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "base/text.h"
#include "base/units.h"
#include "sys/loop.h"

namespace mvr::daemon {
namespace {

constexpr Duration kRepeatWindow{10'000};
constexpr std::size_t kMaxRemembered = 64;
constexpr std::size_t kMaxValue = 1024;

struct Repeat {
  Instant last{};
  std::uint64_t dropped = 0;
};

spdlog::logger& logger() {
  static const auto instance = [] {
    auto made = spdlog::stderr_logger_st("mvrunner");
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *instance;
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warn:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::map<std::string, Repeat>& repeats() {
  static std::map<std::string, Repeat> seen;
  return seen;
}

// True when the line is to be written; adds how many equal ones were dropped before it.
bool pass_repeat(std::string& line) {
  const Instant now = sys::monotonic_now();
  auto& seen = repeats();
  if (auto it = seen.find(line); it != seen.end() && now - it->second.last < kRepeatWindow) {
    ++it->second.dropped;
    return false;
  }
  const std::uint64_t dropped = seen[line].dropped;
  if (seen.size() > kMaxRemembered) seen.clear();
  seen[line] = Repeat{now, 0};
  if (dropped > 0) line += " repeated=" + std::to_string(dropped);
  return true;
}

bool needs_quotes(std::string_view value) {
  return value.empty() || value.find_first_of(" =\"\\") != std::string_view::npos;
}

void append_value(std::string& out, std::string_view raw) {
  const std::string value = printable(raw, kMaxValue);
  if (!needs_quotes(value)) {
    out += value;
    return;
  }
  out += '"';
  for (const char c : value) {
    if (c == '"') out += '\\';
    out += c;
  }
  out += '"';
}

struct Memory {
  std::deque<LogLine> lines;
  std::function<void(const LogLine&)> follower;
};

Memory& memory() {
  static Memory instance;
  return instance;
}

void remember(Level level, std::string_view event, const std::vector<Field>& fields) {
  LogLine line{sys::wall_now(), level, std::string(event), {}};
  line.fields.reserve(fields.size());
  for (const auto& [key, value] : fields) {
    line.fields.emplace_back(std::string(key), printable(value, kMaxValue));
  }
  Memory& kept = memory();
  if (kept.follower) kept.follower(line);
  kept.lines.push_back(std::move(line));
  if (kept.lines.size() > kMostLines) kept.lines.pop_front();
}

}  // namespace

const std::deque<LogLine>& latest_lines() { return memory().lines; }

void follow_log(std::function<void(const LogLine&)> follower) {
  memory().follower = std::move(follower);
}

std::string_view level_name(Level level) {
  switch (level) {
    case Level::debug:
      return "debug";
    case Level::info:
      return "info";
    case Level::warn:
      return "warn";
    case Level::error:
      return "error";
  }
  return "info";
}

Result<void> set_log_level(std::string_view level) {
  for (const Level each : {Level::debug, Level::info, Level::warn, Level::error}) {
    if (level_name(each) != level) continue;
    logger().set_level(to_spdlog(each));
    return {};
  }
  return fail(Errc::invalid,
              "log level '" + printable(level, 32) + "': use debug, info, warn or error");
}

std::string format_fields(std::string_view event, const std::vector<Field>& fields) {
  std::string line = "event=" + std::string(event);
  for (const auto& [key, value] : fields) {
    line += ' ';
    line += key;
    line += '=';
    append_value(line, value);
  }
  return line;
}

std::vector<Field> with_error(std::vector<Field> fields, const Error& error) {
  fields.emplace_back("error", error.what);
  if (!error.remedy.empty()) fields.emplace_back("remedy", error.remedy);
  return fields;
}

void log(Level level, std::string_view event, const std::vector<Field>& fields) {
  if (!logger().should_log(to_spdlog(level))) return;
  std::string line = format_fields(event, fields);
  const bool may_repeat = level == Level::warn || level == Level::error;
  if (may_repeat && !pass_repeat(line)) return;
  logger().log(to_spdlog(level), spdlog::string_view_t(line.data(), line.size()));
  remember(level, event, fields);
}

void log(Level level, std::string_view event, std::initializer_list<Field> fields) {
  log(level, event, std::vector<Field>(fields));
}

}  // namespace mvr::daemon
