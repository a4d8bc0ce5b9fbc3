// HTML whose type tells that it is safe to show: what is put into a page is either a literal of
// ours or a Markup made by the functions below. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/units.h"

namespace mvr::daemon {

class Markup {
 public:
  Markup() = default;
  // Literals of ours, and markup.
  template <class... Parts>
  Markup& put(const Parts&... parts) {
    (add(parts), ...);
    return *this;
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  friend Markup safe(std::string_view outside, std::size_t max);
  friend Markup constant(std::string_view ours);
  template <std::size_t n>
  void add(const char (&literal)[n]) {
    text_.append(static_cast<const char*>(literal), n - 1);
  }
  void add(const Markup& markup) { text_ += markup.text_; }
  std::string text_;
};

// Text from anywhere: without its control characters and direction marks, escaped for elements and
// quoted attributes, cut at `max` bytes.
inline constexpr std::size_t kMostText = 240;
Markup safe(std::string_view outside, std::size_t max = kMostText);
// The same for an element of its own, whose direction of writing moves nothing around it.
Markup isolated(std::string_view outside, std::size_t max = kMostText);

// For constants of ours only.
Markup constant(std::string_view ours);

Markup number(std::uint64_t value);
Markup percent(double share);  // "12.34%"; 0 to 1
Markup pixels(double value);   // "12.5"
// "3.4s" below ten seconds, whole seconds and more above.
std::string span_text(Duration span);
Markup span(Duration value);
Markup size(Bytes value);
// <time>, in UTC: the time of day, with the date where it is not that of `now`.
Markup time_tag(WallTime at, WallTime now);
std::string clock_text(WallTime at);  // "23:17"
// "1 VM", "3 VMs"; `noun` without its s.
std::string counted(std::uint64_t count, std::string_view noun);

}  // namespace mvr::daemon
