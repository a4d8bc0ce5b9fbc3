// The half of text.h that reads and prints quantities: sizes, durations, points in time.
#include <array>
#include <cstdio>
#include <limits>

#include "base/text.h"

namespace mvr {
namespace {

constexpr std::uint64_t kMaxU64 = std::numeric_limits<std::uint64_t>::max();

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
constexpr std::array<Unit, 5> kSizes{{{"TiB", 1ULL << 40U},
                                      {"GiB", 1ULL << 30U},
                                      {"MiB", 1ULL << 20U},
                                      {"KiB", 1ULL << 10U},
                                      {"B", 1}}};
constexpr std::array<Unit, 5> kTimes{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};

std::size_t count_digits(std::string_view text) {
  std::size_t count = 0;
  while (count < text.size() && text[count] >= '0' && text[count] <= '9') ++count;
  return count;
}

std::string quoted(std::string_view text) { return "'" + printable(text, 64) + "'"; }

tl::unexpected<Error> bad_size(std::string_view text, std::string_view unit) {
  std::string what = quoted(text) + " is not a size";
  if (!unit.empty() && (unit.front() == '.' || unit.front() == ',')) {
    return fail(Errc::invalid, what + ": write a whole number of a smaller unit, as in 1536MiB");
  }
  for (const std::string_view prefix : {"K", "M", "G", "T"}) {
    if (ascii_lower(unit.substr(0, 1)) == ascii_lower(prefix)) {
      return fail(Errc::invalid, what + ": write " + std::string(prefix) + "iB (powers of 1024)");
    }
  }
  return fail(Errc::invalid, what + ": write a number and B, KiB, MiB, GiB or TiB");
}

tl::unexpected<Error> bad_duration(std::string_view text, std::string_view why) {
  return fail(Errc::invalid, quoted(text) + " is not a duration: " + std::string(why));
}

// The index in kTimes of the unit `text` starts with; "ms" is tried before "m".
std::optional<std::size_t> time_unit_at(std::string_view text) {
  if (text.substr(0, 2) == "ms") return kTimes.size() - 1;
  for (std::size_t i = 0; i + 1 < kTimes.size(); ++i) {
    if (text.substr(0, 1) == kTimes[i].name) return i;
  }
  return std::nullopt;
}

// Reads exactly `count` digits at `at` and moves past them; -1 when they are not there.
int take_digits(std::string_view text, std::size_t& at, std::size_t count) {
  if (at > text.size() || text.size() - at < count) return -1;
  const std::string_view part = text.substr(at, count);
  if (count_digits(part) != count) return -1;
  int value = 0;
  for (const char c : part) value = value * 10 + (c - '0');
  at += count;
  return value;
}

bool take(std::string_view text, std::size_t& at, char wanted) {
  if (at >= text.size() || text[at] != wanted) return false;
  ++at;
  return true;
}

// ".5" -> 500. Digits beyond milliseconds are checked and dropped; -1 for a malformed fraction.
int take_fraction(std::string_view text, std::size_t& at) {
  if (!take(text, at, '.')) return 0;
  const std::size_t digits = count_digits(text.substr(at));
  if (digits == 0 || digits > 9) return -1;
  int value = 0;
  for (std::size_t i = 0; i < 3; ++i) value = value * 10 + (i < digits ? text[at + i] - '0' : 0);
  at += digits;
  return value;
}

// "Z" -> 0, "-08:00" -> -480; empty when malformed.
std::optional<std::chrono::minutes> take_offset(std::string_view text, std::size_t& at) {
  if (take(text, at, 'Z')) return std::chrono::minutes(0);
  const bool west = take(text, at, '-');
  if (!west && !take(text, at, '+')) return std::nullopt;
  const int hours = take_digits(text, at, 2);
  if (!take(text, at, ':')) return std::nullopt;
  const int minutes = take_digits(text, at, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return std::nullopt;
  const std::chrono::minutes offset(hours * 60 + minutes);
  return west ? -offset : offset;
}

std::optional<std::chrono::sys_days> take_date(std::string_view text, std::size_t& at) {
  const int year = take_digits(text, at, 4);
  if (!take(text, at, '-')) return std::nullopt;
  const int month = take_digits(text, at, 2);
  if (!take(text, at, '-')) return std::nullopt;
  const int day = take_digits(text, at, 2);
  if (year < 0 || month < 1 || day < 1) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date);
}

std::optional<std::chrono::seconds> take_clock(std::string_view text, std::size_t& at) {
  const int hours = take_digits(text, at, 2);
  if (!take(text, at, ':')) return std::nullopt;
  const int minutes = take_digits(text, at, 2);
  if (!take(text, at, ':')) return std::nullopt;
  const int seconds = take_digits(text, at, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || seconds < 0 || seconds > 59) {
    return std::nullopt;
  }
  return std::chrono::hours(hours) + std::chrono::minutes(minutes) + std::chrono::seconds(seconds);
}

}  // namespace

Result<Bytes> parse_bytes(std::string_view text) {
  const std::size_t digits = count_digits(text);
  const std::string_view unit = text.substr(digits);
  if (digits == 0) return bad_size(text, "");
  TRY_ASSIGN(const std::uint64_t number, parse_u64(text.substr(0, digits)));
  if (unit.empty()) return Bytes{number};
  for (const Unit& known : kSizes) {
    if (unit != known.name) continue;
    if (number > kMaxU64 / known.factor) return fail(Errc::invalid, quoted(text) + " is too large");
    return Bytes{number * known.factor};
  }
  return bad_size(text, unit);
}

std::string format_bytes(Bytes size) {
  std::size_t at = 0;
  while (at + 1 < kSizes.size() && size.value < kSizes[at].factor) ++at;
  std::uint64_t whole = size.value / kSizes[at].factor;
  const std::uint64_t rest = size.value % kSizes[at].factor;
  if (rest == 0) return std::to_string(whole) + std::string(kSizes[at].name);
  std::uint64_t tenths = (rest * 10 + kSizes[at].factor / 2) / kSizes[at].factor;
  whole += tenths / 10;
  tenths %= 10;
  if (whole == 1024 && at > 0) {  // 1023.96MiB rounds up into the next unit
    --at;
    whole = 1;
  }
  return std::to_string(whole) + "." + std::to_string(tenths) + std::string(kSizes[at].name);
}

Result<Duration> parse_duration(std::string_view text) {
  constexpr std::string_view kExample = "write it as 250ms, 90s, 15m, 6h or 1h30m";
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (text.empty()) return bad_duration(text, kExample);
  std::uint64_t total = 0;
  std::size_t next_unit = 0;  // units come largest first, each at most once
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t digits = count_digits(rest);
    const auto unit = time_unit_at(rest.substr(digits));
    if (digits == 0 || !unit) return bad_duration(text, kExample);
    if (*unit < next_unit) return bad_duration(text, "units go from large to small, each once");
    const auto number = parse_u64(rest.substr(0, digits));
    const std::uint64_t factor = kTimes[*unit].factor;
    if (!number || *number > (kMax - total) / factor) return bad_duration(text, "it is too long");
    total += *number * factor;
    next_unit = *unit + 1;
    rest.remove_prefix(digits + kTimes[*unit].name.size());
  }
  return Duration(static_cast<std::int64_t>(total));
}

