// Retry schedules as functions of (attempt, key): no state, no randomness.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/units.h"

namespace mvr::core {

struct BackoffPolicy {
  Duration first{};  // after the first failure
  Duration most{};   // cap
};
inline constexpr BackoffPolicy kBootBackoff{Duration{10'000}, Duration{900'000}};
inline constexpr BackoffPolicy kApiBackoff{Duration{1'000}, Duration{60'000}};

// first * 2^(failures-1), capped, then spread over [1/2, 1] of it by a hash of key and failures.
Duration backoff_delay(BackoffPolicy policy, std::uint32_t failures, std::string_view key);

}  // namespace mvr::core
