// What all parts of a simulation share: simulated time, chance, and things yet to happen.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "base/units.h"
#include "core/world.h"

namespace mvr::sim {

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

struct Stage {
  explicit Stage(std::uint64_t seed) : rng(seed) {}

  // True with the given chance, as long as faults are on.
  bool fault(std::uint64_t per_mille) { return faults && rng.below(1000) < per_mille; }

  void after(Duration delay, std::function<void()> what) {
    pending.emplace(now + delay, std::move(what));
  }
  // Runs what is due, also what that schedules for the same instant.
  void run_due() {
    while (!pending.empty() && pending.begin()->first <= now) {
      auto what = std::move(pending.begin()->second);
      pending.erase(pending.begin());
      what();
    }
  }
  [[nodiscard]] std::optional<Instant> next_due() const {
    if (pending.empty()) return std::nullopt;
    return pending.begin()->first;
  }

  Prng rng;
  Instant now{Duration{1'000'000}};
  bool faults = true;
  std::multimap<Instant, std::function<void()>> pending;
  std::function<bool(const core::Event&)> deliver;  // to observe(); false: it was ignored
  std::function<void(const char*)> violation;       // a promise was broken
};

}  // namespace mvr::sim
