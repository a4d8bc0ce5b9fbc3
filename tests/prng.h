// Chance for the simulator and the bench.
#pragma once

#include <cstdint>

#include "base/units.h"

namespace mvr {

// splitmix64: the same numbers on every platform, unlike the standard distributions.
class Prng {
 public:
  explicit Prng(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
  }
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }
  Duration between(std::int64_t least_ms, std::int64_t most_ms) {
    const auto span = static_cast<std::uint64_t>(most_ms - least_ms + 1);
    return Duration{least_ms + static_cast<std::int64_t>(below(span))};
  }

 private:
  std::uint64_t state_;
};

}  // namespace mvr