std::string format_duration(Duration value) {
  const bool negative = value.count() < 0;
  const auto raw = static_cast<std::uint64_t>(value.count());
  std::uint64_t rest = negative ? 0 - raw : raw;
  if (rest == 0) return "0s";
  std::size_t at = 0;
  while (rest < kTimes[at].factor) ++at;
  std::string text = negative ? "-" : "";
  text += std::to_string(rest / kTimes[at].factor) + std::string(kTimes[at].name);
  rest %= kTimes[at].factor;
  if (at + 1 < kTimes.size() && rest >= kTimes[at + 1].factor) {
    text += std::to_string(rest / kTimes[at + 1].factor) + std::string(kTimes[at + 1].name);
  }
  return text;
}

Result<WallTime> parse_iso8601(std::string_view text) {
  const Error bad{Errc::invalid, quoted(text) + " is not a time as in 2026-11-20T10:00:00Z"};
  std::size_t at = 0;
  const auto date = take_date(text, at);
  if (!date || !take(text, at, 'T')) return fail(bad);
  const auto clock = take_clock(text, at);
  if (!clock) return fail(bad);
  const int fraction = take_fraction(text, at);
  const auto offset = take_offset(text, at);
  if (fraction < 0 || !offset || at != text.size()) return fail(bad);
  return WallTime(*date) + *clock + std::chrono::milliseconds(fraction) - *offset;
}

std::string format_iso8601(WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss<std::chrono::milliseconds> clock(time - day);
  std::array<char, 64> buffer{};
  const int length = std::snprintf(
      buffer.data(), buffer.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ",
      static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
      static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()),
      static_cast<int>(clock.minutes().count()), static_cast<int>(clock.seconds().count()),
      static_cast<int>(clock.subseconds().count()));
  return {buffer.data(), static_cast<std::size_t>(length)};
}

}  // namespace mvr
