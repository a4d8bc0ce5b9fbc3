// Distinct types for time and size. Naked integers carry neither.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace mvr {

using Duration = std::chrono::milliseconds;

// The host's CLOCK_MONOTONIC in milliseconds. It has no now(): time is an argument everywhere
// but in sys/loop. Values are comparable between processes of one boot of the host.
struct HostClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<HostClock, Duration>;
  static constexpr bool is_steady = true;
};
using Instant = HostClock::time_point;

// Wall-clock time in UTC, for what people and GitHub see; never for deadlines.
using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;

// A size in bytes. Subtraction saturates at zero: capacity is never negative.
struct Bytes {
  std::uint64_t value = 0;

  friend constexpr auto operator<=>(Bytes, Bytes) = default;
  friend constexpr Bytes operator+(Bytes a, Bytes b) { return Bytes{a.value + b.value}; }
  friend constexpr Bytes operator-(Bytes a, Bytes b) {
    return Bytes{a.value > b.value ? a.value - b.value : 0};
  }
  constexpr Bytes& operator+=(Bytes b) { return *this = *this + b; }
  constexpr Bytes& operator-=(Bytes b) { return *this = *this - b; }
};
constexpr Bytes kib(std::uint64_t n) { return Bytes{n << 10U}; }
constexpr Bytes mib(std::uint64_t n) { return Bytes{n << 20U}; }
constexpr Bytes gib(std::uint64_t n) { return Bytes{n << 30U}; }

}  // namespace mvr
