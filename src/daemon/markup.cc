#include "daemon/markup.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>

#include "base/text.h"

namespace mvr::daemon {
namespace {

constexpr std::size_t kLongest = 4096;  // that is looked at

std::string decimal(double value, int digits) {
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.begin(), text.end(), value, std::chars_format::fixed, digits);
  return {text.begin(), end.ptr};
}

std::string_view entity(char c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      return {};
  }
}

}  // namespace

Markup safe(std::string_view outside, std::size_t max) {
  std::string shown = printable(outside, kLongest);
  if (shown.size() > max) shown = printable(shown, max) + "\u2026";
  Markup out;
  for (const char c : shown) {
    const std::string_view escaped = entity(c);
    if (escaped.empty()) {
      out.text_ += c;
    } else {
      out.text_ += escaped;
    }
  }
  return out;
}

Markup constant(std::string_view ours) {
  Markup out;
  out.text_ = ours;
  return out;
}

Markup isolated(std::string_view outside, std::size_t max) {
  return Markup().put("<bdi>", safe(outside, max), "</bdi>");
}

Markup number(std::uint64_t value) { return safe(std::to_string(value)); }

Markup percent(double share) { return safe(decimal(std::clamp(share, 0.0, 1.0) * 100, 2) + "%"); }

Markup pixels(double value) { return safe(decimal(value, 1)); }

std::string span_text(Duration span) {
  constexpr std::int64_t kSecond = 1000;
  const std::int64_t ms = std::max<std::int64_t>(span.count(), 0);
  if (ms < 10 * kSecond) {
    const std::int64_t tenths = ms / 100;
    const std::string rest = tenths % 10 == 0 ? "" : "." + std::to_string(tenths % 10);
    return std::to_string(tenths / 10) + rest + "s";
  }
  return format_duration(Duration{ms / kSecond * kSecond});
}

Markup span(Duration value) { return safe(span_text(value)); }

Markup size(Bytes value) { return safe(format_bytes(value)); }

std::string clock_text(WallTime at) {
  constexpr std::size_t kHour = 11;  // in "2026-11-20T10:00:00.000Z"
  constexpr std::size_t kLength = 5;
  return format_iso8601(at).substr(kHour, kLength);
}

Markup time_tag(WallTime at, WallTime now) {
  constexpr std::size_t kDate = 10;
  const std::string iso = format_iso8601(at);
  const bool is_today = iso.substr(0, kDate) == format_iso8601(now).substr(0, kDate);
  const std::string clock = iso.substr(kDate + 1, 8);
  return Markup().put("<time datetime=\"", safe(iso), "\">",
                      safe(is_today ? clock : iso.substr(0, kDate) + " " + clock), "</time>");
}

std::string counted(std::uint64_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

}  // namespace mvr::daemon
