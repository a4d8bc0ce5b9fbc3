// What all parts of a simulation share: simulated time, chance, and things yet to happen.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "../prng.h"
#include "base/units.h"
#include "core/world.h"

namespace mvr::sim {

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
